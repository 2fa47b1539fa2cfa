package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
)

// findIndexes is a rule for finished plans: every MATCH gets its index, and a table of
// which a condition wants only rows that match is read by that index.
func findIndexes(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	p := &matchPlan{tables: map[matchTable]*Table{}, searches: map[string]*search{}}
	p.collect(ctx, n)
	if len(p.matches) == 0 {
		return n, transform.SameTree, nil
	}
	for _, m := range p.matches {
		if err := p.resolve(ctx, m); err != nil {
			return nil, transform.SameTree, err
		}
	}
	for _, f := range p.filters {
		p.narrow(ctx, f)
	}
	return n, transform.SameTree, nil
}

// matchTable is a table as columns name it.
type matchTable struct {
	id   gms.TableId
	name string
}

type matchPlan struct {
	tables   map[matchTable]*Table
	matches  []*match
	filters  []*plan.Filter
	searches map[string]*search
}

// collect finds matches, tables and filters, those of subqueries too.
func (p *matchPlan) collect(ctx *gms.Context, n gms.Node) {
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		switch n := n.(type) {
		case *plan.InsertInto:
			if n.Source != nil { // not one of its children
				p.collect(ctx, n.Source)
			}
		case *plan.TableAlias:
			if t := readTable(n.Child); t != nil {
				p.tables[matchTable{n.Id(), strings.ToLower(n.Name())}] = t
			}
		case *plan.ResolvedTable:
			if t := readTable(n); t != nil {
				p.tables[matchTable{n.Id(), strings.ToLower(n.Name())}] = t
			}
		case *plan.IndexedTableAccess:
			if t := readTable(n); t != nil {
				p.tables[matchTable{n.Id(), strings.ToLower(n.Name())}] = t
			}
		case *plan.Filter:
			p.filters = append(p.filters, n)
		}
		if e, ok := n.(gms.Expressioner); ok {
			for _, e := range e.Expressions() {
				p.expression(ctx, e)
			}
		}
		return true
	})
}

func (p *matchPlan) expression(ctx *gms.Context, e gms.Expression) {
	gms.Inspect(ctx, e, func(ctx *gms.Context, e gms.Expression) bool {
		switch e := e.(type) {
		case *match:
			p.matches = append(p.matches, e)
		case *plan.Subquery:
			p.collect(ctx, e.Query)
		}
		return true
	})
}

// resolve finds the index over exactly the columns of a match. A table that is not there
// was planned away: its rows are never looked at.
func (p *matchPlan) resolve(ctx *gms.Context, m *match) error {
	first, ok := m.columns[0].(*expression.GetField)
	if !ok {
		return mysqlError(1210, "Incorrect arguments to MATCH")
	}
	t := p.tables[matchTable{first.TableId(), strings.ToLower(first.Table())}]
	if t == nil {
		return nil
	}
	ix := fullTextIndex(t.stored, m.columns, first)
	if ix == nil {
		return gms.ErrNoFullTextIndexFound.New(t.name)
	}
	key := strings.Join([]string{strings.ToLower(first.Table()), ix.Desc.Name, m.String()}, "\x00")
	if p.searches[key] == nil {
		p.searches[key] = &search{table: t, index: ix, mode: m.mode}
	}
	m.search = p.searches[key]
	return nil
}

func fullTextIndex(t *store.Table, columns []gms.Expression, first *expression.GetField) *store.Index {
	wanted := map[uint16]bool{}
	for _, c := range columns {
		f, ok := c.(*expression.GetField)
		if !ok || f.TableId() != first.TableId() || !strings.EqualFold(f.Table(), first.Table()) {
			return nil
		}
		at := columnNamed(t.Desc, f.Name())
		if at < 0 {
			return nil
		}
		wanted[t.Desc.Columns[at].ID] = true
	}
	for _, ix := range t.Indexes {
		if !ix.Desc.FullText || len(ix.Desc.Columns) != len(wanted) {
			continue
		}
		all := true
		for _, c := range ix.Desc.Columns {
			all = all && wanted[c.Column]
		}
		if all {
			return ix
		}
	}
	return nil
}

// narrow makes a table that is read as a whole below a filter be read by the index of a
// match that the filter demands. The filter stays.
func (p *matchPlan) narrow(ctx *gms.Context, f *plan.Filter) {
	child := f.Child
	if alias, ok := child.(*plan.TableAlias); ok {
		child = alias.Child
	}
	if _, ok := child.(*plan.ResolvedTable); !ok {
		return
	}
	t := readTable(child)
	if t == nil {
		return
	}
	for _, e := range expression.SplitConjunction(ctx, f.Expression) {
		m := demanded(ctx, e)
		if m == nil || m.search == nil || m.search.table != t || !constant(ctx, m.against) {
			continue
		}
		t.match = m
		return
	}
}

// demanded is the match that a condition is true of only where it is not 0.
func demanded(ctx *gms.Context, e gms.Expression) *match {
	switch e := e.(type) {
	case *match:
		return e
	case *expression.GreaterThan:
		if m, ok := e.Left().(*match); ok && atLeast(ctx, e.Right(), false) {
			return m
		}
	case *expression.GreaterThanOrEqual:
		if m, ok := e.Left().(*match); ok && atLeast(ctx, e.Right(), true) {
			return m
		}
	}
	return nil
}

// atLeast says whether e is a literal of 0 or more; positive: of more.
func atLeast(ctx *gms.Context, e gms.Expression, positive bool) bool {
	literal, ok := e.(*expression.Literal)
	if !ok || literal.Value() == nil {
		return false
	}
	v, _, err := types.Float64.Convert(ctx, literal.Value())
	n, ok := v.(float64)
	return err == nil && ok && (n > 0 || n == 0 && !positive)
}

// constant says whether an expression needs no row.
func constant(ctx *gms.Context, e gms.Expression) bool {
	ok := true
	gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		switch e.(type) {
		case *expression.GetField, *plan.Subquery:
			ok = false
		}
		return ok
	})
	return ok
}
