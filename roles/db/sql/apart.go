package sql

import (
	"slices"
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// tellApart says the aggregates of a query that differ in the case of a text, or of a table's
// name, in other words: the planner tells them by their texts in lower case, and computes
//
//	SELECT MAX(CONCAT(s, 'A')), MAX(CONCAT(s, 'a'))
//
// once. COALESCE of one argument is that argument.
//
// So are those of a query within it by such a text: it would take SUM(n) of
//
//	SELECT SUM(n) / (SELECT SUM(n) FROM t) FROM t GROUP BY k
//
// for the one outside.
func tellApart(st sqlparser.Statement) {
	for _, n := range nodesOf(st) {
		tellApartIn(n, nil)
	}
}

// tellApartIn does so in a part of a statement; outer are the aggregates of the queries around it.
func tellApartIn(n sqlparser.SQLNode, outer map[string][]string) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		s, ok := n.(*sqlparser.Select)
		if !ok {
			return true, nil
		}
		known := apartHere(s, outer)
		for _, from := range s.From {
			tellApartIn(from, nil)
		}
		for _, part := range []sqlparser.SQLNode{s.SelectExprs, s.Where, s.GroupBy, s.Having, s.OrderBy} {
			tellApartIn(part, known)
		}
		if s.With != nil {
			tellApartIn(s.With, nil)
		}
		return false, nil
	}, n)
}

// apartHere does so for the aggregates of one query, and returns what counts as they are, by whole
// texts in lower case, of them and of outer.
func apartHere(s *sqlparser.Select, outer map[string][]string) map[string][]string {
	known := map[string][]string{}
	for text, parts := range outer {
		for range parts {
			known[text] = append(known[text], "\x00outside")
		}
	}
	twice := shownTwice(s)
	for _, call := range aggregatesOf(s) {
		at := 0
		if call.Name.EqualString("group_concat") {
			at = 1 // behind its options
		}
		arg, ok := call.Exprs[at].(*sqlparser.AliasedExpr)
		if !ok {
			continue
		}
		exact, lower := exactParts(call), strings.ToLower(sqlparser.String(call))
		others := slices.Index(known[lower], exact)
		if others < 0 || twice[call] {
			others = len(known[lower])
			known[lower] = append(known[lower], exact)
		}
		for range others {
			arg.Expr = coalesced(arg.Expr)
		}
	}
	return known
}

// shownTwice are the aggregates that a query shows once more under the same name: the planner takes
// the name of the first, MAX(t.x), for a column.
func shownTwice(s *sqlparser.Select) map[*sqlparser.FuncExpr]bool {
	seen, twice := map[string]bool{}, map[*sqlparser.FuncExpr]bool{}
	for _, e := range s.SelectExprs {
		shown, ok := e.(*sqlparser.AliasedExpr)
		if !ok || !shown.As.IsEmpty() {
			continue
		}
		if call, ok := shown.Expr.(*sqlparser.FuncExpr); ok {
			text := strings.ToLower(sqlparser.String(call))
			twice[call], seen[text] = seen[text], true
		}
	}
	return twice
}

// aggregatesOf are the aggregates of a query without those of its subqueries.
func aggregatesOf(s *sqlparser.Select) []*sqlparser.FuncExpr {
	var calls []*sqlparser.FuncExpr
	visit := func(n sqlparser.SQLNode) (bool, error) {
		if f, ok := n.(*sqlparser.FuncExpr); ok && isAggregate(f) {
			calls = append(calls, f)
		}
		_, query := n.(*sqlparser.Subquery)
		return !query, nil
	}
	_ = sqlparser.Walk(visit, s.SelectExprs)
	if s.Having != nil {
		_ = sqlparser.Walk(visit, s.Having.Expr)
	}
	_ = sqlparser.Walk(visit, s.OrderBy)
	return calls
}

func isAggregate(f *sqlparser.FuncExpr) bool {
	return f.Over == nil && len(f.Exprs) > 0 && (f.IsAggregate() || f.Name.EqualString("group_concat") || f.Name.EqualString("any_value"))
}

// tellFramesApart says functions over windows that differ in their frames alone in other words: the
// planner tells them by their texts, in which frames that begin at the same row end at the same one.
func tellFramesApart(st sqlparser.Statement) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		s, ok := n.(*sqlparser.Select)
		if !ok {
			return true, nil
		}
		known := map[string][]string{} // texts with their windows, by those without
		visit := func(n sqlparser.SQLNode) (bool, error) {
			if f, ok := n.(*sqlparser.FuncExpr); ok && hasFrame(f) && len(f.Exprs) > 0 {
				over := f.Over
				whole := sqlparser.String(f)
				f.Over = nil
				plain := strings.ToLower(sqlparser.String(f))
				f.Over = over
				others := slices.Index(known[plain], whole)
				if others < 0 {
					others = len(known[plain])
					known[plain] = append(known[plain], whole)
				}
				sayTimes(f, others)
			}
			_, query := n.(*sqlparser.Subquery)
			return !query, nil
		}
		_ = sqlparser.Walk(visit, s.SelectExprs)
		_ = sqlparser.Walk(visit, s.OrderBy)
		return true, nil
	}, nodesOf(st)...)
}

// inlineWindows says the windows that functions of a query name by what is in its WINDOW clause: of those
// the planner takes ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING for nothing said.
func inlineWindows(s *sqlparser.Select) {
	if len(s.Window) == 0 {
		return
	}
	visit := func(n sqlparser.SQLNode) (bool, error) {
		f, ok := n.(*sqlparser.FuncExpr)
		if ok && f.Over != nil && !f.Over.NameRef.IsEmpty() && len(f.Over.PartitionBy) == 0 && len(f.Over.OrderBy) == 0 && f.Over.Frame == nil {
			for _, def := range s.Window {
				if def.Name.Equal(f.Over.NameRef) && def.NameRef.IsEmpty() {
					f.Over = &sqlparser.Over{PartitionBy: def.PartitionBy, OrderBy: def.OrderBy, Frame: def.Frame}
					break
				}
			}
		}
		_, query := n.(*sqlparser.Subquery)
		return !query, nil
	}
	_ = sqlparser.Walk(visit, s.SelectExprs)
	_ = sqlparser.Walk(visit, s.OrderBy)
}

// hasFrame says whether a function is over a window that says a frame, or has a name that may.
func hasFrame(f *sqlparser.FuncExpr) bool {
	return f.Over != nil && (f.Over.Frame != nil || !f.Over.NameRef.IsEmpty() || !f.Over.Name.IsEmpty())
}

// sayTimes says the first argument of a function in other words, so many times.
func sayTimes(f *sqlparser.FuncExpr, times int) {
	for range times {
		switch arg := f.Exprs[0].(type) {
		case *sqlparser.StarExpr: // of COUNT, which counts 1 for each row
			f.Exprs[0] = &sqlparser.AliasedExpr{Expr: coalesced(sqlparser.NewIntVal([]byte("1")))}
		case *sqlparser.AliasedExpr:
			arg.Expr = coalesced(arg.Expr)
		}
	}
}

// exactParts are the texts and tables' names in an expression.
func exactParts(e sqlparser.Expr) string {
	var parts []string
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.SQLVal:
			if n.Type == sqlparser.StrVal {
				parts = append(parts, string(n.Val))
			}
		case *sqlparser.ColName:
			parts = append(parts, n.Qualifier.Name.String())
		}
		return true, nil
	}, e)
	return strings.Join(parts, "\x00")
}
