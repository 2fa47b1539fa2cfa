package sql

import (
	"strconv"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// exactJoins is a rule for plans whose joins are not ordered yet. The planner takes numbers of
// different kinds that are compared with = for the same column: it looks a 1.5 up in an index
// of integers as a 2, and does not find a 2.0 among integers that it keeps in memory. Where
// columns are compared with <=> it finds no NULLs in an index. Numbers are converted to one
// kind, and <=> is written out.
func exactJoins(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		switch n := n.(type) {
		case *plan.Filter:
			e, same, err := transform.Expr(ctx, n.Expression, ofOneKind)
			if err != nil || same {
				return n, transform.SameTree, err
			}
			return plan.NewFilter(ctx, e, n.Child), transform.NewTree, nil
		case *plan.JoinNode:
			return exactJoin(ctx, n)
		}
		return n, transform.SameTree, nil
	})
}

func exactJoin(ctx *gms.Context, n *plan.JoinNode) (gms.Node, transform.TreeIdentity, error) {
	if n.Filter == nil {
		if always := gms.Expression(expression.NewLiteral(true, types.Boolean)); keptFrom(ctx, n, always) {
			return n.WithFilter(hide(always)), transform.NewTree, nil
		}
		return n, transform.SameTree, nil
	}
	e, same, err := transform.Expr(ctx, n.Filter, ofOneKind)
	if err != nil {
		return nil, transform.SameTree, err
	}
	var parts []gms.Expression
	for _, part := range expression.SplitConjunction(ctx, e) {
		if keptFrom(ctx, n, part) {
			part, same = hide(part), transform.NewTree
		}
		parts = append(parts, part)
	}
	right := n.Right()
	if n.Op.IsLeftOuter() && hideConstantKeys(ctx, right, parts) {
		same = transform.NewTree
	}
	if p, ok := right.(*plan.Project); ok && (n.Op.IsSemi() || n.Op.IsAnti()) && computes(p) {
		right, same = p.Child, transform.NewTree
	}
	if same {
		return n, transform.SameTree, nil
	}
	joined, err := n.WithFilter(expression.JoinAnd(parts...)).WithChildren(ctx, n.Left(), right)
	return joined, transform.NewTree, err
}

// computes says whether a part of a query x IN (SELECT …) computes what it selects: the condition
// that the planner makes of it then names columns of the tables, which the part does not let through.
func computes(p *plan.Project) bool {
	for _, e := range p.Projections {
		switch e.(type) {
		case *expression.GetField, *expression.Alias:
		default:
			return true
		}
	}
	return false
}

func ofOneKind(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	switch e := e.(type) {
	case *expression.Equals:
		if l, r, ok := sameKind(ctx, e.Left(), e.Right()); ok {
			return expression.NewEquals(l, r), transform.NewTree, nil
		}
	case *expression.NullSafeEquals:
		l, r := e.Left(), e.Right()
		if !namesColumn(ctx, l) || !namesColumn(ctx, r) {
			return e, transform.SameTree, nil
		}
		if a, b, ok := sameKind(ctx, l, r); ok {
			l, r = a, b
		}
		return expression.NewOr(
			expression.NewAnd(expression.NewIsNull(l), expression.NewIsNull(r)),
			expression.JoinAnd(expression.NewNot(expression.NewIsNull(l)), expression.NewNot(expression.NewIsNull(r)), expression.NewEquals(l, r)),
		), transform.NewTree, nil
	}
	return e, transform.SameTree, nil
}

func namesColumn(ctx *gms.Context, e gms.Expression) bool {
	return transform.InspectExpr(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		_, ok := e.(*expression.GetField)
		return ok
	})
}

// mostDigits is what a DECIMAL has at most.
const mostDigits = 65

// sameKind converts two numbers of different kinds, which both come from columns, to one.
func sameKind(ctx *gms.Context, l, r gms.Expression) (gms.Expression, gms.Expression, bool) {
	lt, rt := l.Type(ctx), r.Type(ctx)
	if !types.IsNumber(lt) || !types.IsNumber(rt) || !namesColumn(ctx, l) || !namesColumn(ctx, r) {
		return l, r, false
	}
	switch lf, rf := types.IsFloat(lt), types.IsFloat(rt); {
	case lf && rf:
		return l, r, false
	case lf:
		return l, expression.NewConvert(r, expression.ConvertToDouble), true
	case rf:
		return expression.NewConvert(l, expression.ConvertToDouble), r, true
	}
	lp, ls := digitsOf(lt)
	rp, rs := digitsOf(rt)
	// Of what is computed the planner knows the digits behind the point only.
	if !isField(l) {
		lp = mostDigits
	}
	if !isField(r) {
		rp = mostDigits
	}
	switch {
	case ls < rs:
		return expression.NewConvertWithLengthAndScale(l, expression.ConvertToDecimal, min(mostDigits, lp-ls+rs), rs), r, true
	case rs < ls:
		return l, expression.NewConvertWithLengthAndScale(r, expression.ConvertToDecimal, min(mostDigits, rp-rs+ls), ls), true
	}
	return l, r, false
}

func isField(e gms.Expression) bool {
	_, ok := e.(*expression.GetField)
	return ok
}

// digitsOf are the digits of an exact number, and those of them behind the point.
func digitsOf(t gms.Type) (int, int) {
	if d, ok := t.(gms.DecimalType); ok {
		return int(d.Precision()), int(d.Scale())
	}
	return 20, 0
}

// numberKey is an exact number that a join looks rows up by in a table in memory: numbers that
// are equal have one, whatever their types.
type numberKey struct{ expression.UnaryExpressionStub }

var _ gms.CollationCoercible = (*numberKey)(nil)

// Type is that of the key.
func (k *numberKey) Type(*gms.Context) gms.Type { return types.LongBlob }

// String is that of the number.
func (k *numberKey) String() string { return k.Child.String() }

// CollationCoercibility is that of a number.
func (k *numberKey) CollationCoercibility(*gms.Context) (gms.CollationID, byte) {
	return gms.Collation_binary, 5
}

// WithChildren returns the key of another number.
func (k *numberKey) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(k, len(children), 1)
	}
	return &numberKey{expression.UnaryExpressionStub{Child: children[0]}}, nil
}

// Eval returns the key.
func (k *numberKey) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := k.Child.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	text, err := exactNumber(ctx, v)
	return []byte(text), err
}

// exactNumber is the one text for all exact numbers that are equal to v.
func exactNumber(ctx *gms.Context, v any) (string, error) {
	if truth, ok := v.(bool); ok {
		if truth {
			return "1", nil
		}
		return "0", nil
	}
	d, ok := v.(*apd.Decimal)
	if !ok {
		n, _, err := types.Int64.Convert(ctx, v)
		if u, unsigned := v.(uint64); unsigned {
			return strconv.FormatUint(u, 10), nil
		}
		if err != nil {
			return "", err
		}
		return strconv.FormatInt(n.(int64), 10), nil
	}
	var short apd.Decimal
	short.Reduce(d)
	if short.IsZero() {
		return "0", nil
	}
	return short.Text('f'), nil
}

// isExact says whether a type is one of exact numbers.
func isExact(t gms.Type) bool {
	return types.IsInteger(t) || types.IsDecimal(t) || types.IsBoolean(t)
}
