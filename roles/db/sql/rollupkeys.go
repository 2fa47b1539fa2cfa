package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

func init() {
	addFunction(rollupMark, 0, always(types.Int64), func(*gms.Context, *ownFunction, []any) (any, error) {
		return nil, mysqlError(1064, "You have an error in your SQL syntax near '%s': it is not for queries to call", rollupMark)
	})
	known := planbuilder.IsAggregateFunc
	planbuilder.IsAggregateFunc = func(ctx *gms.Context, name string) (bool, error) {
		if name == rollupKey || name == rollupGrouping {
			return true, nil
		}
		return known(ctx, name)
	}
}

// isMark says whether an expression stands for WITH ROLLUP.
func isMark(e gms.Expression) bool {
	f, ok := e.(*ownFunction)
	return ok && f.name == rollupMark
}

// rolled is what an aggregate of a GROUP BY … WITH ROLLUP has that depends on how many values tell a
// group.
type rolled struct {
	places []int // among what is grouped by
	id     gms.ColumnId
	window *gms.WindowDefinition
}

// rolledKey is a thing that is grouped by, NULL in the groups that it does not tell.
type rolledKey struct {
	expression.UnaryExpressionStub
	rolled
}

// rolledGrouping is GROUPING: a bit for each argument, the last one the lowest, which is 1 where
// it does not tell the group.
type rolledGrouping struct{ rolled }

var (
	_ gms.Aggregation        = (*rolledKey)(nil)
	_ gms.CollationCoercible = (*rolledKey)(nil)
	_ gms.FunctionExpression = (*rolledKey)(nil)
	_ gms.Aggregation        = (*rolledGrouping)(nil)
	_ gms.FunctionExpression = (*rolledGrouping)(nil)
	_ gms.AggregationBuffer  = (*rolledKeyBuffer)(nil)
	_ gms.AggregationBuffer  = (*rolledGroupingBuffer)(nil)
	_ levelBuffer            = (*rolledKeyBuffer)(nil)
	_ levelBuffer            = (*rolledGroupingBuffer)(nil)
)

func newRolledKey(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	if len(args) != 2 {
		return nil, wrongCount(rollupKey)
	}
	r, err := newRolled(args[:1])
	if err != nil {
		return nil, err
	}
	return &rolledKey{expression.UnaryExpressionStub{Child: args[1]}, r}, nil
}

func newRolledGrouping(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	r, err := newRolled(args)
	if err != nil {
		return nil, err
	}
	return &rolledGrouping{r}, nil
}

func newRolled(args []gms.Expression) (r rolled, err error) {
	for _, a := range args {
		literal, ok := a.(*expression.Literal)
		if !ok {
			return r, wrongCount("grouping")
		}
		n, _, err := types.Int64.Convert(gms.NewEmptyContext(), literal.Value())
		at, ok := n.(int64)
		if err != nil || !ok {
			return r, wrongCount("grouping")
		}
		r.places = append(r.places, int(at))
	}
	return r, nil
}

// Id is that of the column that it is.
func (r *rolled) Id() gms.ColumnId { return r.id }

// Window is nil.
func (r *rolled) Window() *gms.WindowDefinition { return r.window }

// NewWindowFunction fails: a group is no window.
func (r *rolled) NewWindowFunction(*gms.Context) (gms.WindowFunction, error) {
	return nil, mysqlError(1235, "This version of MySQL doesn't yet support 'GROUP BY … WITH ROLLUP over a window'")
}

// Eval fails: a group has its value from its buffer.
func (r *rolled) Eval(*gms.Context, gms.Row) (any, error) {
	return nil, mysqlError(1111, "Invalid use of group function")
}

// IsNullable is true: of the groups that it does not tell.
func (r *rolled) IsNullable(*gms.Context) bool { return true }

// FunctionName is what it is called by.
func (k *rolledKey) FunctionName() string { return rollupKey }

// Description says what it does.
func (k *rolledKey) Description() string { return "is what is grouped by." }

// String is by what the planner tells aggregates of a query.
func (k *rolledKey) String() string {
	return fmt.Sprintf("%s(%d, %s)", rollupKey, k.places[0], k.Child)
}

// Type is that of the thing.
func (k *rolledKey) Type(ctx *gms.Context) gms.Type { return k.Child.Type(ctx) }

// IsNullable is true: of the groups that it does not tell.
func (k *rolledKey) IsNullable(*gms.Context) bool { return true }

// CollationCoercibility is that of the thing.
func (k *rolledKey) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, k.Child)
}

// WithChildren is the same of another expression.
func (k *rolledKey) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(k, len(children), 1)
	}
	return &rolledKey{expression.UnaryExpressionStub{Child: children[0]}, k.rolled}, nil
}

// WithId is the same under another id.
func (k *rolledKey) WithId(id gms.ColumnId) gms.IdExpression {
	other := *k
	other.id = id
	return &other
}

// WithWindow keeps the window that NewWindowFunction refuses.
func (k *rolledKey) WithWindow(_ *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	other := *k
	other.window = w
	return &other
}

// NewBuffer starts a group.
func (k *rolledKey) NewBuffer(ctx *gms.Context) (gms.AggregationBuffer, error) {
	child, err := transform.Clone(ctx, k.Child)
	if err != nil {
		return nil, err
	}
	return &rolledKeyBuffer{at: k.places[0], expr: child}, nil
}

// rolledKeyBuffer is the value of a group's first row.
type rolledKeyBuffer struct {
	at    int
	expr  gms.Expression
	level int
	has   bool
	value any
}

func (b *rolledKeyBuffer) setLevel(level int) { b.level = level }

// Update takes the first row, where the thing tells the group.
func (b *rolledKeyBuffer) Update(ctx *gms.Context, row gms.Row) (err error) {
	if b.has || b.at >= b.level {
		return nil
	}
	b.has = true
	b.value, err = b.expr.Eval(ctx, row)
	return err
}

// Eval is its value.
func (b *rolledKeyBuffer) Eval(*gms.Context) (any, error) { return b.value, nil }

// Dispose lets go of the expression.
func (b *rolledKeyBuffer) Dispose(ctx *gms.Context) { disposeExpression(ctx, b.expr) }

// FunctionName is what it is called by.
func (g *rolledGrouping) FunctionName() string { return rollupGrouping }

// Description says what it does.
func (g *rolledGrouping) Description() string { return "says what a group is not told by." }

// String is by what the planner tells aggregates of a query.
func (g *rolledGrouping) String() string {
	return rollupGrouping + "(" + strings.Trim(fmt.Sprint(g.places), "[]") + ")"
}

// Resolved is true: there is nothing to resolve.
func (g *rolledGrouping) Resolved() bool { return true }

// Type is an integer.
func (g *rolledGrouping) Type(*gms.Context) gms.Type { return types.Int64 }

// Children are none.
func (g *rolledGrouping) Children() []gms.Expression { return nil }

// WithChildren is the same.
func (g *rolledGrouping) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 0 {
		return nil, gms.ErrInvalidChildrenNumber.New(g, len(children), 0)
	}
	return g, nil
}

// WithId is the same under another id.
func (g *rolledGrouping) WithId(id gms.ColumnId) gms.IdExpression {
	other := *g
	other.id = id
	return &other
}

// WithWindow keeps the window that NewWindowFunction refuses.
func (g *rolledGrouping) WithWindow(_ *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	other := *g
	other.window = w
	return &other
}

// NewBuffer starts a group.
func (g *rolledGrouping) NewBuffer(*gms.Context) (gms.AggregationBuffer, error) {
	return &rolledGroupingBuffer{places: g.places}, nil
}

// rolledGroupingBuffer is the GROUPING of a group.
type rolledGroupingBuffer struct {
	noValue
	places []int
	level  int
}

func (b *rolledGroupingBuffer) setLevel(level int) { b.level = level }

// Eval is the bits.
func (b *rolledGroupingBuffer) Eval(*gms.Context) (any, error) {
	var bits int64
	for _, at := range b.places {
		bits <<= 1
		if at >= b.level {
			bits |= 1
		}
	}
	return bits, nil
}
