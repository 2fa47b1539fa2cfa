package sql

import (
	"strconv"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// mostRows is what a LIMIT or OFFSET is read as that is more: no table has so many rows, and the
// planner adds the two up.
const mostRows = 1 << 61

// boundLimit keeps the numbers of a LIMIT below what the planner can add up. LIMIT
// 18446744073709551615 OFFSET 5 is how MySQL is asked for all rows behind the fifth.
func boundLimit(l *sqlparser.Limit) {
	if l == nil {
		return
	}
	l.Rowcount, l.Offset = boundRows(l.Rowcount), boundRows(l.Offset)
}

func boundRows(e sqlparser.Expr) sqlparser.Expr {
	v, ok := e.(*sqlparser.SQLVal)
	if !ok || v.Type != sqlparser.IntVal {
		return e
	}
	if n, err := strconv.ParseUint(string(v.Val), 10, 64); err != nil || n <= mostRows {
		return e
	}
	return sqlparser.NewIntVal([]byte(strconv.Itoa(mostRows)))
}
