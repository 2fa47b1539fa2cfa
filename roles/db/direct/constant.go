package direct

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// constant steps over a comparison of two integers such as 1=1, which stays in the
// template: what it says decides how the statement is planned. false: there is none.
func (s *scanner) constant() bool {
	switch {
	case s.last == '(':
	case s.last == 'a' && (strings.EqualFold(s.word, "WHERE") || strings.EqualFold(s.word, "AND")):
	default:
		return false
	}
	at := s.at
	skip := func(in func(byte) bool) int {
		from := at
		for at < len(s.text) && in(s.text[at]) {
			at++
		}
		return at - from
	}
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	skip(isDigit)
	skip(blank)
	if at == len(s.text) || s.text[at] != '=' {
		return false
	}
	at++
	skip(blank)
	if skip(isDigit) == 0 || at < len(s.text) && (s.text[at] == '.' || isLetter(s.text[at])) {
		return false
	}
	s.at, s.last = at, '?'
	return true
}

// constantly takes over a condition between two integers; false: it is another one.
func (w *where) constantly(e *sqlparser.ComparisonExpr) bool {
	left, okLeft := e.Left.(*sqlparser.SQLVal)
	right, okRight := e.Right.(*sqlparser.SQLVal)
	if !okLeft || !okRight || left.Type != sqlparser.IntVal || right.Type != sqlparser.IntVal || e.Operator != sqlparser.EqualStr {
		return false
	}
	digits := func(v *sqlparser.SQLVal) string { return strings.TrimLeft(string(v.Val), "0") }
	w.never = w.never || digits(left) != digits(right)
	return true
}
