package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// textMakers are functions whose text has the collation of their arguments, of which the
// planner's type says nothing: it would sort, group and compare CONCAT(name, ' ') byte by byte, and
// take UPPER of an ENUM for one.
var textMakers = map[string]gms.Function{}

func init() {
	names := map[string]bool{
		"concat": true, "concat_ws": true, "elt": true, "insert": true, "left": true, "lpad": true, "quote": true, "regexp_replace": true, "regexp_substr": true, "repeat": true,
		"replace": true, "right": true, "rpad": true, "soundex": true, "substring_index": true, "make_set": true, "export_set": true,
		"lcase": true, "lower": true, "ltrim": true, "mid": true, "reverse": true, "rtrim": true, "substr": true, "substring": true, "ucase": true, "upper": true,
	}
	for _, f := range function.BuiltIns {
		if names[f.FunctionName()] {
			textMakers[f.FunctionName()] = gms.FunctionN{Name: f.FunctionName(), Fn: func(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
				texts := make([]gms.Expression, len(args))
				for i, e := range args {
					texts[i] = memberText(ctx, e)
				}
				e, err := f.NewInstance(ctx, texts)
				if err != nil || !e.Resolved() {
					return e, err
				}
				collation, level := gms.GetCoercibility(ctx, e)
				return collatedText(ctx, e, collation, level), nil
			}}
		}
	}
}

// collatedText is an expression with the collation that its text has in its type, but for what is
// made of constants alone: that gives way to a column's, which a type cannot say.
func collatedText(ctx *gms.Context, e gms.Expression, collation gms.CollationID, level byte) gms.Expression {
	t, ok := e.Type(ctx).(gms.StringType)
	if !ok || level >= constantLevel || !types.IsTextOnly(t) || collation == t.Collation() || collation == gms.Collation_Unspecified || collation.CharacterSet() != gms.CharacterSet_utf8mb4 {
		return e
	}
	return &inType{expression.UnaryExpressionStub{Child: e}, textType(t.Length(), collation)}
}

// constantLevel is the coercibility of literals.
const constantLevel = 4

// textType is a text of so many characters, or the longest that there is.
func textType(length int64, collation gms.CollationID) gms.Type {
	return types.MustCreateString(sqltypes.Text, min(length, types.LongText.MaxByteLength()/collation.CharacterSet().MaxLength()), collation)
}

// typedCalls makes an argument of COALESCE of each CASE, and CAST to CHAR, in what a SELECT shows,
// groups and sorts by: the planner's types say nothing of a scale or a collation, and it asks for
// functions only.
func typedCalls(st sqlparser.Statement) {
	eachSelect(st, func(s *sqlparser.Select) {
		if !hasTables(s) {
			return
		}
		eachListed(s, func(e sqlparser.Expr) sqlparser.Expr {
			return replaced(e, func(e sqlparser.Expr) sqlparser.Expr {
				switch e := e.(type) {
				case *sqlparser.CaseExpr:
				case *sqlparser.ConvertExpr:
					if e.Type == nil || !strings.EqualFold(e.Type.Type, "char") {
						return nil
					}
				default:
					return nil
				}
				return &sqlparser.FuncExpr{Name: sqlparser.NewColIdent("coalesce"), Exprs: sqlparser.SelectExprs{&sqlparser.AliasedExpr{Expr: e}}}
			})
		})
	})
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

// eachListed changes what a SELECT shows, groups and sorts by.
func eachListed(s *sqlparser.Select, change func(sqlparser.Expr) sqlparser.Expr) {
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

// replaced is an expression without those in it, but for its subqueries', that other knows, from
// the inside.
func replaced(e sqlparser.Expr, other func(sqlparser.Expr) sqlparser.Expr) sqlparser.Expr {
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
