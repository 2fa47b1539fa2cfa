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
		if _, ok := call.Exprs[at].(*sqlparser.AliasedExpr); !ok {
			continue
		}
		exact, lower := exactParts(call), strings.ToLower(sqlparser.String(call))
		others := slices.Index(known[lower], exact)
		if others < 0 || twice[call] {
			others = len(known[lower])
			known[lower] = append(known[lower], exact)
		}
		sayTimes(call, at, others)
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
				sayTimes(f, 0, others)
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
		if f, ok := n.(*sqlparser.FuncExpr); ok && f.Over != nil {
			if def := wholeWindow(s.Window, (*sqlparser.WindowDef)(f.Over), len(s.Window)); def != nil {
				f.Over = (*sqlparser.Over)(def)
			}
		}
		_, query := n.(*sqlparser.Subquery)
		return !query, nil
	}
	_ = sqlparser.Walk(visit, s.SelectExprs)
	_ = sqlparser.Walk(visit, s.OrderBy)
}

// wholeWindow is a window with what it takes from those that it names, at most so many one after another;
// nil: it is left to the planner, which has the error for what MySQL refuses.
func wholeWindow(defs sqlparser.Window, w *sqlparser.WindowDef, most int) *sqlparser.WindowDef {
	out := &sqlparser.WindowDef{Frame: w.Frame, PartitionBy: slices.Clone(w.PartitionBy)}
	for _, o := range w.OrderBy {
		out.OrderBy = append(out.OrderBy, &sqlparser.Order{Expr: o.Expr, Direction: o.Direction})
	}
	if w.NameRef.IsEmpty() {
		return out
	}
	at := slices.IndexFunc(defs, func(def *sqlparser.WindowDef) bool { return def.Name.Equal(w.NameRef) })
	if at < 0 || most == 0 || len(w.PartitionBy) > 0 {
		return nil
	}
	base := wholeWindow(defs, defs[at], most-1)
	if base == nil || len(base.OrderBy) > 0 && len(out.OrderBy) > 0 || base.Frame != nil && (out.Frame != nil || len(out.OrderBy) > 0) {
		return nil
	}
	out.PartitionBy = base.PartitionBy
	if len(out.OrderBy) == 0 {
		out.OrderBy = base.OrderBy
	}
	if out.Frame == nil {
		out.Frame = base.Frame
	}
	return out
}

// hasFrame says whether a function is over a window that says a frame.
func hasFrame(f *sqlparser.FuncExpr) bool { return f.Over != nil && f.Over.Frame != nil }

// mostApart is how many functions of one query that the planner does not tell apart are said in other words:
// each takes one more than those before it.
const mostApart = 64

// tooManyAlike is called by what has more: it is no function.
const tooManyAlike = "more_than_64_calls_that_differ_in_case_or_frame_alone"

// sayTimes says an argument of a function in other words, so many times.
func sayTimes(f *sqlparser.FuncExpr, at, times int) {
	if times > mostApart {
		f.Name = sqlparser.NewColIdent(tooManyAlike)
		return
	}
	for range times {
		switch arg := f.Exprs[at].(type) {
		case *sqlparser.StarExpr: // of COUNT, which counts 1 for each row
			f.Exprs[at] = &sqlparser.AliasedExpr{Expr: coalesced(sqlparser.NewIntVal([]byte("1")))}
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
