package direct

import (
	"slices"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// compileGroup reads a GROUP BY that changes nothing: by all columns of the primary key,
// so that each row is a group.
func (r *read) compileGroup(s scope, exprs sqlparser.SelectExprs, by sqlparser.GroupBy) Reason {
	if len(by) == 0 {
		return None
	}
	if len(r.aggregates) > 0 || r.distinct || !s.table.HasPrimaryKey() {
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
	for _, column := range s.table.Primary.ColumnPositions() {
		// Texts that are equal for the key need not be so for the planner's groups.
		if !slices.Contains(columns, column) || classOf(s.table.Types[column]) != classInt {
			return Shape
		}
	}
	return None
}
