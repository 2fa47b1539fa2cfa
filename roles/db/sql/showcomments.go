package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// tableFormatter writes SHOW CREATE TABLE as the planner does, with comments as MySQL quotes them. The planner
// writes a backslash before a double quote, which clients that do not expect one take for a part of
// the comment, and the comments of indexes as they are: such a statement could not be given again.
type tableFormatter struct{ *gms.MySqlSchemaFormatter }

var _ gms.SchemaFormatter = tableFormatter{}

// GenerateCreateTableStatement is the whole statement.
func (f tableFormatter) GenerateCreateTableStatement(table string, lines []string, temporary, autoIncrement, charset, collation, comment string) string {
	if comment != "" {
		comment = " COMMENT=" + quotedComment(comment)
	}
	return f.MySqlSchemaFormatter.GenerateCreateTableStatement(table, lines, temporary, autoIncrement, charset, collation, "") + comment
}

// GenerateCreateTableColumnDefinition is the line of a column.
func (f tableFormatter) GenerateCreateTableColumnDefinition(col *gms.Column, def, onUpdate string, collation gms.CollationID) string {
	bare := *col
	bare.Comment = ""
	return withComment(f.MySqlSchemaFormatter.GenerateCreateTableColumnDefinition(&bare, def, onUpdate, collation), col.Comment)
}

// GenerateCreateTableIndexDefinition is the line of an index; false where none is shown.
func (f tableFormatter) GenerateCreateTableIndexDefinition(unique, spatial, fullText, vector bool, name string, columns []string, comment string) (string, bool) {
	line, ok := f.MySqlSchemaFormatter.GenerateCreateTableIndexDefinition(unique, spatial, fullText, vector, name, columns, "")
	return withComment(line, comment), ok
}

func withComment(line, comment string) string {
	if comment == "" {
		return line
	}
	return line + " COMMENT " + quotedComment(comment)
}

var commentEscapes = strings.NewReplacer("'", "''", `\`, `\\`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

func quotedComment(comment string) string { return "'" + commentEscapes.Replace(comment) + "'" }
