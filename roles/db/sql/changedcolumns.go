package sql

import (
	"slices"
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// changedColumns makes MODIFY a INT, RENAME COLUMN a TO b of each CHANGE a b INT of an ALTER TABLE that has an index over
// b made: the planner looks for b among the columns as CHANGE finds them.
func changedColumns(st sqlparser.Statement) {
	alter, ok := st.(*sqlparser.AlterTable)
	if !ok {
		return
	}
	for i := len(alter.Statements) - 1; i >= 0; i-- {
		clause := alter.Statements[i]
		if !strings.EqualFold(clause.ColumnAction, sqlparser.ChangeStr) || clause.TableSpec == nil || len(clause.TableSpec.Columns) != 1 {
			continue
		}
		column := clause.TableSpec.Columns[0]
		to := column.Name
		if clause.Column.Equal(to) || !indexes(alter, to) {
			continue
		}
		clause.ColumnAction, column.Name = sqlparser.ModifyStr, clause.Column
		alter.Statements = slices.Insert(alter.Statements, i+1, &sqlparser.DDL{Action: clause.Action, Table: clause.Table, Auth: clause.Auth,
			ColumnAction: sqlparser.RenameStr, Column: clause.Column, ToColumn: to})
	}
}

// indexes says whether an ALTER TABLE makes an index over a column.
func indexes(alter *sqlparser.AlterTable, column sqlparser.ColIdent) bool {
	return slices.ContainsFunc(alter.Statements, func(clause *sqlparser.DDL) bool {
		return clause.IndexSpec != nil && slices.ContainsFunc(clause.IndexSpec.Fields, func(f *sqlparser.IndexField) bool { return f.Column.Equal(column) })
	})
}
