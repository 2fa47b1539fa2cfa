package direct

import "github.com/dolthub/vitess/go/vt/sqlparser"

// disjunction reads conditions joined by OR: a = 1 OR a IN (2, 3) is a IN (1, 2, 3).
func (p *Plan) disjunction(s scope, e sqlparser.Expr) Reason {
	before := len(p.where.conditions)
	if reason := p.alternatives(s, e); reason != None {
		return reason
	}
	all := p.where.conditions[before:]
	list := &all[0]
	for i := range all {
		c := &all[i]
		if c.column != list.column || c.op != opEqual && c.op != opIn {
			return Shape
		}
		if i > 0 {
			list.more = append(list.more, c.placeholder)
		}
	}
	list.op = opIn
	p.where.conditions = p.where.conditions[:before+1]
	return None
}

// alternatives appends each of the conditions that OR joins.
func (p *Plan) alternatives(s scope, e sqlparser.Expr) Reason {
	switch e := e.(type) {
	case *sqlparser.OrExpr:
		if reason := p.alternatives(s, e.Left); reason != None {
			return reason
		}
		return p.alternatives(s, e.Right)
	case *sqlparser.ParenExpr:
		return p.alternatives(s, e.Expr)
	case *sqlparser.ComparisonExpr:
		return p.comparison(s, e)
	}
	return Shape
}

// list brings the members of a list to the column's type.
func (c *condition) list(t *Text) ([]any, bool) {
	var list []any
	add := func(placeholder int) bool {
		if placeholder >= len(t.Spans) {
			return false
		}
		span := t.Spans[placeholder]
		for _, v := range t.Values[span.From : span.From+span.Len] {
			x, ok := v.comparable(c.class)
			if !ok {
				return false
			}
			list = append(list, x)
		}
		return true
	}
	if !add(c.placeholder) {
		return nil, false
	}
	for _, placeholder := range c.more {
		if !add(placeholder) {
			return nil, false
		}
	}
	return list, true
}
