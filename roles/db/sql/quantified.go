package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// Comparisons with all rows of a query, or any (MySQL 8.4 manual, 15.2.15.3 and 15.2.15.4), are
// not in the parser's grammar. It reads signs in place of the words, as long as they and written by
// nobody, and what it has read is said in words that the planner has.
const (
	allMark = "-~-"
	anyMark = "~-~"
)

// quantifiersAsMarks reads every ALL, ANY and SOME between a comparison and a query as its mark.
func quantifiersAsMarks(query string) (string, bool) {
	if !mayQuantify(query) {
		return query, false
	}
	sc := &scanner{text: query}
	out := []byte(query)
	found := false
	before, compares := "", false // the token before, and whether a comparison ends with it
	for token := sc.next(); token != ""; token = sc.next() {
		if mark := quantifierMark(token); compares && mark != "" && sc.queryInBrackets() {
			copy(out[sc.pos-len(token):sc.pos], mark+" "[:len(token)-len(mark)])
			found = true
		}
		compares = token == "=" || token == "<" || token == ">" && before != "=" // <=> takes none
		before = token
	}
	return string(out), found
}

// mayQuantify says whether such a word stands before a bracket, perhaps in a text in quotes.
func mayQuantify(query string) bool {
	for at := 0; ; at++ {
		next := strings.IndexByte(query[at:], '(')
		if next < 0 {
			return false
		}
		at += next
		word := strings.TrimRight(query[max(0, at-16):at], " \t\r\n")
		if end := len(word); end >= 3 && (quantifierMark(word[end-3:]) != "" || end >= 4 && quantifierMark(word[end-4:]) != "") {
			return true
		}
	}
}

func quantifierMark(word string) string {
	switch {
	case strings.EqualFold(word, "ALL"):
		return allMark
	case strings.EqualFold(word, "ANY"), strings.EqualFold(word, "SOME"):
		return anyMark
	}
	return ""
}

// queryInBrackets says whether a query in brackets comes next, and leaves it where it is.
func (s *scanner) queryInBrackets() bool {
	at := s.pos
	defer func() { s.pos = at }()
	if !s.accept("(") {
		return false
	}
	switch s.peek() {
	case "SELECT", "WITH", "VALUES", "TABLE", "(":
		return true
	}
	return false
}

// quantified is the query that a comparison is with all rows of, or any; nil: it is with something else.
func quantified(e sqlparser.Expr) (query *sqlparser.Subquery, all bool) {
	mark := ""
	for range len(allMark) {
		u, ok := e.(*sqlparser.UnaryExpr)
		if !ok {
			return nil, false
		}
		mark += strings.TrimSpace(u.Operator)
		e = u.Expr
	}
	for {
		p, ok := e.(*sqlparser.ParenExpr)
		if !ok {
			break
		}
		e = p.Expr
	}
	query, _ = e.(*sqlparser.Subquery)
	if mark != allMark && mark != anyMark {
		return nil, false
	}
	return query, mark == allMark
}

// extremes are the comparisons of which those with all rows are some with the largest or smallest.
var extremes = map[string]struct{ all, any string }{
	sqlparser.GreaterThanStr:  {"MAX", "MIN"},
	sqlparser.GreaterEqualStr: {"MAX", "MIN"},
	sqlparser.LessThanStr:     {"MIN", "MAX"},
	sqlparser.LessEqualStr:    {"MIN", "MAX"},
	sqlparser.EqualStr:        {}, // with both
	sqlparser.NotEqualStr:     {},
}

// sayQuantified says a comparison with all rows of a query, or any, by IN, or by the query's
// largest and smallest values and how many it has.
func sayQuantified(n *sqlparser.ComparisonExpr) {
	query, all := quantified(n.Right)
	if query == nil {
		return
	}
	switch {
	case n.Operator == sqlparser.EqualStr && !all:
		n.Operator, n.Right = sqlparser.InStr, query
		return
	case n.Operator == sqlparser.NotEqualStr && all:
		n.Operator, n.Right = sqlparser.NotInStr, query
		return
	}
	_, isRow := n.Left.(sqlparser.ValTuple)
	extreme, ok := extremes[n.Operator]
	if isRow || !ok {
		return // refused by notQuantified
	}
	if e := byExtremes(n, query, all, extreme.all, extreme.any); e != nil {
		n.Left, n.Operator, n.Right = e, sqlparser.EqualStr, sqlparser.NewIntVal([]byte("1"))
	}
}

// byExtremes is 1, 0 or NULL; nil where it cannot be said.
func byExtremes(n *sqlparser.ComparisonExpr, query *sqlparser.Subquery, all bool, ofAll, ofAny string) sqlparser.Expr {
	from := "FROM (" + sqlparser.String(query.Select) + ") AS `#rows` (`#v`)"
	value := func(what string) string { return "(SELECT " + what + " " + from + ")" }
	nested := countQuantified(query) > 0
	if nested { // one copy of the query: more of each would be too many
		if hasAggregate(n.Left) {
			return nil
		}
		value = func(what string) string { return "`#" + what + "`" }
	}
	left := "(" + sqlparser.String(n.Left) + ")"
	compared := func(extreme string) string { return left + " " + n.Operator + " " + value(extreme+"(`#v`)") }
	if nested {
		compared = func(extreme string) string { return left + " " + n.Operator + " `#" + extreme + "`" }
	}
	var test string
	switch {
	case ofAll == "" && all:
		test = compared("MIN") + " AND " + compared("MAX")
	case ofAll == "":
		test = compared("MIN") + " OR " + compared("MAX")
	case all:
		test = compared(ofAll)
	default:
		test = compared(ofAny)
	}
	none, decided, ends := "0", "("+test+")", "1"
	if all {
		none, decided, ends = "1", "NOT ("+test+")", "0"
	}
	count, nulls := "COUNT(*)", "COUNT(*) - COUNT(`#v`)"
	if nested {
		count, nulls = "COUNT", "NULLS"
	}
	text := "CASE WHEN " + value(count) + " = 0 THEN " + none + " WHEN " + decided + " THEN " + ends +
		" WHEN " + value(nulls) + " > 0 THEN NULL ELSE " + test + " END"
	if nested {
		text = "(SELECT " + text + " FROM (SELECT COUNT(*) AS `#COUNT`, COUNT(*) - COUNT(`#v`) AS `#NULLS`, MIN(`#v`) AS `#MIN`, MAX(`#v`) AS `#MAX` " + from + ") AS `#all`)"
	}
	st, err := sqlparser.Parse("SELECT " + text)
	if err != nil {
		return nil
	}
	return st.(*sqlparser.Select).SelectExprs[0].(*sqlparser.AliasedExpr).Expr
}

func countQuantified(n sqlparser.SQLNode) (count int) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if e, ok := n.(*sqlparser.UnaryExpr); ok {
			if query, _ := quantified(e); query != nil {
				count++
			}
		}
		return true, nil
	}, n)
	return count
}

func hasAggregate(e sqlparser.Expr) (found bool) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.FuncExpr:
			found = found || isAggregate(n)
		case *sqlparser.GroupConcatExpr:
			found = true
		case *sqlparser.Subquery:
			return false, nil
		}
		return !found, nil
	}, e)
	return found
}

// notQuantified makes a function that is none of a mark that is left: where MySQL has no such
// comparison, nothing may be computed.
func notQuantified(n *sqlparser.UnaryExpr) {
	query, all := quantified(n)
	if query == nil {
		return
	}
	name := "any"
	if all {
		name = "all"
	}
	n.Expr = &sqlparser.FuncExpr{Name: sqlparser.NewColIdent(name), Exprs: sqlparser.SelectExprs{&sqlparser.AliasedExpr{Expr: query}}}
}
