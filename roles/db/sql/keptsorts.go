package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// keptSorts looks after rule, which reads a table by its index where that is the order asked for, and
// leaves out the sort. Of joins of three and more tables it does not see which is read first: rows
// of a join are in the order of its left side alone. Such sorts stay.
func keptSorts(rule analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		other, same, err := rule(ctx, a, n, scope, sel, flags)
		if err != nil || same {
			return other, same, err
		}
		other, err = withSorts(ctx, n, other)
		return other, transform.NewTree, err
	}
}

// withSorts is a plan that was made of before, with the sorts that it needs.
func withSorts(ctx *gms.Context, before, after gms.Node) (gms.Node, error) {
	if sort, ok := before.(*plan.Sort); ok {
		if _, stays := after.(*plan.Sort); !stays {
			if leads(sort.SortConditions[0].Expr, after) {
				return after, nil
			}
			return before, nil
		}
	}
	was, is := before.Children(), after.Children()
	if len(was) != len(is) {
		return after, nil
	}
	changed := false
	for i := range is {
		if was[i] == is[i] {
			continue
		}
		child, err := withSorts(ctx, was[i], is[i])
		if err != nil {
			return nil, err
		}
		if child != is[i] {
			is[i], changed = child, true
		}
	}
	if !changed {
		return after, nil
	}
	return after.WithChildren(ctx, is...)
}

// leads says whether the rows of a plan come in the order in which an index gives those of the table
// that e is of.
func leads(e gms.Expression, n gms.Node) bool {
	field, _ := e.(*expression.GetField)
	joined := false
	for {
		switch at := n.(type) {
		case *plan.IndexedTableAccess:
			return !joined || field != nil && at.Id() == field.TableId()
		case *plan.SubqueryAlias:
			if field != nil {
				field, _ = at.ScopeMapping[field.Id()].(*expression.GetField)
			}
			n = at.Child
		case *plan.JoinNode:
			n, joined = at.Left(), true
		case *plan.Project, *plan.Filter, *plan.Limit, *plan.Offset, *plan.Distinct, *plan.TableAlias:
			n = at.Children()[0]
		default:
			return false
		}
	}
}
