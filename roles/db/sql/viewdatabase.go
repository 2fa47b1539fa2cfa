package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// lendDatabase makes the database of a view the current one while a statement runs that has
// none and says of all its tables where they are: the planner reads a view with a current
// database only. What is returned takes it back.
func (s *Session) lendDatabase(st sqlparser.Statement) (back func()) {
	if s.GetCurrentDatabase() != "" {
		return func() {}
	}
	switch of := st.(type) {
	case *sqlparser.Execute:
		st, _ = s.BaseSession.GetPreparedQuery(of.Name)
	case *sqlparser.Prepare:
		st, _ = parseText(s.asRead(of.Expr), gms.LoadSqlMode(s.context(ctxBackground, "")).ParserOptions()) // what cannot be read the planner says
	}
	if st == nil {
		return func() {}
	}
	database := s.viewsDatabase(st)
	if database == "" {
		return func() {}
	}
	s.SetCurrentDatabase(database)
	return func() { s.SetCurrentDatabase("") }
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
