package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// joinWhere is the rule that makes conditions of WHERE those of the joins below. The planner's own
// takes a condition for one of a join as soon as a part of it compares columns of both sides,
// whatever tables the rest names, and moves it into the right side of a LEFT JOIN too.
func joinWhere(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	if !n.Resolved() {
		return n, transform.SameTree, nil
	}
	return transform.Node(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		f, ok := n.(*plan.Filter)
		if !ok {
			return n, transform.SameTree, nil
		}
		parts := expression.SplitConjunction(ctx, f.Expression)
		child, rest, err := joinedWhere(ctx, f.Child, parts)
		switch {
		case err != nil || len(rest) == len(parts):
			return n, transform.SameTree, err
		case len(rest) == 0:
			return child, transform.NewTree, nil
		}
		return plan.NewFilter(ctx, expression.JoinAnd(rest...), child), transform.NewTree, nil
	})
}

// joinedWhere moves parts of a condition to the joins of n; rest are those that stay.
func joinedWhere(ctx *gms.Context, n gms.Node, parts []gms.Expression) (_ gms.Node, rest []gms.Expression, err error) {
	j, ok := n.(*plan.JoinNode)
	if !ok || j.Op != plan.JoinTypeInner && j.Op != plan.JoinTypeCross && j.Op != plan.JoinTypeLeftOuter {
		return n, parts, nil
	}
	left, rest, err := joinedWhere(ctx, j.Left(), parts)
	if err != nil {
		return nil, nil, err
	}
	right := j.Right()
	if j.Op != plan.JoinTypeLeftOuter {
		if right, rest, err = joinedWhere(ctx, right, rest); err != nil {
			return nil, nil, err
		}
	}
	if len(rest) < len(parts) {
		if n, err = j.WithChildren(ctx, left, right); err != nil {
			return nil, nil, err
		}
	}
	if j.Op != plan.JoinTypeCross {
		return n, rest, nil
	}
	ofLeft, ofRight := tableSet(left), tableSet(right)
	var here, above []gms.Expression
	for _, part := range rest {
		if namesTwo(ctx, part, ofLeft, ofRight) {
			here = append(here, part)
		} else {
			above = append(above, part)
		}
	}
	if len(here) == 0 {
		return n, rest, nil
	}
	return plan.NewInnerJoin(ctx, left, right, expression.JoinAnd(here...)).WithComment(j.Comment()), above, nil
}

func tableSet(n gms.Node) map[gms.TableId]bool {
	set := map[gms.TableId]bool{}
	for _, id := range tablesIn(n) {
		set[id] = true
	}
	return set
}

// namesTwo says whether a condition names tables of both sets and no others.
func namesTwo(ctx *gms.Context, e gms.Expression, left, right map[gms.TableId]bool) bool {
	ofLeft, ofRight, others := false, false, false
	gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		switch e := e.(type) {
		case *expression.GetField:
			l, r := left[e.TableId()], right[e.TableId()]
			ofLeft, ofRight, others = ofLeft || l, ofRight || r, others || !l && !r
		case *plan.Subquery: // what it names is not told here
			others = true
		}
		return true
	})
	return ofLeft && ofRight && !others
}

// liftFilters is a rule for plans whose joins are not ordered yet. The order loses a condition that
// stands between joins, and one of an inner join below others that names tables on the right of a LEFT
// JOIN: they are put above them.
func liftFilters(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		j, ok := n.(*plan.JoinNode)
		if !ok || j.Op != plan.JoinTypeInner && j.Op != plan.JoinTypeCross && j.Op != plan.JoinTypeLeftOuter {
			return n, transform.SameTree, nil
		}
		var conditions []gms.Expression
		lifted := func(side gms.Node) gms.Node {
			if inner, ok := side.(*plan.JoinNode); ok && inner.Op == plan.JoinTypeInner && inner.Filter != nil {
				if behind := namesNullable(ctx, inner, true); behind != nil {
					side = behind
				}
			}
			if f, ok := side.(*plan.Filter); ok {
				if _, ok := f.Child.(*plan.JoinNode); ok {
					conditions = append(conditions, f.Expression)
					return f.Child
				}
			}
			return side
		}
		left, right := lifted(j.Left()), j.Right()
		if j.Op != plan.JoinTypeLeftOuter {
			right = lifted(right)
		}
		if len(conditions) == 0 {
			return n, transform.SameTree, nil
		}
		joined, err := j.WithChildren(ctx, left, right)
		if err != nil {
			return nil, transform.SameTree, err
		}
		return plan.NewFilter(ctx, expression.JoinAnd(conditions...), joined), transform.NewTree, nil
	})
}
