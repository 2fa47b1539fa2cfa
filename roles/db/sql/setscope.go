package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// keepScope has the word GLOBAL, SESSION or the like before an assignment of a SET count for those behind it too that say
// none, as in MySQL. The parser takes it as of the first alone.
func keepScope(text string, st sqlparser.Statement) {
	set, ok := st.(*sqlparser.Set)
	sc := &scanner{text: text}
	if !ok || len(set.Exprs) < 2 || !sc.accept("SET") {
		return
	}
	scope := sqlparser.SetScope(sqlparser.SetScope_None)
	for _, e := range set.Exprs {
		if sc.scopeWord() {
			scope = e.Scope
		} else if e.Scope == sqlparser.SetScope_None && e.Name.Qualifier.IsEmpty() {
			e.Scope = scope
		}
		sc.behindComma()
	}
}

// scopeWord says whether a word that stands before a variable comes next.
func (s *scanner) scopeWord() bool {
	at := s.pos
	defer func() { s.pos = at }()
	word := strings.ToUpper(s.next())
	return slices.Contains([]string{"GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY"}, word) && nameToken(s.next())
}

// behindComma moves behind the next comma outside of brackets, or to the end.
func (s *scanner) behindComma() {
	for depth := 0; ; {
		switch s.next() {
		case "":
			return
		case "(":
			depth++
		case ")":
			depth--
		case ",":
			if depth == 0 {
				return
			}
		}
	}
}

// unknownVariable is what a client is told of a SET of a name that is none; nil: err is something
// else. The planner looks for a column of that name last.
func (s *Session) unknownVariable(err error) error {
	set, ok := s.running.st.(*sqlparser.Set)
	if !ok || !gms.ErrColumnNotFound.Is(err) {
		return nil
	}
	message := err.Error()
	for _, e := range set.Exprs {
		if name := e.Name.Name.String(); strings.Contains(message, `"`+name+`"`) {
			return mysqlError(1193, "Unknown system variable '%s'", name)
		}
	}
	return nil
}
