package sql

import (
	"regexp"
	"time"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/direct"
)

// quick is one of the planner's expressions with a short way to its value. The planner's
// comparisons convert the literal for every row anew, and its LIKE asks a matcher per
// character: a scan spends most of its time there.
type quick struct {
	gms.Expression
	// value is what Eval returns; false: the expression itself has to be asked.
	value func(row gms.Row) (any, bool)
}

var _ gms.CollationCoercible = (*quick)(nil)

// Eval returns the expression's value.
func (q *quick) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	if v, ok := q.value(row); ok {
		return v, nil
	}
	return q.Expression.Eval(ctx, row)
}

// WithChildren returns the planner's expression of other children.
func (q *quick) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	return q.Expression.WithChildren(ctx, children...)
}

// CollationCoercibility is the expression's.
func (q *quick) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, q.Expression)
}

// quicken is a rule for finished plans, the last one: the places of columns in rows are
// settled.
func quicken(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return quickenPlan(ctx, n)
}

func quickenPlan(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		switch n := n.(type) {
		case *plan.Filter:
			if before, ok := n.Expression.(*scanned); ok {
				n = plan.NewFilter(ctx, before.Expression, n.Child)
			}
			scan := scanCondition(ctx, n)
			quick, same, err := transform.OneNodeExpressions(ctx, n, quickExpression)
			if err != nil || scan == nil {
				return quick, same, err
			}
			scan.Expression = quick.(*plan.Filter).Expression
			if scan.rest != nil {
				if scan.rest, _, err = transform.Expr(ctx, scan.rest, quickExpression); err != nil {
					return nil, transform.SameTree, err
				}
			}
			return plan.NewFilter(ctx, scan, n.Child), transform.NewTree, nil
		case *plan.Project, *plan.GroupBy:
			if f, ok := n.Children()[0].(*plan.Filter); ok {
				noteUsed(ctx, f, n.(gms.Expressioner).Expressions())
			}
			return transform.OneNodeExpressions(ctx, n, quickExpression)
		case *plan.Sort, *plan.TopN, *plan.JoinNode, *plan.Having:
			return transform.OneNodeExpressions(ctx, n, quickExpression)
		}
		return n, transform.SameTree, nil
	})
}

func quickExpression(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	var value func(gms.Row) (any, bool)
	switch e := e.(type) {
	case *plan.Subquery:
		query, same, err := quickenPlan(ctx, e.Query)
		if err != nil || same {
			return e, transform.SameTree, err
		}
		return e.WithQuery(query), transform.NewTree, nil
	case *expression.Equals:
		value = quickComparison(ctx, e, func(n int) bool { return n == 0 })
	case *expression.LessThan:
		value = quickComparison(ctx, e, func(n int) bool { return n < 0 })
	case *expression.LessThanOrEqual:
		value = quickComparison(ctx, e, func(n int) bool { return n <= 0 })
	case *expression.GreaterThan:
		value = quickComparison(ctx, e, func(n int) bool { return n > 0 })
	case *expression.GreaterThanOrEqual:
		value = quickComparison(ctx, e, func(n int) bool { return n >= 0 })
	case *expression.Like:
		value = quickLike(ctx, e)
	}
	if value == nil {
		return e, transform.SameTree, nil
	}
	return &quick{e, value}, transform.NewTree, nil
}

// quickComparison compares a column with a literal where both are integers, texts, or a
// date and time; nil for all else.
func quickComparison(ctx *gms.Context, e expression.Comparer, holds func(n int) bool) func(gms.Row) (any, bool) {
	field, literal, ok := fieldAndLiteral(ctx, e.Left(), e.Right())
	if !ok {
		return nil
	}
	order := quickOrder(ctx, e, field.Type(ctx), literal)
	if order == nil {
		return nil
	}
	at := field.Index()
	return func(row gms.Row) (any, bool) {
		if at >= len(row) {
			return nil, false
		}
		v := row[at]
		if v == nil {
			return nil, true
		}
		n, ok := order(v)
		if !ok {
			return nil, false
		}
		return holds(n), true
	}
}

func fieldAndLiteral(ctx *gms.Context, left, right gms.Expression) (*expression.GetField, *expression.Literal, bool) {
	field, ok := left.(*expression.GetField)
	if !ok {
		return nil, nil, false
	}
	literal, ok := right.(*expression.Literal)
	return field, literal, ok && literal.Value() != nil
}

// plainDatetime is a literal that means the same to every conversion.
var plainDatetime = regexp.MustCompile(`^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?$`)

// quickOrder returns what orders a column's value and the literal; nil where it takes more
// than to compare them.
func quickOrder(ctx *gms.Context, e expression.Comparer, column gms.Type, literal *expression.Literal) func(v any) (int, bool) {
	with := literal.Value()
	switch text, isText := with.(string); {
	case types.IsInteger(column) && types.IsInteger(literal.Type(ctx)):
		return func(v any) (int, bool) { return direct.CompareInts(v, with) }
	case isText && types.IsTextOnly(column) && types.IsTextOnly(literal.Type(ctx)):
		w := weightsOf(comparedBy(ctx, e))
		if w == nil || !utf8.ValidString(text) {
			return nil
		}
		weights := w.all(text)
		return func(v any) (int, bool) {
			text, ok := v.(string)
			if !ok || !utf8.ValidString(text) {
				return 0, false
			}
			return w.order(text, weights), true
		}
	case isText && (types.IsDatetimeType(column) || types.IsTimestampType(column)) && plainDatetime.MatchString(text):
		v, inRange, err := types.DatetimeMaxPrecision.Convert(ctx, text)
		moment, ok := v.(time.Time)
		if err != nil || inRange != gms.InRange || !ok {
			return nil
		}
		return func(v any) (int, bool) {
			t, ok := v.(time.Time)
			return t.Compare(moment), ok
		}
	}
	return nil
}

// comparedBy is the collation that a comparison of texts goes by.
func comparedBy(ctx *gms.Context, e expression.Comparer) gms.CollationID {
	if left := e.Left().Type(ctx); types.TypesEqual(left, e.Right().Type(ctx)) {
		return left.(gms.StringType).Collation()
	}
	leftCollation, left := gms.GetCoercibility(ctx, e.Left())
	rightCollation, right := gms.GetCoercibility(ctx, e.Right())
	collation, _ := gms.ResolveCoercibility(leftCollation, left, rightCollation, right)
	return collation
}
