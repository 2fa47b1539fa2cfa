package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/transform"

	"stack/roles/db/store"
)

// columnDesc describes a planner's column for the catalog. Its id is left to the
// caller. was is the type that the column had, nil if it is new.
func columnDesc(ctx *gms.Context, c *gms.Column, was *store.ColumnType) (store.ColumnDesc, error) {
	ct, err := store.ColumnTypeOf(c.Type)
	if err == nil {
		ct, err = restrict(ctx, c, ct, was)
	}
	if err != nil {
		return store.ColumnDesc{}, fmt.Errorf("column '%s': %w", c.Name, err)
	}
	d := store.ColumnDesc{
		Name:          c.Name,
		Type:          ct,
		Nullable:      c.Nullable && !c.PrimaryKey,
		Virtual:       c.Virtual && !c.HiddenSystem, // kept as STORED, like all
		AutoIncrement: c.AutoIncrement,
		Hidden:        c.Hidden || c.HiddenSystem,
		Comment:       c.Comment,
	}
	if err := refuseStored(ctx, c); err != nil {
		return d, err
	}
	if d.Default, err = exprDesc(ctx, c.Default); err != nil {
		return d, err
	}
	if span, ok := literalSpan(ctx, c.Default); ok && d.Default != nil && ct.Narrow() {
		d.Default.Text = "'" + timeText(span, ct.Digits()) + "'" // rounded once and for all
	}
	if d.Generated, err = exprDesc(ctx, c.Generated); err != nil {
		return d, err
	}
	if d.OnUpdate, err = exprDesc(ctx, c.OnUpdate); err != nil {
		return d, err
	}
	if c.HiddenSystem {
		d.Extra = []byte(hiddenSystem)
	}
	return d, nil
}

// hiddenSystem in ColumnDesc.Extra marks the column behind a functional index.
const hiddenSystem = "system"

// exprDesc keeps an expression as text without table names, so that it survives a
// rename of the table.
func exprDesc(ctx *gms.Context, v *gms.ColumnDefaultValue) (*store.Expr, error) {
	if v == nil {
		return nil, nil
	}
	if kept, ok := v.Expr.(*gms.UnresolvedColumnDefault); ok {
		// As it is stored: printed again it would have more brackets each time.
		return &store.Expr{Text: kept.String(), Literal: v.Literal, Parenthesized: v.Parenthesized, ReturnNil: v.ReturnNil}, nil
	}
	bare, _, err := transform.Expr(ctx, v, stripTableName)
	if err != nil {
		return nil, err
	}
	text := bare.String()
	if v.Parenthesized && !strings.HasPrefix(text, "(") {
		// (NOW()) is printed as CURRENT_TIMESTAMP, which only columns of dates may have without brackets.
		text = "(" + text + ")"
	}
	return &store.Expr{Text: text, Literal: v.Literal, Parenthesized: v.Parenthesized, ReturnNil: v.ReturnNil}, nil
}

func stripTableName(_ *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	field, ok := e.(*expression.GetField)
	if !ok {
		return e, transform.SameTree, nil
	}
	bare := expression.NewGetField(field.Index(), field.Type(nil), field.Name(), field.IsNullable(nil))
	return bare.WithQuotedNames(gms.DefaultMySQLSchemaFormatter, true), transform.NewTree, nil
}

func defaultValue(e *store.Expr) *gms.ColumnDefaultValue {
	if e == nil {
		return nil
	}
	return gms.NewUnresolvedColumnDefaultValue(e.Text)
}

// tableSchema builds the planner's schema of a table. The planner changes columns and
// defaults in place at times, so each statement gets its own.
func tableSchema(t *store.Table, database, name string) gms.PrimaryKeySchema {
	desc := t.Desc
	primary := make(map[uint16]bool, len(desc.Primary.Columns))
	for _, c := range desc.Primary.Columns {
		primary[c.Column] = true
	}
	columns := make([]gms.Column, len(desc.Columns))
	schema := make(gms.Schema, len(desc.Columns))
	for i := range desc.Columns {
		d := &desc.Columns[i]
		system := string(d.Extra) == hiddenSystem
		columns[i] = gms.Column{
			Name:           d.Name,
			Type:           t.Types[i],
			Source:         name,
			DatabaseSource: database,
			Nullable:       d.Nullable,
			PrimaryKey:     primary[d.ID],
			Default:        defaultValue(d.Default),
			Generated:      defaultValue(d.Generated),
			OnUpdate:       defaultValue(d.OnUpdate),
			Virtual:        d.Virtual,
			AutoIncrement:  d.AutoIncrement,
			Hidden:         d.Hidden && !system,
			HiddenSystem:   system,
			Comment:        d.Comment,
		}
		columns[i].Extra = extraOf(d)
		schema[i] = &columns[i]
	}
	ordinals := make([]int, 0, len(desc.Primary.Columns))
	for _, c := range desc.Primary.Columns {
		if _, at := desc.Column(c.Column); at >= 0 {
			ordinals = append(ordinals, at)
		}
	}
	return gms.NewPrimaryKeySchema(schema, ordinals...)
}

// extraOf is what SHOW COLUMNS says in Extra; empty where the planner knows what belongs there. Tools that dump rows tell
// by it which columns take no values.
func extraOf(d *store.ColumnDesc) string {
	switch {
	case d.AutoIncrement:
		return "auto_increment"
	case d.Generated != nil:
		return "STORED GENERATED"
	case d.OnUpdate != nil && d.Default != nil && !d.Default.Literal:
		return "DEFAULT_GENERATED on update " + d.OnUpdate.Text
	case d.OnUpdate != nil:
		return "on update " + d.OnUpdate.Text
	}
	return ""
}
