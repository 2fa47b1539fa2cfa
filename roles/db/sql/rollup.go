package sql

import (
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// GROUP BY … WITH ROLLUP is not in the parser's grammar. It is read as one more thing to group by,
// of the same length, so that positions in the text stay right:
//
//	GROUP BY a, b WITH ROLLUP
//	GROUP BY a, b ,__rollup()
//
// By it the rows of the GROUP BY are made (rollupRows). What the query shows of the things that it
// groups by, and GROUPING, become aggregates, which know how many of them a row is for.
const (
	rollupMark     = "__rollup"
	rollupAsMark   = "," + rollupMark + "()"
	rollupKey      = "__rollup_key"
	rollupGrouping = "__rollup_grouping"
)

// rollupsAsMarks reads every WITH ROLLUP of a text as its mark.
func rollupsAsMarks(query string) (string, bool) {
	if !containsFold(query, "ROLLUP") {
		return query, false
	}
	sc := &scanner{text: query}
	out := []byte(query)
	found := false
	groups := []bool{false} // by depth of parentheses: what stands there is grouped by
	for {
		sc.skip()
		start := sc.pos
		word := strings.ToUpper(sc.next())
		here := len(groups) - 1
		switch word {
		case "":
			return string(out), found
		case "(":
			groups = append(groups, false)
		case ")":
			groups = groups[:max(here, 1)]
		case "GROUP":
			groups[here] = sc.accept("BY")
		case "HAVING", "ORDER", "LIMIT", "SELECT", ";":
			groups[here] = false
		case "WITH":
			if groups[here] && sc.accept("ROLLUP") {
				copy(out[start:sc.pos], rollupAsMark+strings.Repeat(" ", sc.pos-start-len(rollupAsMark)))
				groups[here], found = false, true
			}
		}
	}
}

// rollup is what a query groups by.
type rollup struct {
	keys  []sqlparser.Expr
	parts []int // of each key: see partsOf
}

const (
	// mostRollupKeys bounds what a query WITH ROLLUP may group by: each row is in one group more than that.
	mostRollupKeys = 64
	tooManyKeys    = "with_rollup_of_more_than_64_expressions"
)

// partsOf is how many nodes an expression has, most+1 where they are more than most.
func partsOf(e sqlparser.Expr, most int) (n int) {
	_ = sqlparser.Walk(func(sqlparser.SQLNode) (bool, error) {
		if n++; n > most {
			return false, io.EOF // it is enough
		}
		return true, nil
	}, e)
	return n
}

// sayRollup makes aggregates of what a query WITH ROLLUP shows of the things that it groups by.
func sayRollup(s *sqlparser.Select) {
	last := len(s.GroupBy) - 1
	if last < 1 || !isRollupMark(s.GroupBy[last]) {
		return
	}
	if last > mostRollupKeys {
		s.GroupBy[last] = rollupCall(tooManyKeys) // which there is not
		return
	}
	var r rollup
	for i, e := range s.GroupBy[:last] {
		s.GroupBy[i] = groupedBy(s, e)
		r.keys = append(r.keys, s.GroupBy[i])
		r.parts = append(r.parts, partsOf(s.GroupBy[i], math.MaxInt))
	}
	for _, e := range s.SelectExprs {
		if e, ok := e.(*sqlparser.AliasedExpr); ok {
			column, isColumn := e.Expr.(*sqlparser.ColName)
			if e.Expr = r.change(e.Expr); isColumn && e.Expr != column && e.As.IsEmpty() {
				e.As = column.Name
			}
		}
	}
	if s.Having != nil {
		s.Having.Expr = r.change(s.Having.Expr)
	}
	for _, o := range s.OrderBy {
		if c, ok := o.Expr.(*sqlparser.ColName); ok && c.Qualifier.IsEmpty() && aliased(s, c) != nil {
			continue // it is what is shown
		}
		o.Expr = r.change(o.Expr)
	}
}

func isRollupMark(e sqlparser.Expr) bool {
	f, ok := e.(*sqlparser.FuncExpr)
	return ok && f.Name.EqualString(rollupMark)
}

// groupedBy is the expression that a part of GROUP BY means: what is shown at its number, or under
// its name. Which columns there are is not known here; one that the expression of that name has
// in it is one, and goes before the name.
func groupedBy(s *sqlparser.Select, e sqlparser.Expr) sqlparser.Expr {
	switch by := e.(type) {
	case *sqlparser.SQLVal:
		if at, err := strconv.Atoi(string(by.Val)); by.Type == sqlparser.IntVal && err == nil && 1 <= at && at <= len(s.SelectExprs) {
			if shown, ok := s.SelectExprs[at-1].(*sqlparser.AliasedExpr); ok {
				return shown.Expr
			}
		}
	case *sqlparser.ColName:
		if shown := aliased(s, by); by.Qualifier.IsEmpty() && shown != nil && !usesColumn(shown, by) {
			return shown
		}
	}
	return e
}

// aliased is what a query shows under a name, nil where there is no such thing.
func aliased(s *sqlparser.Select, name *sqlparser.ColName) sqlparser.Expr {
	for _, e := range s.SelectExprs {
		if e, ok := e.(*sqlparser.AliasedExpr); ok && e.As.Equal(name.Name) && !e.As.IsEmpty() {
			return e.Expr
		}
	}
	return nil
}

func usesColumn(e sqlparser.Expr, name *sqlparser.ColName) (uses bool) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		c, ok := n.(*sqlparser.ColName)
		uses = uses || ok && c.Name.Equal(name.Name)
		return !uses, nil
	}, e)
	return uses
}

// change says the parts of an expression that are grouped by, but for those in its aggregates and
// subqueries, as aggregates.
func (r rollup) change(e sqlparser.Expr) sqlparser.Expr {
	type part struct{ was, is sqlparser.Expr }
	var parts []part
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.Subquery, *sqlparser.GroupConcatExpr:
			return false, nil
		case *sqlparser.FuncExpr:
			if isAggregate(n) || n.Over != nil {
				return false, nil
			}
			if n.Name.EqualString("grouping") {
				if call := r.grouping(n); call != nil {
					parts = append(parts, part{n, call})
					return false, nil
				}
			}
		}
		if n, ok := n.(sqlparser.Expr); ok {
			if at := r.find(n); at >= 0 {
				parts = append(parts, part{n, rollupCall(rollupKey, sqlparser.NewIntVal([]byte(strconv.Itoa(at))), n)})
				return false, nil
			}
		}
		return true, nil
	}, e)
	for _, p := range parts {
		e = sqlparser.ReplaceExpr(e, p.was, p.is)
	}
	return e
}

func rollupCall(name string, args ...sqlparser.Expr) *sqlparser.FuncExpr {
	call := &sqlparser.FuncExpr{Name: sqlparser.NewColIdent(name)}
	for _, a := range args {
		call.Exprs = append(call.Exprs, &sqlparser.AliasedExpr{Expr: a})
	}
	return call
}

// grouping is GROUPING by the places of its arguments, nil if one of them is not grouped by.
func (r rollup) grouping(f *sqlparser.FuncExpr) sqlparser.Expr {
	call := rollupCall(rollupGrouping)
	for _, a := range f.Exprs {
		arg, ok := a.(*sqlparser.AliasedExpr)
		if !ok {
			return nil
		}
		at := r.find(arg.Expr)
		if at < 0 {
			return nil
		}
		call.Exprs = append(call.Exprs, &sqlparser.AliasedExpr{Expr: sqlparser.NewIntVal([]byte(strconv.Itoa(at)))})
	}
	return call
}

// find is the place of an expression among what is grouped by, -1 if it is not there.
func (r rollup) find(e sqlparser.Expr) int {
	for i, k := range r.keys {
		if reflect.TypeOf(e) == reflect.TypeOf(k) && partsOf(e, r.parts[i]) == r.parts[i] && sameExpr(e, k) {
			return i
		}
	}
	return -1
}

// sameExpr says whether two expressions are the same, with and without the names of tables.
func sameExpr(a, b sqlparser.Expr) bool {
	if a, ok := a.(*sqlparser.ColName); ok {
		b, ok := b.(*sqlparser.ColName)
		return ok && a.Name.Equal(b.Name) &&
			(a.Qualifier.IsEmpty() || b.Qualifier.IsEmpty() || strings.EqualFold(a.Qualifier.Name.String(), b.Qualifier.Name.String()))
	}
	if _, ok := a.(*sqlparser.SQLVal); ok {
		return false // a constant stays what it is
	}
	return strings.EqualFold(sqlparser.String(a), sqlparser.String(b)) && exactParts(a) == exactParts(b)
}
