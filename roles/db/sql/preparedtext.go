package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// preparedText is what a statement of PREPARE was made of. The planner keeps its tree.
type preparedText struct {
	text     string
	database string // the current one then
}

// PrepareQuery keeps what a statement of PREPARE is made of.
func (s *Session) PrepareQuery(name string, st sqlparser.Statement) {
	if p, ok := s.running.st.(*sqlparser.Prepare); ok {
		text := p.Expr
		if v, ok := strings.CutPrefix(text, "@"); ok {
			if _, value, err := s.GetUserVariable(nil, v); err == nil {
				text, _ = value.(string)
			}
		}
		database := s.GetCurrentDatabase()
		if s.lent {
			database = ""
		}
		if s.preparedTexts == nil {
			s.preparedTexts = map[string]preparedText{}
		}
		s.preparedTexts[name] = preparedText{text, database}
	}
	s.BaseSession.PrepareQuery(name, st)
}

// asPrepared makes the database in which a statement was prepared the current one while it runs; what is returned takes
// it back, from a USE too.
func (s *Session) asPrepared(database string) (back func()) {
	was := s.GetCurrentDatabase()
	if was == database {
		return func() {}
	}
	s.SetCurrentDatabase(database)
	return func() { s.SetCurrentDatabase(was) }
}

// executing is asPrepared for an EXECUTE; each other statement runs in the current database.
func (s *Session) executing(st sqlparser.Statement) (back func()) {
	if ex, ok := st.(*sqlparser.Execute); ok {
		if prepared, ok := s.preparedTexts[ex.Name]; ok {
			return s.asPrepared(prepared.database)
		}
	}
	return func() {}
}
