package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/rowexec"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// showCreateTable shows a statement that makes the same table, here and elsewhere: dumps
// consist of them.
func (b distinctBuilder) showCreateTable(ctx *gms.Context, n *plan.ShowCreateTable, row gms.Row) (gms.RowIter, error) {
	schema, err := shownSchema(ctx, n.TargetSchema())
	if err != nil {
		return nil, err
	}
	other, err := n.WithTargetSchema(schema)
	if err != nil {
		return nil, err
	}
	shown := &shownTable{SchemaFormatter: tableFormatter{&gms.MySqlSchemaFormatter{}}}
	for _, index := range n.Indexes {
		if index.ID() == "PRIMARY" {
			shown.prefixes = index.PrefixLengths()
		}
	}
	return rowexec.NewBuilder(nil, gms.EngineOverrides{SchemaFormatter: shown}).Build(ctx, other, row)
}

// shownTable writes the parts of CREATE TABLE as the planner's formatter does, and what that leaves out.
type shownTable struct {
	gms.SchemaFormatter
	// prefixes are the lengths of the primary key's columns in it; 0: the whole column.
	prefixes []uint16
}

// GenerateCreateTableColumnDefinition writes TIMESTAMP NULL out.
func (f *shownTable) GenerateCreateTableColumnDefinition(c *gms.Column, value, onUpdate string, collation gms.CollationID) string {
	if c.Nullable && types.IsTimestampType(c.Type) {
		shown := *c
		shown.Type = nullTimestamp{c.Type}
		c = &shown
	}
	return f.SchemaFormatter.GenerateCreateTableColumnDefinition(c, value, onUpdate, collation)
}

// GenerateCreateTablePrimaryKeyDefinition writes the prefixes of columns.
func (f *shownTable) GenerateCreateTablePrimaryKeyDefinition(names []string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = f.QuoteIdentifier(name)
		if i < len(f.prefixes) && f.prefixes[i] > 0 {
			parts[i] += fmt.Sprintf("(%d)", f.prefixes[i])
		}
	}
	return "  PRIMARY KEY (" + strings.Join(parts, ",") + ")"
}

type anyType = gms.Type

// nullTimestamp is a TIMESTAMP that says that it may be NULL.
type nullTimestamp struct{ anyType }

// String is the type with NULL.
func (t nullTimestamp) String() string { return t.anyType.String() + " NULL" }
