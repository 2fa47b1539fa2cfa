package sql

import (
	"maps"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// withDependencies is a plan for the check of ONLY_FULL_GROUP_BY alone. Where a query shows aliases, the
// planner checks a projection that has also the columns that these and others are made of, of which
// it knows those that are named in an alias itself. Here it is told of all that are not shown.
func withDependencies(ctx *gms.Context, n gms.Node) (gms.Node, error) {
	n, _, err := transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		shown, ok := n.(*plan.Project)
		if !ok {
			return n, transform.SameTree, nil
		}
		child, err := noteDependencies(ctx, shown, shown.Child)
		if err != nil || child == nil {
			return n, transform.SameTree, err
		}
		n, err = shown.WithChildren(ctx, child)
		return n, transform.NewTree, err
	})
	return n, err
}

// noteDependencies notes them in the projection below shown, between it and the groups; nil: there is none.
func noteDependencies(ctx *gms.Context, shown *plan.Project, n gms.Node) (gms.Node, error) {
	switch n := n.(type) {
	case *plan.Project:
		grouped := groupTexts(n.Child)
		if grouped == nil {
			return nil, nil
		}
		deps := map[string]bool{}
		maps.Copy(deps, n.AliasDeps)
		for _, e := range n.Projections {
			if f, ok := e.(*expression.GetField); ok && !shows(shown.Projections, f.Id(), grouped) {
				deps[strings.ToLower(f.String())] = true
			}
		}
		return n.WithAliasDeps(deps), nil
	case *plan.Sort, *plan.Limit, *plan.Offset, *plan.Distinct, *plan.TopN:
		child, err := noteDependencies(ctx, shown, n.Children()[0])
		if err != nil || child == nil {
			return nil, err
		}
		return n.WithChildren(ctx, child)
	}
	return nil, nil
}

// groupTexts are what the rows below a projection are grouped by, as texts; nil where they are not.
func groupTexts(n gms.Node) map[string]bool {
	for {
		switch at := n.(type) {
		case *plan.GroupBy:
			texts := map[string]bool{}
			for _, e := range at.GroupByExprs {
				texts[strings.ToLower(e.String())] = true
			}
			return texts
		case *plan.Sort, *plan.Having:
			n = at.Children()[0]
		default:
			return nil
		}
	}
}

// shows says whether expressions name a column outside of aliases, which are checked where they are
// made, and outside of what is grouped by.
func shows(exprs []gms.Expression, id gms.ColumnId, grouped map[string]bool) bool {
	for _, e := range exprs {
		if alias, ok := e.(*expression.Alias); ok {
			if !alias.Unreferencable() {
				continue
			}
			e = alias.Child
		}
		if e == nil || grouped[strings.ToLower(e.String())] {
			continue
		}
		switch e := e.(type) {
		case *expression.GetField:
			if e.Id() == id {
				return true
			}
		case *plan.Subquery:
			if e.Correlated().Contains(id) {
				return true
			}
		case *plan.ExistsSubquery:
			if e.Query.Correlated().Contains(id) {
				return true
			}
		}
		if shows(e.Children(), id, grouped) {
			return true
		}
	}
	return false
}
