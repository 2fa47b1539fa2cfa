package sql

import (
	"fmt"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// windowsOverGroups says a query that groups and has functions over windows of its groups as two, since the planner
// has them apart only:
//
//	SELECT a, SUM(x) AS s, RANK() OVER (ORDER BY SUM(x) DESC) FROM t GROUP BY a ORDER BY a
//
// is
//
//	SELECT `#0` AS a, s AS s, RANK() OVER (ORDER BY s DESC) FROM (SELECT a AS `#0`, SUM(x) AS s FROM t GROUP BY a) AS `#groups` ORDER BY `#0`
//
// What has no window is computed by the query that groups, whole.
func windowsOverGroups(s *sqlparser.Select) {
	switch {
	case s.Into != nil, s.Lock != nil && s.Lock.Type != "", !hasWindow(s.SelectExprs) && !hasWindow(s.OrderBy):
		return
	case len(s.GroupBy) == 0 && s.Having == nil && len(aggregatesOf(s)) == 0:
		return
	}
	for _, e := range s.SelectExprs {
		if _, ok := e.(*sqlparser.AliasedExpr); !ok {
			return // which columns a * stands for is not known here
		}
	}
	g := &grouping{names: map[string]sqlparser.ColIdent{}}
	shown := map[string]bool{} // aliases of the query, which ORDER BY may name
	for _, e := range s.SelectExprs {
		e := e.(*sqlparser.AliasedExpr)
		if !e.As.IsEmpty() && !shown[e.As.Lowered()] {
			shown[e.As.Lowered()] = true
			if !hasWindow(e.Expr) {
				g.add(e.Expr, e.As) // GROUP BY and HAVING may name it
			}
		}
	}
	for _, e := range s.SelectExprs {
		e := e.(*sqlparser.AliasedExpr)
		if e.As.IsEmpty() {
			e.As = nameShown(e)
		}
		e.Expr = g.lift(e.Expr)
	}
	for _, o := range s.OrderBy {
		switch e := o.Expr.(type) {
		case *sqlparser.ColName:
			if e.Qualifier.IsEmpty() && shown[e.Name.Lowered()] {
				continue
			}
		case *sqlparser.SQLVal:
			continue // the number of what is shown
		}
		o.Expr = g.lift(o.Expr)
	}
	for _, def := range s.Window {
		g.liftWindow(def)
	}
	if len(g.exprs) == 0 {
		g.add(sqlparser.NewIntVal([]byte("1")), sqlparser.ColIdent{})
	}
	groups := &sqlparser.Select{SelectExprs: g.exprs, From: s.From, Where: s.Where, GroupBy: s.GroupBy, Having: s.Having}
	s.From = sqlparser.TableExprs{&sqlparser.AliasedTableExpr{
		Auth: sqlparser.AuthInformation{AuthType: sqlparser.AuthType_IGNORE}, // that of the tables is in the query
		Expr: &sqlparser.Subquery{Select: groups}, As: sqlparser.NewTableIdent("#groups"),
	}}
	s.Where, s.GroupBy, s.Having = nil, nil, nil
}

// nameShown is the name under which a query shows something without an alias.
func nameShown(e *sqlparser.AliasedExpr) sqlparser.ColIdent {
	if c, ok := e.Expr.(*sqlparser.ColName); ok {
		return c.Name
	}
	if e.InputExpression != "" {
		return sqlparser.NewColIdent(e.InputExpression)
	}
	return sqlparser.NewColIdent(sqlparser.String(e.Expr))
}

func hasWindow(n sqlparser.SQLNode) (found bool) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if f, ok := n.(*sqlparser.FuncExpr); ok && f.Over != nil {
			found = true
		}
		_, query := n.(*sqlparser.Subquery)
		return !found && !query, nil
	}, n)
	return found
}

// grouping is what the query that groups shows.
type grouping struct {
	exprs sqlparser.SelectExprs
	names map[string]sqlparser.ColIdent // by texts
}

// add has it show an expression, under a name of its own where name is empty.
func (g *grouping) add(e sqlparser.Expr, name sqlparser.ColIdent) sqlparser.ColIdent {
	text := unwrittenText(e)
	if known, ok := g.names[text]; ok && name.IsEmpty() {
		return known
	}
	if name.IsEmpty() {
		name = sqlparser.NewColIdent(fmt.Sprintf("#%d", len(g.exprs)))
	}
	g.exprs = append(g.exprs, &sqlparser.AliasedExpr{Expr: e, As: name})
	if _, ok := g.names[text]; !ok {
		g.names[text] = name
	}
	return name
}

// lift is an expression over what is shown.
func (g *grouping) lift(e sqlparser.Expr) sqlparser.Expr {
	if e == nil {
		return nil
	}
	if !hasWindow(e) {
		if isConstant(e) {
			return e
		}
		return &sqlparser.ColName{Name: g.add(e, sqlparser.ColIdent{})}
	}
	if f, ok := e.(*sqlparser.FuncExpr); ok && f.Over != nil {
		for _, arg := range f.Exprs {
			if arg, ok := arg.(*sqlparser.AliasedExpr); ok {
				arg.Expr = g.lift(arg.Expr)
			}
		}
		g.liftWindow((*sqlparser.WindowDef)(f.Over))
		return f
	}
	var parts []sqlparser.Expr
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		part, ok := n.(sqlparser.Expr)
		if !ok || n == sqlparser.SQLNode(e) {
			return true, nil
		}
		if f, ok := n.(*sqlparser.FuncExpr); ok && f.Over != nil || !hasWindow(n) {
			parts = append(parts, part)
			return false, nil
		}
		return true, nil
	}, e)
	for _, part := range parts {
		if lifted := g.lift(part); lifted != part {
			e = sqlparser.ReplaceExpr(e, part, lifted)
		}
	}
	return e
}

func (g *grouping) liftWindow(w *sqlparser.WindowDef) {
	for i, e := range w.PartitionBy {
		w.PartitionBy[i] = g.lift(e)
	}
	for _, o := range w.OrderBy {
		o.Expr = g.lift(o.Expr)
	}
}

// isConstant says whether an expression has nothing but literals.
func isConstant(e sqlparser.Expr) bool {
	constant := true
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n.(type) {
		case *sqlparser.ColName, *sqlparser.FuncExpr, *sqlparser.GroupConcatExpr, *sqlparser.Subquery:
			constant = false
		}
		return constant, nil
	}, e)
	return constant
}
