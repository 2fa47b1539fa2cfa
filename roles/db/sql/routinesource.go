package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// sourceOf is the text of a statement on definitions as the running routine has it. The
// tree that the parser makes does not know it, and what it prints of a tree is not always
// the statement again (members of an ENUM lose their quotes): it serves to find the text.
func (s *Session) sourceOf(ctx *gms.Context, st sqlparser.Statement) string {
	printed := sqlparser.String(st)
	source := s.calls[len(s.calls)-1].text
	body := scanner{text: source}
	for {
		body.skip()
		from := body.pos
		word := body.next()
		if word == "" {
			return printed
		}
		if !startsDefinition(word) {
			continue
		}
		text := toSemicolon(body.text[from:])
		found := s.parseInRoutine(ctx, text)
		if found == nil {
			continue
		}
		if _, err := s.classify(found); err == nil && sqlparser.String(found) == printed {
			return markOf(source) + text
		}
	}
}

// parseInRoutine parses a statement as the body of a routine is parsed, which is printed a
// little otherwise than one alone; nil where it is none.
func (s *Session) parseInRoutine(ctx *gms.Context, text string) sqlparser.Statement {
	st, _, _, err := s.engine.gms.Parser.Parse(ctx, "CREATE PROCEDURE p() BEGIN "+text+"; END", false)
	if err != nil {
		return nil
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.ProcedureSpec == nil {
		return nil
	}
	block, ok := ddl.ProcedureSpec.Body.(*sqlparser.BeginEndBlock)
	if !ok || len(block.Statements) != 1 {
		return nil
	}
	return block.Statements[0]
}

// startsDefinition reports whether a statement on definitions or accounts can begin with
// a word.
func startsDefinition(word string) bool {
	switch strings.ToUpper(word) {
	case "CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE":
		return true
	}
	return false
}

// toSemicolon is text up to the semicolon that ends the statement.
func toSemicolon(text string) string {
	s := scanner{text: text}
	for {
		s.skip()
		at := s.pos
		if t := s.next(); t == ";" || t == "" {
			return strings.TrimSpace(text[:at])
		}
	}
}

// viewAlone parses CREATE VIEW out of a routine again, with its own text: the planner keeps the
// text that a view stands in, and would keep the whole routine's.
func (s *Session) viewAlone(ctx *gms.Context, st sqlparser.Statement, text string) (sqlparser.Statement, bool) {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.ViewSpec == nil {
		return nil, false
	}
	view, _, _, err := s.engine.gms.Parser.Parse(ctx, text, false)
	if err != nil {
		return nil, false
	}
	if _, err := s.classify(view); err != nil {
		return nil, false
	}
	return view, true
}
