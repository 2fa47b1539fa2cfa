package sql

import (
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// simplifyOuterJoins is a rule for plans as they come from the statement. Where the condition of
// an inner join over a LEFT JOIN names tables of both its sides the planner may join the left one
// first and lose the rest of the condition. It makes inner joins of LEFT JOINs whose rows of NULLs
// a condition above drops anyhow, as MySQL does, and asks what is left of such conditions behind
// the join.
func simplifyOuterJoins(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		switch n := n.(type) {
		case *plan.Filter:
			join, ok := n.Child.(*plan.JoinNode)
			if !ok {
				return n, transform.SameTree, nil
			}
			if out := innerWhere(ctx, join, rejecting(ctx, n.Expression)); out != join {
				return plan.NewFilter(ctx, n.Expression, out), transform.NewTree, nil
			}
		case *plan.JoinNode:
			if n.Op != plan.JoinTypeInner || n.Filter == nil {
				return n, transform.SameTree, nil
			}
			out := innerWhere(ctx, n, rejecting(ctx, n.Filter))
			if behind := namesNullable(ctx, out, false); behind != nil {
				return behind, transform.NewTree, nil
			}
			if out != n {
				return out, transform.NewTree, nil
			}
		}
		return n, transform.SameTree, nil
	})
}

// rejecting are the tables of which a condition is not true where all their columns are NULL, as
// far as that is plain to see.
func rejecting(ctx *gms.Context, e gms.Expression) map[gms.TableId]bool {
	found := map[gms.TableId]bool{}
	field := func(e gms.Expression) {
		if f, ok := e.(*expression.GetField); ok {
			found[f.TableId()] = true
		}
	}
	for _, part := range expression.SplitConjunction(ctx, e) {
		if not, ok := part.(*expression.Not); ok {
			if null, ok := not.Child.(*expression.IsNull); ok {
				field(null.Child)
				continue
			}
			part = not.Child
		}
		switch e := part.(type) {
		case *expression.Equals, *expression.GreaterThan, *expression.GreaterThanOrEqual, *expression.LessThan, *expression.LessThanOrEqual:
			c := e.(expression.Comparer)
			field(c.Left())
			field(c.Right())
		case *expression.InTuple:
			field(e.Left())
		}
	}
	return found
}

// innerWhere makes inner joins of the LEFT JOINs whose right side has one of the tables; it
// returns the same node where there are none.
func innerWhere(ctx *gms.Context, n *plan.JoinNode, rejected map[gms.TableId]bool) *plan.JoinNode {
	out := *n
	switch n.Op {
	case plan.JoinTypeInner, plan.JoinTypeCross:
	case plan.JoinTypeLeftOuter:
		for _, id := range tablesIn(n.Right()) {
			if rejected[id] {
				out.Op = plan.JoinTypeInner
			}
		}
	default:
		return n
	}
	if out.Op == plan.JoinTypeInner && n.Filter != nil {
		for id := range rejecting(ctx, n.Filter) {
			rejected[id] = true
		}
	}
	left, right := n.Left(), n.Right()
	if j, ok := left.(*plan.JoinNode); ok {
		left = innerWhere(ctx, j, rejected)
	}
	if j, ok := right.(*plan.JoinNode); ok && out.Op != plan.JoinTypeLeftOuter {
		right = innerWhere(ctx, j, rejected)
	}
	if out.Op == n.Op && left == n.Left() && right == n.Right() {
		return n
	}
	joined, err := out.WithChildren(ctx, left, right)
	if err != nil {
		return n
	}
	return joined.(*plan.JoinNode)
}

func tablesIn(n gms.Node) (ids []gms.TableId) {
	transform.Inspect(n, func(n gms.Node) bool {
		t, ok := n.(plan.TableIdNode)
		if ok {
			ids = append(ids, t.Id())
		}
		return !ok
	})
	return ids
}

// namesNullable puts the parts of an inner join's condition that name tables on the right of a
// LEFT JOIN below it behind the join; nil where there are none. Unless all are to go, the only one stays that
// names tables of both sides: an index may serve it.
func namesNullable(ctx *gms.Context, n *plan.JoinNode, all bool) gms.Node {
	nullable := map[gms.TableId]bool{}
	transform.Inspect(n, func(n gms.Node) bool {
		if j, ok := n.(*plan.JoinNode); ok && j.Op == plan.JoinTypeLeftOuter {
			for _, id := range tablesIn(j.Right()) {
				nullable[id] = true
			}
		}
		_, table := n.(plan.TableIdNode)
		return !table
	})
	if len(nullable) == 0 {
		return nil
	}
	var stay, behind []gms.Expression
	for _, part := range expression.SplitConjunction(ctx, n.Filter) {
		names := false
		gms.Inspect(ctx, part, func(_ *gms.Context, e gms.Expression) bool {
			f, ok := e.(*expression.GetField)
			names = names || ok && nullable[f.TableId()]
			return true
		})
		if names {
			behind = append(behind, part)
		} else {
			stay = append(stay, part)
		}
	}
	if len(behind) == 0 {
		return nil
	}
	if len(stay) == 0 {
		if !all && namesBoth(ctx, n, behind) {
			return nil
		}
		return plan.NewFilter(ctx, expression.JoinAnd(behind...), plan.NewCrossJoin(ctx, n.Left(), n.Right()).WithComment(n.Comment()))
	}
	return plan.NewFilter(ctx, expression.JoinAnd(behind...), n.WithFilter(expression.JoinAnd(stay...)))
}

// namesBoth says whether one part of a condition alone names tables of both sides of a join.
func namesBoth(ctx *gms.Context, n *plan.JoinNode, parts []gms.Expression) bool {
	if len(parts) != 1 {
		return false
	}
	named := map[gms.TableId]bool{}
	gms.Inspect(ctx, parts[0], func(_ *gms.Context, e gms.Expression) bool {
		if f, ok := e.(*expression.GetField); ok {
			named[f.TableId()] = true
		}
		return true
	})
	namesOne := func(side gms.Node) bool {
		return slices.ContainsFunc(tablesIn(side), func(id gms.TableId) bool { return named[id] })
	}
	return namesOne(n.Left()) && namesOne(n.Right())
}
