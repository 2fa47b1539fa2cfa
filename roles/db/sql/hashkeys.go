package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// hashKey is a text that a join looks rows up by in a table in memory: texts that are
// equal by the collation have one. The planner looks them up byte by byte, and a row with
// 'abc' did not meet one with 'ABC'.
type hashKey struct {
	gms.Expression
	collation gms.CollationID
}

var _ gms.CollationCoercible = (*hashKey)(nil)

// Type is that of the key.
func (k *hashKey) Type(*gms.Context) gms.Type { return types.Uint64 }

// Eval returns the key; the join's condition is checked beside it.
func (k *hashKey) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := k.Expression.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	text, _, err := types.LongText.Convert(ctx, v)
	if err != nil {
		return nil, err
	}
	return k.collation.HashToUint(text.(string))
}

// Children is the text.
func (k *hashKey) Children() []gms.Expression { return []gms.Expression{k.Expression} }

// WithChildren returns the key of another text.
func (k *hashKey) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(k, len(children), 1)
	}
	return &hashKey{children[0], k.collation}, nil
}

// CollationCoercibility is that of a number.
func (k *hashKey) CollationCoercibility(*gms.Context) (gms.CollationID, byte) {
	return gms.Collation_binary, 5
}

// collateLookup looks texts up by the collation that the join compares them by.
func collateLookup(ctx *gms.Context, n *plan.HashLookup) (gms.Node, bool) {
	left, right := keyParts(n.LeftProbeKey), keyParts(n.RightEntryKey)
	if len(left) != len(right) {
		return n, false
	}
	changed := false
	for i := range left {
		if types.IsTimestampType(left[i].Type(ctx)) && types.IsTimestampType(right[i].Type(ctx)) {
			left[i] = &moment{expression.UnaryExpressionStub{Child: left[i]}}
			right[i] = &moment{expression.UnaryExpressionStub{Child: right[i]}}
			changed = true
			continue
		}
		if isExact(left[i].Type(ctx)) && isExact(right[i].Type(ctx)) {
			if !left[i].Type(ctx).Equals(right[i].Type(ctx)) || types.IsDecimal(left[i].Type(ctx)) {
				left[i] = &numberKey{expression.UnaryExpressionStub{Child: left[i]}}
				right[i] = &numberKey{expression.UnaryExpressionStub{Child: right[i]}}
				changed = true
			}
			continue
		}
		if !collated(left[i].Type(ctx)) || !collated(right[i].Type(ctx)) {
			continue
		}
		collation := comparedBy(ctx, expression.NewEquals(left[i], right[i]))
		left[i], right[i] = &hashKey{left[i], collation}, &hashKey{right[i], collation}
		changed = true
	}
	if !changed {
		return n, false
	}
	return plan.NewHashLookup(ctx, n.Child, keyOf(right), keyOf(left), n.JoinType), true
}

// keyParts are the expressions that a key consists of.
func keyParts(key gms.Expression) []gms.Expression {
	if parts, ok := key.(expression.Tuple); ok {
		return append([]gms.Expression{}, parts...)
	}
	return []gms.Expression{key}
}

func keyOf(parts []gms.Expression) gms.Expression {
	if len(parts) == 1 {
		return parts[0]
	}
	return expression.NewTuple(parts...)
}
