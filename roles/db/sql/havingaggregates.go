package sql

import (
	"fmt"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// namedAggregates says a statement that the planner has refused with err in words that it takes; ok is false
// where that is not what was wrong. In HAVING it looks for the columns of aggregates by their names alone:
//
//	SELECT c.name FROM c JOIN o ON o.c = c.id GROUP BY c.id HAVING SUM(o.total) > 5 AND COUNT(o.id) > 1
//
// finds c.id for o.id, and says that there is no table o. So
//
//	SELECT g.c1 AS name FROM (SELECT c.name AS c1, SUM(o.total) AS h1, COUNT(o.id) AS h2 FROM … HAVING h1 > 5 AND h2 > 1) g
//
// names them.
func namedAggregates(st sqlparser.Statement, err error) (ok bool) {
	if !gms.ErrTableNotFound.Is(err) && !gms.ErrTableColumnNotFound.Is(err) && !gms.ErrColumnNotFound.Is(err) {
		return false
	}
	if ddl, ok := st.(*sqlparser.DDL); ok && ddl.ViewSpec != nil {
		return false // what is kept is its text, which would fail when it is read
	}
	var found []*sqlparser.Select
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if s, is := n.(*sqlparser.Select); is {
			found = append(found, s)
		}
		return true, nil
	}, nodesOf(st)...)
	for _, s := range found {
		ok = nameAggregates(s) || ok
	}
	return ok
}

// nameAggregates does so for one query.
func nameAggregates(s *sqlparser.Select) bool {
	if s.Having == nil || s.Into != nil || s.Lock != nil && s.Lock.Type != "" || s.QueryOpts.SQLCalcFoundRows || s.QueryOpts.Distinct && s.Limit != nil {
		return false
	}
	outer := &sqlparser.Select{With: s.With, QueryOpts: sqlparser.QueryOpts{Distinct: s.QueryOpts.Distinct}}
	inner := *s
	inner.With, inner.QueryOpts.Distinct, inner.SelectExprs = nil, false, nil
	for i, e := range s.SelectExprs {
		shown, ok := e.(*sqlparser.AliasedExpr)
		if !ok {
			return false
		}
		name := shown.As
		if name.IsEmpty() {
			name = nameShown(shown)
			shown = &sqlparser.AliasedExpr{Expr: shown.Expr, As: sqlparser.NewColIdent(fmt.Sprintf("shown column %d", i+1))}
		}
		inner.SelectExprs = append(inner.SelectExprs, shown)
		outer.SelectExprs = append(outer.SelectExprs, &sqlparser.AliasedExpr{Expr: &sqlparser.ColName{Name: shown.As}, As: name})
	}
	aggregates := 0
	inner.Having = &sqlparser.Where{Type: s.Having.Type, Expr: replaced(s.Having.Expr, func(e sqlparser.Expr) sqlparser.Expr {
		call, ok := e.(*sqlparser.FuncExpr)
		if !ok || !isAggregate(call) {
			return nil
		}
		aggregates++
		name := sqlparser.NewColIdent(fmt.Sprintf("aggregate %d", aggregates))
		inner.SelectExprs = append(inner.SelectExprs, &sqlparser.AliasedExpr{Expr: call, As: name})
		return &sqlparser.ColName{Name: name}
	})}
	if aggregates == 0 {
		return false
	}
	outer.From = sqlparser.TableExprs{&sqlparser.AliasedTableExpr{
		Expr: &sqlparser.Subquery{Select: &inner},
		As:   sqlparser.NewTableIdent("groups with aggregates"),
		Auth: sqlparser.AuthInformation{AuthType: sqlparser.AuthType_IGNORE},
	}}
	*s = *outer
	return true
}
