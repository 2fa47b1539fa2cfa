package sql

import "github.com/dolthub/vitess/go/vt/sqlparser"

// sayComplement says ~x as x ^ 18446744073709551615: the planner has no ~.
func sayComplement(e *sqlparser.UnaryExpr) {
	if e.Operator != sqlparser.TildaStr {
		return
	}
	all := sqlparser.NewIntVal([]byte("18446744073709551615"))
	e.Operator = sqlparser.PlusStr
	e.Expr = &sqlparser.ParenExpr{Expr: &sqlparser.BinaryExpr{Left: &sqlparser.ParenExpr{Expr: e.Expr}, Operator: sqlparser.BitXorStr, Right: all}}
}
