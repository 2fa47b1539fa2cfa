package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// plainAlterView says ALTER VIEW as CREATE OR REPLACE VIEW; ok is false where the text is another statement.
func plainAlterView(text string) (plain string, ok bool) {
	sc := &scanner{text: text}
	if !sc.accept("ALTER") {
		return "", false
	}
	at := sc.pos
	for token := strings.ToUpper(sc.next()); token != "VIEW"; token = strings.ToUpper(sc.next()) {
		if token == "" || token == ";" || token == "TABLE" {
			return "", false
		}
	}
	return "CREATE OR REPLACE" + text[at:], true
}

// needView refuses ALTER VIEW of a view that is not there.
func (s *Session) needView(text string, st sqlparser.Statement) error {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.ViewSpec == nil || !(&scanner{text: text}).accept("ALTER") {
		return nil
	}
	d, err := s.databaseOf(ddl.ViewSpec.ViewName)
	if err != nil {
		return err
	}
	name := ddl.ViewSpec.ViewName.Name.String()
	if findObject(s.catalog(), objectView, d.Name, name) == nil {
		return gms.ErrTableNotFound.New(d.Name + "." + name)
	}
	return nil
}
