package direct

import (
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// compileGroup reads a GROUP BY that changes nothing: by all columns of the primary key,
// so that each row is a group.
func (r *read) compileGroup(s scopes, exprs sqlparser.SelectExprs, by sqlparser.GroupBy) Reason {
	if len(by) == 0 {
		return None
	}
	if len(s) > 1 || len(r.aggregates) > 0 || r.distinct {
		return Shape
	}
	var columns []int
	for _, e := range by {
		column, ok := s.column(e)
		if !ok || s.hidden(column, exprs) {
			return Shape
		}
		columns = append(columns, column)
	}
	if !s.keyed(0, columns) {
		return Shape
	}
	return None
}
