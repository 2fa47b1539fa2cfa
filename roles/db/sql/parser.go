package sql

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// parser is the planner's parser with what the planner does not do as MySQL does said in
// other words.
type parser struct{ *gms.MysqlParser }

var _ gms.Parser = parser{}

// asGrammar is a text with what is not in the parser's grammar in other words of the same length.
func asGrammar(query string) (read string, other bool) {
	read, sets := diagnosticsAsSet(query)
	read, marks := rollupsAsMarks(read)
	read, compared := quantifiersAsMarks(read)
	read, bare := withoutBrackets(read)
	return read, sets || marks || compared || bare
}

// ParseSimple parses a statement.
func (p parser) ParseSimple(query string) (sqlparser.Statement, error) {
	read, _ := asGrammar(query)
	st, err := p.MysqlParser.ParseSimple(read)
	if calls, ok := intervalCalls(read, st, err); ok {
		if other, e := p.MysqlParser.ParseSimple(calls); e == nil {
			nameIntervals(other)
			st, err = other, nil
		}
	}
	return inOtherWords(query, st), err
}

// Parse parses the first statement of a text by the session's sql_mode.
func (p parser) Parse(ctx *gms.Context, query string, multi bool) (sqlparser.Statement, string, string, error) {
	read, other := asGrammar(query)
	st, text, rest, err := p.MysqlParser.Parse(ctx, read, multi)
	if calls, ok := intervalCalls(read, st, err); ok {
		if of, t, r, e := p.MysqlParser.Parse(ctx, calls, multi); e == nil {
			nameIntervals(of)
			st, text, rest, err, read, other = of, t, r, nil, calls, true
		}
	}
	if other {
		text, rest = originalOf(query, read, text), originalOf(query, read, rest)
	}
	return inOtherWords(text, st), text, rest, err
}

// ParseWithOptions parses the first statement of a text.
func (p parser) ParseWithOptions(ctx context.Context, query string, delimiter rune, multi bool, options sqlparser.ParserOptions) (sqlparser.Statement, string, string, error) {
	read, other := asGrammar(query)
	st, text, rest, err := p.MysqlParser.ParseWithOptions(ctx, read, delimiter, multi, options)
	if calls, ok := intervalCalls(read, st, err); ok {
		if of, t, r, e := p.MysqlParser.ParseWithOptions(ctx, calls, delimiter, multi, options); e == nil {
			nameIntervals(of)
			st, text, rest, err, read, other = of, t, r, nil, calls, true
		}
	}
	if other {
		text, rest = originalOf(query, read, text), originalOf(query, read, rest)
	}
	st = inOtherWords(text, st)
	checkedAsDefined(ctx, query, st)
	return st, text, rest, err
}

// ParseOneWithOptions parses the first statement of a text and says where the next begins.
func (p parser) ParseOneWithOptions(ctx context.Context, query string, options sqlparser.ParserOptions) (sqlparser.Statement, int, error) {
	read, _ := asGrammar(query)
	st, next, err := p.MysqlParser.ParseOneWithOptions(ctx, read, options)
	if calls, ok := intervalCalls(read, st, err); ok {
		if of, n, e := p.MysqlParser.ParseOneWithOptions(ctx, calls, options); e == nil {
			nameIntervals(of)
			st, next, err = of, n, nil
		}
	}
	return inOtherWords(query, st), next, err
}

// parseText parses a text that does not come through the planner.
func parseText(text string, options sqlparser.ParserOptions) (sqlparser.Statement, error) {
	read, _ := asGrammar(text)
	st, err := sqlparser.ParseWithOptions(ctxBackground, read, options)
	if calls, ok := intervalCalls(read, st, err); ok {
		if other, e := sqlparser.ParseWithOptions(ctxBackground, calls, options); e == nil {
			nameIntervals(other)
			st, err = other, nil
		}
	}
	return inOtherWords(text, st), err
}

func inOtherWords(text string, st sqlparser.Statement) sqlparser.Statement {
	sayQuantifiers(text, st)
	st = someIndexes(matchCalls(text, st))
	keepScope(text, st)
	asWritten(text, st)
	keepNamesCollation(text, st)
	sayOtherwise(st)
	keepDigits(st)
	keepTriggerTargets(st)
	keepRestrictions(st)
	qualifyParents(st)
	return st
}

// sayOtherwise says all parts of a statement, and of the bodies of triggers and routines, in words
// that the planner takes as MySQL does, on one walk.
func sayOtherwise(st sqlparser.Statement) {
	aggregates, frames := 0, 0
	var visit sqlparser.Visit
	visit = func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.SetOp: // of which the parser's walk visits the parts alone
			boundLimit(n.Limit)
			nameConstants(n)
			if n.With != nil {
				return true, sqlparser.Walk(visit, n.With)
			}
		case *sqlparser.Select:
			inlineWindows(n)
			windowsOverGroups(n)
			sayRollup(n)
			sayOrdinals(n)
			groupByConstants(n)
			callListed(n)
		case *sqlparser.FuncExpr:
			if isAggregate(n) {
				aggregates++
			}
			if hasFrame(n) {
				frames++
			}
		case *sqlparser.ConvertExpr:
			sayDigits(n)
		case *sqlparser.ComparisonExpr:
			matchBytes(n)
		case *sqlparser.UnaryExpr:
			sayComplement(n)
		case *sqlparser.Limit:
			boundLimit(n)
		case *sqlparser.ValuesFuncExpr:
			n.Name.Qualifier = sqlparser.TableName{} // VALUES(t.n) is the new value as well
		case *sqlparser.Explain:
			if strings.EqualFold(n.ExplainFormat, "traditional") { // which is to say none
				n.ExplainFormat = ""
			}
		case *sqlparser.Insert:
			nameSelected(n, func(sqlparser.TableName) []string { return nil })
		}
		return true, nil
	}
	_ = sqlparser.Walk(visit, nodesOf(st)...)
	if aggregates > 1 {
		tellApart(st)
	}
	if frames > 1 {
		tellFramesApart(st)
	}
}

// nodesOf are a statement and what the parser's walk leaves out of it.
func nodesOf(st sqlparser.Statement) []sqlparser.SQLNode {
	if st == nil {
		return nil
	}
	nodes := []sqlparser.SQLNode{st}
	if ddl, ok := st.(*sqlparser.DDL); ok {
		if ddl.TriggerSpec != nil {
			nodes = append(nodes, ddl.TriggerSpec.Body)
		}
		if ddl.ProcedureSpec != nil {
			nodes = append(nodes, ddl.ProcedureSpec.Body)
		}
	}
	return nodes
}

// sayOrdinals says ORDER BY 1 of a SELECT DISTINCT by the expression that it means, where that
// is more than a column: the planner would compute it of rows that have its value only.
func sayOrdinals(s *sqlparser.Select) {
	if !s.QueryOpts.Distinct {
		return
	}
	for _, o := range s.OrderBy {
		v, ok := o.Expr.(*sqlparser.SQLVal)
		if !ok || v.Type != sqlparser.IntVal {
			continue
		}
		at, err := strconv.Atoi(string(v.Val))
		if err != nil || at < 1 || at > len(s.SelectExprs) {
			continue
		}
		if e := selected(s.SelectExprs[:at]); e != nil {
			o.Expr = e
		}
	}
}

// nameConstants names the constants of the first SELECT of a UNION that is ordered as a whole: the
// planner would take ORDER BY 1 for an order by the constant, which is none.
func nameConstants(n *sqlparser.SetOp) {
	if len(n.OrderBy) == 0 {
		return
	}
	first := n.Left
	for {
		switch x := first.(type) {
		case *sqlparser.SetOp:
			first = x.Left
			continue
		case *sqlparser.ParenSelect:
			first = x.Select
			continue
		case *sqlparser.Select:
			for _, e := range x.SelectExprs {
				nameConstant(e)
			}
		}
		return
	}
}

func nameConstant(e sqlparser.SelectExpr) {
	a, ok := e.(*sqlparser.AliasedExpr)
	if !ok || !a.As.IsEmpty() {
		return
	}
	switch a.Expr.(type) {
	case *sqlparser.SQLVal, *sqlparser.NullVal, sqlparser.BoolVal:
		name := a.InputExpression
		if name == "" {
			name = sqlparser.String(a.Expr)
		}
		a.As = sqlparser.NewColIdent(name)
	}
}

// namesCollation is the collation of SET NAMES … COLLATE, which the parser drops.
var namesCollation = regexp.MustCompile(`(?i)^\s*set\s+names\s+(?:'[^']*'|"[^"]*"|\w+)\s+collate\s+(?:'(\w+)'|"(\w+)"|(\w+))`)

// keepNamesCollation sets it after the names.
func keepNamesCollation(text string, st sqlparser.Statement) {
	set, ok := st.(*sqlparser.Set)
	if !ok {
		return
	}
	for i, e := range set.Exprs {
		if !e.Name.Name.EqualString("names") {
			continue
		}
		if found := namesCollation.FindStringSubmatch(text); found != nil {
			name := sqlparser.NewStrVal([]byte(found[1] + found[2] + found[3]))
			set.Exprs = slices.Insert(set.Exprs, i+1, &sqlparser.SetVarExpr{Name: sqlparser.NewColName("collation_connection"), Expr: name, Scope: sqlparser.SetScope_Session})
		}
		return
	}
}

// groupByConstants says a constant that is grouped by as an expression: the planner takes each for
// the number of a column.
func groupByConstants(s *sqlparser.Select) {
	for i, e := range s.GroupBy {
		if v, ok := e.(*sqlparser.SQLVal); ok && v.Type != sqlparser.IntVal && v.Type != sqlparser.ValArg {
			s.GroupBy[i] = coalesced(e)
		}
	}
}

// callListed makes calls of what a SELECT shows, groups and sorts by that is none: of these the
// planner asks for a function, whose type is right.
func callListed(s *sqlparser.Select) {
	typed := hasTables(s)
	change := func(e sqlparser.Expr) sqlparser.Expr {
		return replaced(e, func(e sqlparser.Expr) sqlparser.Expr {
			switch e := e.(type) {
			case *sqlparser.GroupConcatExpr:
				return concatCall(e)
			case *sqlparser.BinaryExpr:
				if typed {
					return shiftCall(e)
				}
			case *sqlparser.CaseExpr:
				if typed {
					return coalesced(e)
				}
			case *sqlparser.ConvertExpr:
				if typed && e.Type != nil && strings.EqualFold(e.Type.Type, "char") {
					return coalesced(e)
				}
			}
			return nil
		})
	}
	for _, e := range s.SelectExprs {
		if e, ok := e.(*sqlparser.AliasedExpr); ok {
			e.Expr = change(e.Expr)
		}
	}
	for i, e := range s.GroupBy {
		s.GroupBy[i] = change(e)
	}
	if s.Having != nil {
		s.Having.Expr = change(s.Having.Expr)
	}
	for _, o := range s.OrderBy {
		o.Expr = change(o.Expr)
	}
}

// hasTables says whether a SELECT has tables. Those without are shown at once, and are what expressions
// of definitions are read as, which must be like those that a condition says.
func hasTables(s *sqlparser.Select) bool {
	for _, from := range s.From {
		if t, ok := from.(*sqlparser.AliasedTableExpr); ok {
			if name, ok := t.Expr.(sqlparser.TableName); ok && name.Name.String() == "dual" {
				continue
			}
		}
		return true
	}
	return false
}

// replaced is an expression without those in it, but for its subqueries', that other knows, from
// the inside.
func replaced(e sqlparser.Expr, other func(sqlparser.Expr) sqlparser.Expr) sqlparser.Expr {
	switch e.(type) {
	case *sqlparser.ColName, *sqlparser.SQLVal: // most of them
		if o := other(e); o != nil {
			return o
		}
		return e
	}
	var found []sqlparser.Expr
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if e, ok := n.(sqlparser.Expr); ok {
			found = append(found, e)
		}
		_, query := n.(*sqlparser.Subquery)
		return !query, nil
	}, e)
	for i := len(found) - 1; i >= 0; i-- {
		if o := other(found[i]); o != nil {
			e = sqlparser.ReplaceExpr(e, found[i], o)
		}
	}
	return e
}

// coalesced is COALESCE of one argument, which is that argument, of a type that is right.
func coalesced(e sqlparser.Expr) sqlparser.Expr {
	return &sqlparser.FuncExpr{Name: sqlparser.NewColIdent("coalesce"), Exprs: sqlparser.SelectExprs{&sqlparser.AliasedExpr{Expr: e}}}
}

// selected is the last of some selected expressions, by its name where it has one; nil where it is a column, or
// a * before it stands for others.
func selected(list sqlparser.SelectExprs) sqlparser.Expr {
	for _, e := range list {
		if _, ok := e.(*sqlparser.AliasedExpr); !ok {
			return nil
		}
	}
	last := list[len(list)-1].(*sqlparser.AliasedExpr)
	switch last.Expr.(type) {
	case *sqlparser.ColName, *sqlparser.SQLVal:
		return nil
	}
	if !last.As.IsEmpty() {
		return &sqlparser.ColName{Name: last.As}
	}
	return last.Expr
}
