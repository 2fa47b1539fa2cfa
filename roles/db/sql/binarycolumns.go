package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// sayBinary says of columns with the attribute BINARY and no character set of their own (`c CHAR(1) BINARY`) which
// collation stands behind it, that of the table or the database: without one the planner forgets the attribute, and the
// column would not tell 'a' from 'A'.
func (s *Session) sayBinary(table sqlparser.TableName, st sqlparser.Statement) {
	var collation string
	for _, c := range declaredColumns(st) {
		if !c.Type.BinaryCollate || c.Type.Charset != "" || c.Type.Collate != "" {
			continue
		}
		if collation == "" {
			collation = s.collationAround(table, st)
		}
		c.Type.Collate = collation
	}
}

// collationAround is the collation of columns that name none; empty where the planner knows it,
// or says what is wrong with the statement.
func (s *Session) collationAround(table sqlparser.TableName, st sqlparser.Statement) string {
	d, err := s.databaseOf(table)
	if err != nil {
		return ""
	}
	if ddl, ok := st.(*sqlparser.DDL); ok && ddl.TableSpec != nil {
		for _, o := range ddl.TableSpec.TableOpts {
			switch strings.ToLower(o.Name) {
			case "charset", "character set", "collate":
				return ""
			}
		}
		return gms.CollationID(d.Collation).Name()
	}
	if t := findTable(s.catalog(), d.Name, table.Name.String()); t != nil {
		return gms.CollationID(t.Desc.Collation).Name()
	}
	return ""
}
