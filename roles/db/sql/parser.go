package sql

import (
	"context"
	"regexp"
	"slices"
	"strconv"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// parser is the planner's parser with what the planner does not do as MySQL does said in
// other words.
type parser struct{ *gms.MysqlParser }

var _ gms.Parser = parser{}

// ParseSimple parses a statement.
func (p parser) ParseSimple(query string) (sqlparser.Statement, error) {
	read, _ := diagnosticsAsSet(query)
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
	read, other := diagnosticsAsSet(query)
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
	read, other := diagnosticsAsSet(query)
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
	return inOtherWords(text, st), text, rest, err
}

// ParseOneWithOptions parses the first statement of a text and says where the next begins.
func (p parser) ParseOneWithOptions(ctx context.Context, query string, options sqlparser.ParserOptions) (sqlparser.Statement, int, error) {
	read, _ := diagnosticsAsSet(query)
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
	read, _ := diagnosticsAsSet(text)
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
	st = someIndexes(matchCalls(text, st))
	keepNamesCollation(text, st)
	sayDigits(st)
	sayOrdinals(st)
	groupByConstants(st)
	shiftCalls(st)
	typedCalls(st)
	groupConcatCalls(st)
	tellApart(st)
	keepDigits(st)
	keepTriggerTargets(st)
	nameSelectedByList(st)
	keepRestrictions(st)
	return st
}

// sayOrdinals says ORDER BY 1 of a SELECT DISTINCT by the expression that it means, where that
// is more than a column: the planner would compute it of rows that have its value only.
func sayOrdinals(st sqlparser.Statement) {
	if st == nil {
		return
	}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		s, ok := n.(*sqlparser.Select)
		if !ok || !s.QueryOpts.Distinct {
			return true, nil
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
		return true, nil
	}, st)
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
func groupByConstants(st sqlparser.Statement) {
	eachSelect(st, func(s *sqlparser.Select) {
		for i, e := range s.GroupBy {
			if v, ok := e.(*sqlparser.SQLVal); ok && v.Type != sqlparser.IntVal && v.Type != sqlparser.ValArg {
				s.GroupBy[i] = &sqlparser.FuncExpr{Name: sqlparser.NewColIdent("coalesce"), Exprs: sqlparser.SelectExprs{&sqlparser.AliasedExpr{Expr: e}}}
			}
		}
	})
}

// selected is the last of some selected expressions; nil where it has a name, is a column, or
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
		return nil
	}
	return last.Expr
}
