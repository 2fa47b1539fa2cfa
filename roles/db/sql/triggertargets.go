package sql

import "github.com/dolthub/vitess/go/vt/sqlparser"

// keepTriggerTargets keeps the tables that UPDATE and DELETE in a trigger's body change the only
// ones that their rows come from, as keepTarget does for a statement of a client: in the
// joins that the planner makes of IN and EXISTS, the trigger's row stands before that of each table.
func keepTriggerTargets(st sqlparser.Statement) {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.TriggerSpec == nil {
		return
	}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.Update:
			keepSingleTarget(n.TableExprs, n.Where)
		case *sqlparser.Delete:
			keepSingleTarget(n.TableExprs, n.Where)
		}
		return true, nil
	}, ddl.TriggerSpec.Body)
}

func keepSingleTarget(from sqlparser.TableExprs, where *sqlparser.Where) {
	if where != nil && singleTable(from) != nil {
		where.Expr = withoutSemiJoins(where.Expr)
	}
}

// singleTable is the table that a statement changes; nil if it is no table, or there are others.
func singleTable(from sqlparser.TableExprs) *sqlparser.TableName {
	if len(from) != 1 {
		return nil
	}
	aliased, ok := from[0].(*sqlparser.AliasedTableExpr)
	if !ok {
		return nil
	}
	table, ok := aliased.Expr.(sqlparser.TableName)
	if !ok {
		return nil
	}
	return &table
}
