package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// Expressions of a table's definition run as the account that writes or reads its rows: a
// stored function in one would do what that account may do. MySQL takes none there.

// refuseStored refuses stored functions in a column's default and in what it is generated
// from: errors 3770 and 3763.
func refuseStored(ctx *gms.Context, c *gms.Column) error {
	if s, err := sessionOf(ctx); err != nil || s.replay != nil {
		return err
	}
	if name := storedIn(ctx, c.Default); name != "" {
		return mysqlError(3770, "Default value expression of column '%s' contains a disallowed function: `%s`.", c.Name, name)
	}
	if name := storedIn(ctx, c.Generated); name != "" {
		return mysqlError(3763, "Expression of generated column '%s' contains a disallowed function: `%s`.", c.Name, name)
	}
	return nil
}

// storedIn names a stored function in an expression, empty if there is none.
func storedIn(ctx *gms.Context, v *gms.ColumnDefaultValue) (name string) {
	if v == nil {
		return ""
	}
	gms.Inspect(ctx, v, func(_ *gms.Context, e gms.Expression) bool {
		if f, ok := e.(*storedFunction); ok {
			name = f.r.name
		}
		return name == ""
	})
	return name
}

// refuseStoredCheck refuses stored functions in a CHECK: error 3814.
func refuseStoredCheck(ctx *gms.Context, check *gms.CheckDefinition) error {
	s, err := sessionOf(ctx)
	if err != nil || s.replay != nil {
		return err
	}
	st, err := parseText("SELECT "+check.CheckExpression, gms.LoadSqlMode(ctx).ParserOptions())
	if err != nil {
		return gms.ErrSyntaxError.New(err)
	}
	return sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		f, ok := n.(*sqlparser.FuncExpr)
		if !ok {
			return true, nil
		}
		if _, stored := s.storedFunctionNamed(f.Qualifier.String(), f.Name.String()); stored {
			return false, mysqlError(3814, "An expression of a check constraint '%s' contains disallowed function: `%s`.", check.Name, f.Name.String())
		}
		return true, nil
	}, st)
}
