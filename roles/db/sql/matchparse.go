package sql

import (
	"reflect"
	"regexp"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// matchFunction is the name of the function; its arguments are the mode, what is
// searched for, and the columns.
const matchFunction = "fulltext_match"

var against = regexp.MustCompile(`(?i)\bagainst\b`)

// matchCalls makes a call of a function of ours of every MATCH in a statement: the planner's
// own MATCH looks into tables that it keeps beside the indexed one and knows no boolean mode.
func matchCalls(text string, st sqlparser.Statement) sqlparser.Statement {
	if st != nil && against.MatchString(text) {
		replaceMatches(reflect.ValueOf(&st).Elem())
	}
	return st
}

// replaceMatches does it for everything that v holds: the parser's nodes have no common
// way to replace one of them.
func replaceMatches(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		replaceMatches(v.Elem())
		if m, ok := v.Interface().(*sqlparser.MatchExpr); ok && v.CanSet() {
			v.Set(reflect.ValueOf(matchCall(m)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			replaceMatches(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				replaceMatches(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			replaceMatches(v.Index(i))
		}
	}
}

func matchCall(m *sqlparser.MatchExpr) *sqlparser.FuncExpr {
	mode := sqlparser.NewStrVal([]byte(m.Option))
	args := sqlparser.SelectExprs{&sqlparser.AliasedExpr{Expr: mode}, &sqlparser.AliasedExpr{Expr: m.Expr}}
	return &sqlparser.FuncExpr{Name: sqlparser.NewColIdent(matchFunction), Exprs: append(args, m.Columns...)}
}
