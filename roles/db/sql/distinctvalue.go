package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/hash"
)

// distinctValue is the argument of SUM(DISTINCT …) and AVG(DISTINCT …): NULL where the value
// came before. The planner's keeps what came before without a bound.
type distinctValue struct {
	expression.UnaryExpressionStub
	seen   *distinctKeys // nil: nothing came yet
	schema gms.Schema
}

var (
	_ gms.Disposable         = (*distinctValue)(nil)
	_ gms.CollationCoercible = (*distinctValue)(nil)
)

func newDistinctValue(child gms.Expression) *distinctValue {
	return &distinctValue{UnaryExpressionStub: expression.UnaryExpressionStub{Child: child}}
}

// ofDistinct is the argument of an aggregate that DISTINCT does not change.
func ofDistinct(e gms.Expression) gms.Expression {
	if distinct, ok := e.(*expression.DistinctExpression); ok {
		return distinct.Child
	}
	return e
}

// String is by what the planner tells aggregates of a query.
func (d *distinctValue) String() string { return "DISTINCT " + d.Child.String() }

// Type is that of the value.
func (d *distinctValue) Type(ctx *gms.Context) gms.Type { return d.Child.Type(ctx) }

// IsNullable is true: what came before is NULL.
func (d *distinctValue) IsNullable(*gms.Context) bool { return true }

// CollationCoercibility is that of the value.
func (d *distinctValue) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, d.Child)
}

// WithChildren is another value, of which none came yet.
func (d *distinctValue) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(d, len(children), 1)
	}
	return newDistinctValue(children[0]), nil
}

// Eval is the value where it is new.
func (d *distinctValue) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := d.Child.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	if d.seen == nil {
		if d.seen, err = newDistinctKeys(ctx); err != nil {
			return nil, err
		}
		d.schema = hash.ExprsToSchema(ctx, d.Child)
	}
	key, err := hash.HashOf(ctx, d.schema, gms.Row{v})
	if err != nil {
		return nil, err
	}
	if fresh, err := d.seen.add(key); !fresh || err != nil {
		return nil, err
	}
	return v, nil
}

// Dispose lets go of the values.
func (d *distinctValue) Dispose(*gms.Context) {
	if d.seen != nil {
		d.seen.forget()
		d.seen = nil
	}
}
