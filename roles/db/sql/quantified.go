package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// Comparisons with all rows of a query, or any (MySQL 8.4 manual, 15.2.15.3 and 15.2.15.4), are
// not in the parser's grammar. It reads signs in place of the words, as long as they, and what it has
// read is said in words that the planner has.
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
		word := strings.TrimRight(query[:at], " \t\r\n")
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
	for s.accept("(") {
	}
	switch s.peek() {
	case "SELECT", "WITH", "VALUES", "TABLE":
		return true
	}
	return false
}

// sayQuantifiers says the comparisons of a statement that was read from a text with marks.
func sayQuantifiers(text string, st sqlparser.Statement) {
	read, ok := quantifiersAsMarks(text)
	if !ok {
		return
	}
	var visit sqlparser.Visit
	visit = func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.SetOp: // of which the parser's walk visits the parts alone
			if n.With != nil {
				return true, sqlparser.Walk(visit, n.With)
			}
		case *sqlparser.AliasedExpr: // a column of the result is called by what was written
			if at := strings.Index(read, n.InputExpression); at >= 0 && n.InputExpression != "" {
				n.InputExpression = text[at : at+len(n.InputExpression)]
			}
		case *sqlparser.ComparisonExpr:
			sayQuantified(n)
		case *sqlparser.UnaryExpr:
			notQuantified(n)
		}
		return true, nil
	}
	_ = sqlparser.Walk(visit, nodesOf(st)...)
}

// marked is what stands behind a mark, which is empty where there is none.
func marked(e sqlparser.Expr) (mark string, of sqlparser.Expr) {
	for range len(allMark) {
		u, ok := e.(*sqlparser.UnaryExpr)
		if !ok {
			return "", nil
		}
		mark += strings.TrimSpace(u.Operator)
		e = u.Expr
	}
	if mark != allMark && mark != anyMark {
		return "", nil
	}
	return mark, e
}

// quantified is the query that a comparison is with all rows of, or any; nil: it is with something else.
func quantified(e sqlparser.Expr) (query *sqlparser.Subquery, all bool) {
	mark, e := marked(e)
	for {
		p, ok := e.(*sqlparser.ParenExpr)
		if !ok {
			break
		}
		e = p.Expr
	}
	query, _ = e.(*sqlparser.Subquery)
	return query, mark == allMark
}

// notQuantified makes a function that is none of a mark that is left: where MySQL has no such
// comparison, nothing may be computed.
func notQuantified(n *sqlparser.UnaryExpr) {
	mark, of := marked(n)
	if mark == "" {
		return
	}
	name := "any"
	if mark == allMark {
		name = "all"
	}
	n.Expr = &sqlparser.FuncExpr{Name: sqlparser.NewColIdent(name), Exprs: sqlparser.SelectExprs{&sqlparser.AliasedExpr{Expr: of}}}
}

// extremes are the comparisons of which those with all rows are some with the largest or smallest, as
// MySQL's optimizer says them too.
var extremes = map[string]struct{ all, any string }{
	sqlparser.GreaterThanStr:  {"MAX", "MIN"},
	sqlparser.GreaterEqualStr: {"MAX", "MIN"},
	sqlparser.LessThanStr:     {"MIN", "MAX"},
	sqlparser.LessEqualStr:    {"MIN", "MAX"},
}

// sayQuantified says a comparison with all rows of a query, or any: by IN, by the query's largest or
// smallest value, or by a query that counts.
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
	if _, isRow := n.Left.(sqlparser.ValTuple); isRow || hasMarks(n.Left) {
		return // refused by notQuantified; of what is left the copies would have copies
	}
	left, from := "("+unwrittenText(n.Left)+")", "FROM ("+unwrittenText(query.Select)+") AS `#rows` (`#v`)"
	extreme, ordered := extremes[n.Operator]
	text := ""
	switch {
	case ordered && !hasMarks(query):
		best := extreme.any
		if all {
			best = extreme.all
		}
		text = byExtreme(left+" "+n.Operator+" (SELECT "+best+"(`#v`) "+from+")", from, all)
	case !hasAggregate(n.Left): // which would be one of the query
		text = byCounts(left+" "+n.Operator+" `#v`", from, all)
	default:
		return
	}
	st, err := sqlparser.Parse("SELECT " + text)
	if err != nil {
		return
	}
	shown := st.(*sqlparser.Select).SelectExprs[0].(*sqlparser.AliasedExpr)
	n.Left, n.Operator, n.Right = shown.Expr, sqlparser.EqualStr, sqlparser.NewIntVal([]byte("1"))
}

// byExtreme is 1, 0 or NULL by a comparison with one value of the rows. The planner keeps what its queries
// give where they name nothing around them.
func byExtreme(compared, from string, all bool) string {
	none, decided, ends := "0", "("+compared+")", "1"
	if all {
		none, decided, ends = "1", "NOT ("+compared+")", "0"
	}
	return "CASE WHEN (SELECT COUNT(*) " + from + ") = 0 THEN " + none + " WHEN " + decided + " THEN " + ends +
		" WHEN (SELECT COUNT(*) - COUNT(`#v`) " + from + ") > 0 THEN NULL ELSE " + compared + " END"
}

// byCounts is 1, 0 or NULL by a comparison with each row.
func byCounts(compared, from string, all bool) string {
	ends, other, decisive := "1", "0", "("+compared+")"
	if all {
		ends, other, decisive = "0", "1", "NOT ("+compared+")"
	}
	return "(SELECT CASE WHEN COUNT(*) = 0 THEN " + other + " WHEN SUM(" + decisive + ") > 0 THEN " + ends +
		" WHEN COUNT(*) > COUNT(" + compared + ") THEN NULL ELSE " + other + " END " + from + ")"
}

// unwrittenText is the text of a part of a statement as it is parsed by no sql_mode. The parser would print what
// is selected as it was written.
func unwrittenText(n sqlparser.SQLNode) string {
	written := map[*sqlparser.AliasedExpr]string{}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if e, ok := n.(*sqlparser.AliasedExpr); ok && e.InputExpression != "" {
			written[e], e.InputExpression = e.InputExpression, ""
		}
		return true, nil
	}, n)
	text := sqlparser.String(n)
	for e, was := range written {
		e.InputExpression = was
	}
	return text
}

func hasMarks(n sqlparser.SQLNode) (found bool) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if e, ok := n.(*sqlparser.UnaryExpr); ok {
			mark, _ := marked(e)
			found = found || mark != ""
		}
		return !found, nil
	}, n)
	return found
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
