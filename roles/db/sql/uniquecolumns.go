package sql

import (
	"slices"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// uniqueOptions are UNIQUE and UNIQUE KEY in a column's definition, for which the parser has no public name.
var uniqueOptions = []sqlparser.ColumnKeyOption{keyOption("UNIQUE"), keyOption("UNIQUE KEY")}

// keyOption is an option of a column as the parser has it.
func keyOption(text string) sqlparser.ColumnKeyOption {
	st, err := sqlparser.Parse("CREATE TABLE t (a INT " + text + ")")
	if err != nil {
		panic(err)
	}
	return st.(*sqlparser.DDL).TableSpec.Columns[0].Type.KeyOpt
}

// uniqueColumns makes a clause ADD UNIQUE (a) of each UNIQUE in a column of ALTER TABLE. The planner makes an index
// with the name of the column, of which there may be one: what keeps a table as its definition says
// repeats MODIFY a INT UNIQUE. An index that is given no name gets one that is free.
func uniqueColumns(st sqlparser.Statement) {
	alter, ok := st.(*sqlparser.AlterTable)
	if !ok {
		return
	}
	for i := len(alter.Statements) - 1; i >= 0; i-- {
		clause := alter.Statements[i]
		if clause.ColumnAction == "" || clause.TableSpec == nil || len(clause.TableSpec.Columns) != 1 {
			continue
		}
		column := clause.TableSpec.Columns[0]
		if !slices.Contains(uniqueOptions, column.Type.KeyOpt) {
			continue
		}
		column.Type.KeyOpt = 0
		alter.Statements = slices.Insert(alter.Statements, i+1, &sqlparser.DDL{Action: clause.Action, Table: clause.Table, Auth: clause.Auth,
			IndexSpec: &sqlparser.IndexSpec{Action: sqlparser.CreateStr, Type: sqlparser.UniqueStr, Fields: []*sqlparser.IndexField{{Column: column.Name}}}})
	}
}
