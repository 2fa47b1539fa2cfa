package sql

import (
	"cmp"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// lendDatabase makes the database of a view the current one while a statement runs that has
// none and says of all its tables where they are: the planner reads a view with a current
// database only. So it does for a SHOW what is in a database, views among it, and for a RENAME; SHOW TRIGGERS and SHOW EVENTS it
// answers of the current database whichever they name. What is returned takes it back.
func (s *Session) lendDatabase(st sqlparser.Statement) (back func()) {
	if was := s.GetCurrentDatabase(); was != "" {
		named := ofNamedDatabase(s.unprepared(st))
		if named == "" {
			return func() {}
		}
		s.SetCurrentDatabase(named) // the planner says where there is none
		return func() { s.SetCurrentDatabase(was) }
	}
	switch of := st.(type) {
	case *sqlparser.Execute:
		st, _ = s.BaseSession.GetPreparedQuery(of.Name)
	case *sqlparser.Explain:
		st = of.Statement
	case *sqlparser.Prepare:
		st, _ = parseText(s.asRead(of.Expr), gms.LoadSqlMode(s.context(ctxBackground, "")).ParserOptions()) // what cannot be read the planner says
	}
	if st == nil {
		return func() {}
	}
	database := cmp.Or(renamedDatabase(st), s.viewsDatabase(st))
	if show, ok := st.(*sqlparser.Show); ok {
		database = shownDatabase(show)
		if strings.EqualFold(show.Type, "procedure status") {
			database = s.anyDatabase()
		}
	}
	if findDatabase(s.catalog(), database) == nil {
		return func() {}
	}
	s.SetCurrentDatabase(database)
	s.lent = true
	return func() {
		s.lent = false
		s.SetCurrentDatabase("")
	}
}

// ofNamedDatabase is the database that SHOW TRIGGERS or SHOW EVENTS names; empty where it names none, and for every other
// statement.
func ofNamedDatabase(st sqlparser.Statement) string {
	show, ok := st.(*sqlparser.Show)
	if !ok || !strings.EqualFold(show.Type, "triggers") && !strings.EqualFold(show.Type, "events") {
		return ""
	}
	return shownDatabase(show)
}

// viewsDatabase is the database of a view that a statement reads, empty where there is none, or
// a part of the statement depends on the current database.
func (s *Session) viewsDatabase(st sqlparser.Statement) string {
	database, depends := "", false
	see := func(t sqlparser.TableName) {
		d := t.DbQualifier.String()
		depends = depends || d == ""
		if o := findObject(s.catalog(), objectView, d, t.Name.String()); o != nil {
			database = d
		}
		if strings.EqualFold(d, "information_schema") && strings.EqualFold(t.Name.String(), "routines") {
			database = s.anyDatabase()
		}
	}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.AliasedTableExpr:
			if t, ok := n.Expr.(sqlparser.TableName); ok {
				see(t)
			}
		case *sqlparser.Insert:
			see(n.Table)
		case *sqlparser.FuncExpr:
			if name := n.Name.Lowered(); name == "database" || name == "schema" {
				depends = true
			}
		}
		return !depends, nil
	}, st)
	if depends {
		return ""
	}
	return database
}

// anyDatabase is one that is there: to list procedures the planner reads their texts with a current database, whichever it
// is, and leaves out all of them without one.
func (s *Session) anyDatabase() string {
	for _, d := range s.catalog().Databases() {
		return d.Name
	}
	return ""
}

// shownDatabase is the database that a SHOW names; empty where it names none.
func shownDatabase(show *sqlparser.Show) string {
	listed := ""
	if o := show.ShowTablesOpt; o != nil {
		listed = cmp.Or(o.DbName, o.SchemaName)
	}
	return cmp.Or(listed, show.Database, show.Table.DbQualifier.String())
}
