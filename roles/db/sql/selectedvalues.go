package sql

import (
	"slices"
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// newValues is the name of the rows that an INSERT … SELECT … ON DUPLICATE KEY UPDATE brings.
const newValues = "new values"

// nameSelected lets ON DUPLICATE KEY UPDATE read VALUES(x) of what a SELECT brings, which the planner
// knows of VALUES alone: the rows become a derived table whose columns are called like those that
// they are for. The statement is changed in place, once; columnsOf lists the columns of a table
// where the statement does not.
func nameSelected(insert *sqlparser.Insert, columnsOf func(sqlparser.TableName) []string) {
	from, ok := insert.Rows.(sqlparser.SelectStatement)
	if !ok || len(insert.OnDup) == 0 || !asksForValues(insert.OnDup) {
		return
	}
	columns := insert.Columns
	if len(columns) == 0 {
		for _, name := range columnsOf(insert.Table) {
			columns = append(columns, sqlparser.NewColIdent(name))
		}
	}
	if len(columns) == 0 {
		return // not known yet, or the planner says that there is no such table
	}
	outer := &sqlparser.Select{From: sqlparser.TableExprs{&sqlparser.AliasedTableExpr{
		Expr: &sqlparser.Subquery{Select: from, Columns: columns}, As: sqlparser.NewTableIdent(newValues),
		Auth: sqlparser.AuthInformation{AuthType: sqlparser.AuthType_IGNORE}, // that of from is in from
	}}}
	for _, c := range columns {
		outer.SelectExprs = append(outer.SelectExprs, &sqlparser.AliasedExpr{Expr: newValue(c)})
	}
	for _, update := range insert.OnDup {
		update.Expr = replaced(update.Expr, func(e sqlparser.Expr) sqlparser.Expr {
			switch e := e.(type) {
			case *sqlparser.ValuesFuncExpr:
				for _, c := range columns {
					if c.Equal(e.Name.Name) {
						return newValue(c)
					}
				}
				return &sqlparser.NullVal{} // the statement gives it none
			case *sqlparser.ColName:
				if i := selectedAs(from, e, insert.Table, columns); i >= 0 {
					return newValue(columns[i])
				}
			}
			return nil
		})
	}
	insert.Rows, insert.Columns = outer, columns
}

func newValue(c sqlparser.ColIdent) *sqlparser.ColName {
	return &sqlparser.ColName{Name: c, Qualifier: sqlparser.TableName{Name: sqlparser.NewTableIdent(newValues)}}
}

func asksForValues(updates sqlparser.OnDup) (found bool) {
	for _, update := range updates {
		_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
			_, values := n.(*sqlparser.ValuesFuncExpr)
			found = found || values
			return !found, nil
		}, update.Expr)
	}
	return found
}

// selectedAs is which of the selected columns a column of the SELECT is, -1 for one of the table.
func selectedAs(from sqlparser.SelectStatement, c *sqlparser.ColName, into sqlparser.TableName, columns sqlparser.Columns) int {
	s, ok := from.(*sqlparser.Select)
	if !ok || len(s.SelectExprs) != len(columns) {
		return -1
	}
	of := c.Qualifier.Name.String()
	if strings.EqualFold(of, into.Name.String()) {
		return -1
	}
	if of == "" && slices.ContainsFunc(columns, c.Name.Equal) {
		return -1
	}
	return slices.IndexFunc(s.SelectExprs, func(e sqlparser.SelectExpr) bool {
		shown, ok := e.(*sqlparser.AliasedExpr)
		if !ok {
			return false
		}
		if of == "" && c.Name.Equal(shown.As) {
			return true
		}
		column, ok := shown.Expr.(*sqlparser.ColName)
		if !ok || !column.Name.Equal(c.Name) {
			return false
		}
		own := column.Qualifier.Name.String()
		return of == "" || own == "" || strings.EqualFold(of, own)
	})
}
