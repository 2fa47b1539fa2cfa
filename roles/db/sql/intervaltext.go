package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// The parser takes INTERVAL for the beginning of a span of time, also where it is the function
// INTERVAL(), and what is behind its brackets for the unit. It reads the function by another
// name, which is as long: what it says of places in a text is then right for what was said.
const (
	intervalFunction = "INTERVAL"
	intervalRead     = "intervl_"
)

// intervalCalls is a text that was parsed as st, or not, with err, with the function's other name
// where a bracket with a comma follows. ok is false where nothing is to be read otherwise.
func intervalCalls(text string, st sqlparser.Statement, err error) (read string, ok bool) {
	if !containsFold(text, intervalFunction) || err == nil && !spansOfLists(st) {
		return text, false
	}
	var b strings.Builder
	sc := scanner{text: text}
	from := 0
	for token := sc.next(); token != ""; token = sc.next() {
		if strings.EqualFold(token, intervalFunction) && sc.listInBrackets() {
			b.WriteString(text[from:sc.pos-len(token)] + intervalRead)
			from, ok = sc.pos, true
		}
	}
	return b.String() + text[from:], ok
}

// spansOfLists says whether a statement has a span of time of several values: it is none.
func spansOfLists(st sqlparser.Statement) (found bool) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if span, ok := n.(*sqlparser.IntervalExpr); ok {
			_, list := span.Expr.(sqlparser.ValTuple)
			found = found || list
		}
		return !found, nil
	}, nodesOf(st)...)
	return found
}

// nameIntervals gives columns of a result back the function's name.
func nameIntervals(st sqlparser.Statement) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if e, ok := n.(*sqlparser.AliasedExpr); ok {
			e.InputExpression = strings.ReplaceAll(e.InputExpression, intervalRead, intervalFunction)
		}
		return true, nil
	}, st)
}

// listInBrackets says whether brackets with a comma come next, and leaves them where they are.
func (s *scanner) listInBrackets() bool {
	at := s.pos
	defer func() { s.pos = at }()
	if s.next() != "(" {
		return false
	}
	for depth := 1; depth > 0; {
		switch s.next() {
		case "(":
			depth++
		case ")":
			depth--
		case ",":
			if depth == 1 {
				return true
			}
		case "":
			return false
		}
	}
	return false
}
