package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// besideWholeRows keeps prune, which leaves out columns that no list of columns names, from plans
// without such a list: SELECT * FROM (SELECT * FROM t) d LIMIT 1 is planned as a LIMIT over
// t, and had rows without columns, which no client sees.
func besideWholeRows(prune analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		if givesWholeRows(n) {
			return n, transform.SameTree, nil
		}
		return prune(ctx, a, n, scope, sel, flags)
	}
}

// givesWholeRows is whether the rows of a plan are those of a table, as they are.
func givesWholeRows(n gms.Node) bool {
	for {
		switch n.(type) {
		case *plan.Limit, *plan.Offset, *plan.Sort, *plan.TopN, *plan.Distinct, *plan.OrderedDistinct, *plan.Filter, *plan.Having:
			n = n.Children()[0]
		case *plan.TableAlias, *plan.ResolvedTable:
			return true
		default:
			return false
		}
	}
}
