package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// hidden is a condition that the planner does not know, and so leaves as and where it is. In the
// finished plan it is taken out again.
type hidden struct{ expression.UnaryExpressionStub }

var _ gms.CollationCoercible = (*hidden)(nil)

func hide(e gms.Expression) gms.Expression {
	return &hidden{expression.UnaryExpressionStub{Child: e}}
}

// unhide is the condition that was hidden.
func unhide(_ *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	switch e := e.(type) {
	case *hidden:
		return e.Child, transform.NewTree, nil
	case *dependent:
		return e.condition, transform.NewTree, nil
	}
	return e, transform.SameTree, nil
}

// Type is that of the condition.
func (h *hidden) Type(ctx *gms.Context) gms.Type { return h.Child.Type(ctx) }

// String is that of the condition.
func (h *hidden) String() string { return h.Child.String() }

// CollationCoercibility is that of the condition.
func (h *hidden) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, h.Child)
}

// Eval returns what the condition is of a row.
func (h *hidden) Eval(ctx *gms.Context, row gms.Row) (any, error) { return h.Child.Eval(ctx, row) }

// WithChildren hides another condition.
func (h *hidden) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(h, len(children), 1)
	}
	return hide(children[0]), nil
}

// outerFields is a rule for plans whose indexes are not chosen yet. The planner finds columns of an index
// by name alone, and in
//
//	SELECT (SELECT COUNT(*) FROM b WHERE a.id > 2) FROM a
//
// reads only the rows of b whose id is over 2. It hides comparisons over a table that name columns of other
// tables alone.
func outerFields(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		f, ok := n.(*plan.Filter)
		if !ok {
			return n, transform.SameTree, nil
		}
		table, ok := f.Child.(plan.TableIdNode)
		if !ok {
			return n, transform.SameTree, nil
		}
		if e, changed := hideOuter(ctx, f.Expression, table); changed {
			return plan.NewFilter(ctx, e, f.Child), transform.NewTree, nil
		}
		return n, transform.SameTree, nil
	})
}

// hideOuter hides the parts of a condition that name columns, none of them the table's.
func hideOuter(ctx *gms.Context, e gms.Expression, table plan.TableIdNode) (gms.Expression, bool) {
	switch e.(type) {
	case *expression.And, *expression.Or, *expression.Not:
		changed := false
		children := e.Children()
		for i, child := range children {
			if other, ok := hideOuter(ctx, child, table); ok {
				children[i], changed = other, true
			}
		}
		if !changed {
			return e, false
		}
		out, err := e.WithChildren(ctx, children...)
		return out, err == nil
	}
	own, outer := false, false
	gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		if f, ok := e.(*expression.GetField); ok {
			own, outer = own || f.TableId() == table.Id(), outer || f.TableId() != table.Id() && f.TableId() != 0
		}
		return true
	})
	if own || !outer {
		return e, false
	}
	return hide(e), true
}
