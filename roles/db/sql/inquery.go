package sql

import (
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// inQuery is x IN (SELECT …) where x and the column are numbers of different types, or a number
// and a text. The planner looks the number up by how it is written, so that 2 is not 2.0 and 1
// not TRUE. It is also x IN (SELECT NULL).
type inQuery struct {
	*plan.InSubquery
	query *plan.Subquery
	exact bool // else numbers are compared as DOUBLE
	nulls bool // the query's type is that of NULL, which the planner does not find
	// The keys of values, as long as the planner keeps those.
	values []any
	keys   map[any]bool
	null   bool // one of values is NULL
}

var _ gms.Disposable = (*inQuery)(nil)

// newInQuery returns nil for what the planner finds.
func newInQuery(ctx *gms.Context, in *plan.InSubquery) *inQuery {
	query, ok := in.RightChild.(*plan.Subquery)
	if !ok || len(query.Query.Schema(ctx)) != 1 {
		return nil
	}
	l, r := in.LeftChild.Type(ctx), query.Query.Schema(ctx)[0].Type
	number := func(t gms.Type) bool { return types.IsNumber(t) && !types.IsYear(t) && !types.IsBit(t) }
	switch {
	case types.Null.Equals(r):
		return &inQuery{InSubquery: in, query: query, nulls: true}
	case number(l) && number(r):
		if l.Equals(r) && !types.IsDecimal(l) {
			return nil
		}
	case number(l) && collated(r), collated(l) && number(r):
	default:
		return nil
	}
	return &inQuery{InSubquery: in, query: query, exact: isExact(l) && isExact(r)}
}

// WithChildren returns the condition of others.
func (q *inQuery) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := q.InSubquery.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	if other := newInQuery(ctx, e.(*plan.InSubquery)); other != nil {
		return other, nil
	}
	return e, nil
}

// Eval returns whether the value is among those of the query.
func (q *inQuery) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	left, err := q.LeftChild.Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	values, err := q.query.EvalMultiple(ctx, row)
	if err != nil || len(values) == 0 {
		return false, err
	}
	if left == nil {
		return nil, nil
	}
	if q.nulls {
		if slices.ContainsFunc(values, func(v any) bool { return v != nil }) { // of a variable that was not set
			return q.InSubquery.Eval(ctx, row)
		}
		return nil, nil
	}
	if len(q.values) != len(values) || &q.values[0] != &values[0] {
		if err := q.keep(ctx, values); err != nil {
			return nil, err
		}
	}
	key, err := q.key(ctx, left)
	switch {
	case err != nil:
		return nil, err
	case q.keys[key]:
		return true, nil
	case q.null:
		return nil, nil
	}
	return false, nil
}

func (q *inQuery) keep(ctx *gms.Context, values []any) error {
	q.values, q.keys, q.null = values, make(map[any]bool, len(values)), false
	for _, v := range values {
		if v == nil {
			q.null = true
			continue
		}
		key, err := q.key(ctx, v)
		if err != nil {
			return err
		}
		q.keys[key] = true
	}
	return nil
}

// key is the same for values that are equal.
func (q *inQuery) key(ctx *gms.Context, v any) (any, error) {
	if q.exact {
		return exactNumber(ctx, v)
	}
	n, _, err := types.Float64.Convert(ctx, v)
	if err != nil && !gms.ErrTruncatedIncorrect.Is(err) {
		return nil, err
	}
	return n, nil
}
