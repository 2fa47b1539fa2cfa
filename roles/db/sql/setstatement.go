package sql

import (
	"context"
	"strings"
)

// MariaDB's SET STATEMENT variable = value, … FOR statement: the session's variables have
// these values while the statement runs.

// notForStatement are variables that MariaDB does not take there, or that transactions
// and the connection depend on.
var notForStatement = map[string]bool{
	"autocommit": true, "character_set_client": true, "character_set_connection": true, "character_set_filesystem": true, "collation_connection": true, "insert_id": true, "interactive_timeout": true,
	"last_insert_id": true, "sql_log_bin": true, "transaction_isolation": true, "transaction_read_only": true, "tx_isolation": true, "tx_read_only": true, "wait_timeout": true,
}

// alsoChanged are variables that setting another one changes.
var alsoChanged = map[string]string{"character_set_database": "collation_database", "character_set_server": "collation_server"}

// setStatement runs query if it is a SET STATEMENT; done says that it was one.
func (s *Session) setStatement(ctx context.Context, query string, multi bool, out sink) (done bool, rest string, err error) {
	sc := &scanner{text: query}
	if !sc.accept("SET", "STATEMENT") {
		return false, "", nil
	}
	names, assignments, err := sc.statementVariables()
	if err != nil {
		return true, "", s.count(err)
	}
	for _, name := range names {
		if other := alsoChanged[name]; other != "" {
			names = append(names, other)
		}
	}
	before := make([]any, len(names))
	for i, name := range names {
		if before[i], err = s.BaseSession.GetSessionVariable(s.context(ctx, ""), name); err != nil {
			return true, "", s.count(s.tell(err))
		}
	}
	defer func() {
		for i, name := range names {
			if e := s.SetSessionVariable(s.context(ctx, ""), name, before[i]); e != nil && err == nil {
				err = s.count(s.tell(e))
			}
		}
	}()
	for _, a := range assignments {
		if _, err := s.runFirst(ctx, markOf(query)+"SET SESSION "+a, false, discard{}); err != nil {
			return true, "", err
		}
	}
	rest, err = s.runFirst(ctx, markOf(query)+query[sc.pos:], multi, out)
	return true, rest, err
}

// statementAlone is what a SET STATEMENT sets variables for, or the text itself. MariaDB logs such statements whole. What of
// the variables changes their outcome its log has beside the text; how long they might take there is nothing to who repeats them.
func statementAlone(text string) string {
	sc := &scanner{text: text}
	if !sc.accept("SET", "STATEMENT") {
		return text
	}
	if _, _, err := sc.statementVariables(); err != nil {
		return text
	}
	return text[sc.pos:]
}

// statementVariables reads the assignments up to FOR.
func (s *scanner) statementVariables() (names, assignments []string, err error) {
	for {
		s.skip()
		start := s.pos
		name := strings.ToLower(plainName(s.next()))
		if !nameToken(name) || s.next() != "=" {
			s.pos = start
			return nil, nil, s.unexpected()
		}
		if notForStatement[name] {
			return nil, nil, mysqlError(1971, "The system variable %s cannot be set in SET STATEMENT.", name)
		}
		end, last, err := s.value()
		if err != nil {
			return nil, nil, err
		}
		names, assignments = append(names, name), append(assignments, s.text[start:end])
		if last {
			return names, assignments, nil
		}
	}
}

// value moves behind the comma or the FOR that ends a value; end is where the value does.
func (s *scanner) value() (end int, last bool, err error) {
	for depth := 0; ; {
		s.skip()
		end = s.pos
		switch token := s.next(); {
		case token == "" || token == ";":
			return 0, false, s.unexpected()
		case token == "(":
			depth++
		case token == ")":
			depth--
		case depth == 0 && token == ",":
			return end, false, nil
		case depth == 0 && strings.EqualFold(token, "FOR"):
			return end, true, nil
		}
	}
}

// refuseSetStatement is for where a statement is not run as it is read.
func refuseSetStatement(*Session, *scanner) (*ownStatement, error) {
	return nil, notAvailable("SET STATEMENT in a prepared statement")
}
