package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// shownSchema is a table's schema with defaults that SHOW CREATE TABLE prints so that the
// statement can be given again.
func shownSchema(ctx *gms.Context, s gms.Schema) (gms.Schema, error) {
	schema := s.Copy()
	for _, c := range schema {
		var err error
		switch {
		case c.Default == nil:
			showNull(c)
		case types.IsEnum(c.Type) || types.IsSet(c.Type):
			c.Default, err = namedDefault(ctx, c.Default)
		case !types.IsDatetimeType(c.Type) && !types.IsTimestampType(c.Type):
			bracketNow(c)
		}
		if err != nil {
			return nil, err
		}
	}
	return schema, nil
}

// showNull gives a column that may be NULL, and says nothing of a default, the DEFAULT NULL that it has: where
// explicit_defaults_for_timestamp is off other servers take a TIMESTAMP without it for NOT NULL.
func showNull(c *gms.Column) {
	if !c.Nullable || c.Generated != nil || types.IsTextBlob(c.Type) || types.IsJSON(c.Type) || types.IsGeometry(c.Type) {
		return
	}
	c.Default = &gms.ColumnDefaultValue{Expr: expression.NewLiteral(nil, types.Null), Literal: true, ReturnNil: true}
}

// namedDefault is the default of an ENUM or SET as the text that it stands for: the planner
// prints the number.
func namedDefault(ctx *gms.Context, d *gms.ColumnDefaultValue) (*gms.ColumnDefaultValue, error) {
	if !d.IsLiteral() {
		return d, nil
	}
	v, err := d.Eval(ctx, nil)
	if err != nil || v == nil {
		return d, err
	}
	text, _, err := types.TypeAwareConversion(ctx, v, d.Type(ctx), types.LongText)
	if err != nil {
		return nil, err
	}
	shown := *d
	shown.Expr, shown.OutType = expression.NewLiteral(text, types.LongText), types.LongText
	return &shown, nil
}

// bracketNow shows DEFAULT (NOW()) of a column that is no DATETIME or TIMESTAMP with its
// brackets: the planner prints it as CURRENT_TIMESTAMP.
func bracketNow(c *gms.Column) {
	if now, ok := c.Default.Expr.(*function.Now); ok {
		shown := *c.Default
		shown.Expr = bracketedNow{now}
		c.Default = &shown
	}
}

// bracketedNow is NOW(), written as MySQL shows it in brackets.
type bracketedNow struct{ *function.Now }

// String is the call.
func (b bracketedNow) String() string {
	return strings.Replace(strings.ToLower(b.Now.String()), "(0)", "()", 1)
}
