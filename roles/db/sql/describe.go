package sql

import (
	"regexp"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// describeSink corrects what DESCRIBE and SHOW COLUMNS say: the planner puts the
// collation into the type and quotes around defaults, which MySQL does not, and tools
// that compare a schema with the wanted one would find a difference for ever.
type describeSink struct {
	sink
	typ, def int // positions, -1 if the answer is something else
}

func newDescribeSink(out sink) *describeSink { return &describeSink{sink: out, typ: -1, def: -1} }

// Columns looks whether this is the answer to SHOW COLUMNS.
func (d *describeSink) Columns(ctx *gms.Context, schema gms.Schema) error {
	if len(schema) >= 6 && schema[0].Name == "Field" && schema[1].Name == "Type" {
		d.typ = 1
		for i, c := range schema {
			if c.Name == "Default" {
				d.def = i
			}
		}
	}
	return d.sink.Columns(ctx, schema)
}

var collationInType = regexp.MustCompile(` (?:CHARACTER SET \w+ ?)?(?:COLLATE \w+)?$`)

// Row corrects a row of SHOW COLUMNS.
func (d *describeSink) Row(row gms.Row) error {
	if d.typ < 0 {
		return d.sink.Row(row)
	}
	row = row.Copy()
	if text, ok := row[d.typ].(string); ok {
		row[d.typ] = bareType(text)
	}
	if d.def >= 0 {
		if text, ok := row[d.def].(string); ok && len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'' {
			row[d.def] = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
		}
	}
	return d.sink.Row(row)
}

// bareType is a column's type without character set and collation.
func bareType(text string) string {
	return collationInType.ReplaceAllString(text, "")
}
