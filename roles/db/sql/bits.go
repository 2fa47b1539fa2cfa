package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// bitOperation computes with the 64 bits of integers. The planner's makes a DOUBLE of a signed one
// beside an unsigned one, which has 53.
type bitOperation struct{ *expression.BitOp }

// ofIntegers says whether an operation is one of integers; of others the planner warns, and knows dates.
func ofIntegers(ctx *gms.Context, bits *expression.BitOp) bool {
	return bits.Resolved() && types.IsInteger(bits.LeftChild.Type(ctx)) && types.IsInteger(bits.RightChild.Type(ctx))
}

// WithChildren computes with others.
func (b *bitOperation) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := b.BitOp.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &bitOperation{e.(*expression.BitOp)}, nil
}

// Eval computes the result.
func (b *bitOperation) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	var bits [2]uint64
	for i, e := range b.Children() {
		v, err := e.Eval(ctx, row)
		if err != nil {
			return nil, err
		}
		if v, err = gms.UnwrapAny(ctx, v); err != nil || v == nil {
			return nil, err
		}
		var ok bool
		if bits[i], ok = bitsOf(v); !ok {
			return b.BitOp.Eval(ctx, row)
		}
	}
	switch left, right := bits[0], bits[1]; b.Op {
	case sqlparser.BitAndStr:
		return left & right, nil
	case sqlparser.BitOrStr:
		return left | right, nil
	case sqlparser.BitXorStr:
		return left ^ right, nil
	case sqlparser.ShiftLeftStr:
		return left << right, nil
	case sqlparser.ShiftRightStr:
		return left >> right, nil
	}
	return b.BitOp.Eval(ctx, row)
}

// bitsOf are the bits of an integer; false of what is none.
func bitsOf(v any) (bits uint64, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int:
		return uint64(v), true
	case int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return uint64(toInt64(v)), true
	}
	return 0, false
}
