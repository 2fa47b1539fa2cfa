package sql

import (
	"math/big"
	"slices"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// checkedArithmetic is +, - or * of integers. The planner's own wraps around, and takes
// a BIGINT UNSIGNED beside a signed one for signed; this is exact or error 1690.
type checkedArithmetic struct {
	*expression.Arithmetic
	unsigned bool // of the result
}

// checkArithmetic returns a unless it is for integers, of which BIT is one without a sign.
func checkArithmetic(ctx *gms.Context, a *expression.Arithmetic) gms.Expression {
	l, r, t := a.LeftChild.Type(ctx), a.RightChild.Type(ctx), a.Type(ctx)
	bits := types.IsBit(l) || types.IsBit(r)
	if !types.IsInteger(l) && !types.IsBit(l) || !types.IsInteger(r) && !types.IsBit(r) || !types.IsInteger(t) && !bits {
		return a
	}
	unsigned := isUnsigned(ctx, a.LeftChild) || isUnsigned(ctx, a.RightChild)
	if a.Op == sqlparser.MinusStr && gms.LoadSqlMode(ctx).ModeEnabled("NO_UNSIGNED_SUBTRACTION") {
		unsigned = false
	} else if !unsigned && types.IsUnsigned(t) {
		return a
	}
	return &checkedArithmetic{a, unsigned}
}

// isUnsigned trusts the planner's type where it is MySQL's: of some functions it is not.
func isUnsigned(ctx *gms.Context, e gms.Expression) bool {
	switch e := e.(type) {
	case *expression.GetField, *expression.Literal, *expression.Convert:
		return types.IsUnsigned(e.Type(ctx)) || types.IsBit(e.Type(ctx))
	case *checkedArithmetic:
		return e.unsigned
	}
	return false
}

// Type is BIGINT, UNSIGNED if one side is.
func (c *checkedArithmetic) Type(*gms.Context) gms.Type {
	if c.unsigned {
		return types.Uint64
	}
	return types.Int64
}

// WithChildren does it for other operands.
func (c *checkedArithmetic) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := c.Arithmetic.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	if a, ok := e.(*expression.Arithmetic); ok {
		return checkArithmetic(ctx, a), nil
	}
	return e, nil
}

// Eval returns an int64, or an uint64 where the type is UNSIGNED.
func (c *checkedArithmetic) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	lv, err := c.LeftChild.Eval(ctx, row)
	if err != nil || lv == nil {
		return nil, err
	}
	rv, err := c.RightChild.Eval(ctx, row)
	if err != nil || rv == nil {
		return nil, err
	}
	l, okL := integer(lv)
	r, okR := integer(rv)
	if !okL || !okR {
		return c.planners(ctx, lv, rv)
	}
	result := new(big.Int)
	switch c.Op {
	case sqlparser.PlusStr:
		result.Add(l, r)
	case sqlparser.MinusStr:
		result.Sub(l, r)
	case sqlparser.MultStr:
		result.Mul(l, r)
	default:
		return c.planners(ctx, lv, rv)
	}
	switch {
	case c.unsigned && result.IsUint64():
		return result.Uint64(), nil
	case !c.unsigned && result.IsInt64():
		return result.Int64(), nil
	}
	kind := "BIGINT"
	if c.unsigned {
		kind = "BIGINT UNSIGNED"
	}
	return nil, mysqlError(1690, "%s value is out of range in '%s'", kind, c.Arithmetic)
}

// planners leaves values that are no integers after all to the planner's own way. The
// operands are not evaluated again: they may have effects, as @n := @n + 1 has.
func (c *checkedArithmetic) planners(ctx *gms.Context, l, r any) (any, error) {
	left := expression.NewLiteral(l, c.LeftChild.Type(ctx))
	right := expression.NewLiteral(r, c.RightChild.Type(ctx))
	return expression.NewArithmetic(left, right, c.Op).Eval(ctx, nil)
}

// integer is v where it is one.
func integer(v any) (*big.Int, bool) {
	switch v := v.(type) {
	case int8:
		return big.NewInt(int64(v)), true
	case int16:
		return big.NewInt(int64(v)), true
	case int32:
		return big.NewInt(int64(v)), true
	case int64:
		return big.NewInt(v), true
	case int:
		return big.NewInt(int64(v)), true
	case uint8, uint16, uint32, uint64:
		return new(big.Int).SetUint64(toUint64(v)), true
	case bool:
		if v {
			return big.NewInt(1), true
		}
		return new(big.Int), true
	}
	return nil, false
}

// ownArithmetic returns an operation that is exact for integers and has no zero with a
// sign.
func ownArithmetic(ctx *gms.Context, e expression.ArithmeticOp) (gms.Expression, transform.TreeIdentity, error) {
	// The planner finds the scale of a result by looking for divisions among the operands'
	// operands: only the outermost operation may be wrapped.
	operands, wrapped := slices.Clone(e.Children()), false
	for i, operand := range operands {
		switch z := operand.(type) {
		case *plainZero:
			operands[i], wrapped = z.Arithmetic, true
		case *plainMod:
			operands[i], wrapped = z.Mod, true
		}
	}
	result, same := gms.Expression(e), transform.SameTree
	if wrapped {
		var err error
		if result, err = e.WithChildren(ctx, operands...); err != nil {
			return nil, transform.SameTree, err
		}
		same = transform.NewTree
	}
	if m, ok := result.(*expression.Mod); ok {
		return &plainMod{m}, transform.NewTree, nil
	}
	a, ok := result.(*expression.Arithmetic)
	if !ok {
		return result, same, nil
	}
	if checked := checkArithmetic(ctx, a); checked != gms.Expression(a) {
		return checked, transform.NewTree, nil
	}
	if types.IsDecimal(a.Type(ctx)) {
		return &plainZero{a}, transform.NewTree, nil
	}
	return a, same, nil
}

// plainZero is arithmetic of DECIMALs, in which the planner has a zero with a sign.
type plainZero struct{ *expression.Arithmetic }

// WithChildren does it for other operands.
func (z *plainZero) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := z.Arithmetic.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	if a, ok := e.(*expression.Arithmetic); ok {
		return &plainZero{a}, nil
	}
	return e, nil
}

// Eval returns 0 for -0.
func (z *plainZero) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := z.Arithmetic.Eval(ctx, row)
	return withoutSign(v), err
}

func withoutSign(v any) any {
	if d, ok := v.(*apd.Decimal); ok && d.Negative && d.IsZero() {
		return new(apd.Decimal).Abs(d)
	}
	return v
}

// plainMod is %, of which the same is to be said.
type plainMod struct{ *expression.Mod }

// WithChildren does it for other operands.
func (z *plainMod) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := z.Mod.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &plainMod{e.(*expression.Mod)}, nil
}

// Eval returns 0 for -0.
func (z *plainMod) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := z.Mod.Eval(ctx, row)
	return withoutSign(v), err
}
