package sql

import (
	"fmt"
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// refuseLostColumns refuses a change of a table after which a CHECK, a generated column or a default names a column
// that is gone or has another name: nothing could be written to the table then, nor its definition be shown. The
// planner looks at some of them only.
func refuseLostColumns(from, to *store.TableDesc) error {
	lost := map[string]bool{}
	for i := range from.Columns {
		if name := from.Columns[i].Name; columnNamed(to, name) < 0 {
			lost[strings.ToLower(name)] = true
		}
	}
	if len(lost) == 0 {
		return nil
	}
	for i := range to.Columns {
		c := &to.Columns[i]
		if name, err := lostIn(c.Generated, lost); err != nil {
			return fmt.Errorf("the expression of column %s: %w", c.Name, err)
		} else if name != "" {
			return mysqlError(3108, "Column '%s' has a generated column dependency.", name)
		}
		if name, err := lostIn(c.Default, lost); err != nil {
			return fmt.Errorf("the default of column %s: %w", c.Name, err)
		} else if name != "" {
			return mysqlError(1054, "Unknown column '%s' in 'DEFAULT'", name)
		}
	}
	for _, check := range to.Checks {
		if name, err := lostIn(&store.Expr{Text: check.Expr}, lost); err != nil {
			return fmt.Errorf("the expression of CHECK constraint %s: %w", check.Name, err)
		} else if name != "" {
			return columnInCheck(check.Name, name)
		}
	}
	return nil
}

// lostIn is a column that an expression names among those that are lost, empty if there is none.
func lostIn(e *store.Expr, lost map[string]bool) (name string, err error) {
	if e == nil || e.Literal {
		return "", nil
	}
	st, err := parseText("SELECT "+e.Text, sqlparser.ParserOptions{})
	if err != nil {
		return "", err
	}
	err = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if c, ok := n.(*sqlparser.ColName); ok && lost[c.Name.Lowered()] {
			name = c.Name.String()
		}
		return name == "", nil
	}, st)
	return name, err
}

func columnInCheck(check, column string) error {
	return mysqlError(3959, "Check constraint '%s' uses column '%s', hence column cannot be dropped or renamed.", check, column)
}

// renamedInSmall has CHANGE name the column that it renames in small letters: the planner looks so for the expressions
// that name it.
func renamedInSmall(clauses []*sqlparser.DDL) {
	for _, c := range clauses {
		if strings.EqualFold(c.ColumnAction, sqlparser.ChangeStr) && c.TableSpec != nil && len(c.TableSpec.Columns) == 1 && !c.Column.Equal(c.TableSpec.Columns[0].Name) {
			c.Column = sqlparser.NewColIdent(c.Column.Lowered())
		}
	}
}
