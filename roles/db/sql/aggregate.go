package sql

import (
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/hash"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// exactAggregate is SUM or AVG of integers or decimals, which MySQL gives as DECIMAL;
// the planner's own add floating-point numbers.
type exactAggregate struct {
	plainAggregate
	child gms.Expression
	avg   bool
	scale uint8 // of the arguments
	typ   gms.Type
}

// plainAggregate is the planner's SUM or AVG, of which ours are made.
type plainAggregate struct{ gms.Aggregation }

// FunctionName is sum or avg.
func (a plainAggregate) FunctionName() string {
	return a.Aggregation.(gms.FunctionExpression).FunctionName()
}

// Description is the planner's.
func (a plainAggregate) Description() string {
	return a.Aggregation.(gms.FunctionExpression).Description()
}

// DebugString is the planner's.
func (a plainAggregate) DebugString(ctx *gms.Context) string {
	return gms.DebugString(ctx, a.Aggregation)
}

// CollationCoercibility is that of a number.
func (a plainAggregate) CollationCoercibility(*gms.Context) (gms.CollationID, byte) {
	return gms.Collation_binary, 5
}

var (
	_ gms.Aggregation        = (*exactAggregate)(nil)
	_ gms.FunctionExpression = (*exactAggregate)(nil)
)

// divScale is what AVG has more digits behind the point than its argument
// (div_precision_increment).
const divScale = 4

// newAggregate makes SUM or AVG of e.
func newAggregate(ctx *gms.Context, avg bool, e gms.Expression) gms.Expression {
	if distinct, ok := e.(*expression.DistinctExpression); ok {
		e = newDistinctValue(distinct.Child)
	}
	var plain gms.Aggregation = aggregation.NewSum(e)
	if avg {
		plain = aggregation.NewAvg(e)
	}
	return exactly(ctx, plain, avg)
}

// exactly wraps an aggregate unless its argument is text, a date or a floating-point
// number.
func exactly(ctx *gms.Context, plain gms.Aggregation, avg bool) gms.Aggregation {
	children := plain.Children()
	if len(children) == 0 || !children[0].Resolved() {
		return plain
	}
	precision, scale := 20, 0
	switch t := children[0].Type(ctx); {
	case types.IsDecimal(t):
		d := t.(gms.DecimalType)
		precision, scale = int(d.Precision()), int(d.Scale())
		if scale == types.DecimalTypeMaxScale {
			scale = chosenScale(ctx, children[0])
		}
	case types.IsInteger(t), types.IsBoolean(t), types.IsYear(t), types.IsBit(t):
	case types.IsFloat(t):
		return ofFloats(plain)
	default:
		return plain
	}
	digits := precision + 22
	outScale := scale
	if avg {
		outScale = min(scale+divScale, types.DecimalTypeMaxScale)
		digits = precision + divScale
	}
	typ, err := types.CreateDecimalType(uint8(min(digits, types.DecimalTypeMaxPrecision)), uint8(outScale))
	if err != nil {
		return plain
	}
	return &exactAggregate{plainAggregate: plainAggregate{plain}, child: summand(children[0]), avg: avg, scale: uint8(scale), typ: typ}
}

// summand is what is added up of an argument: of a quotient more digits than are shown of it.
func summand(e gms.Expression) gms.Expression {
	if div, ok := e.(*expression.Div); ok {
		return &quotient{div}
	}
	return e
}

// quotient is a division of DECIMALs with the digits that MySQL computes: the shown ones, filled
// up to words of nine.
type quotient struct{ *expression.Div }

// WithChildren divides other numbers.
func (q *quotient) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := q.Div.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return summand(e), nil
}

// Eval is the quotient, cut; the planner's where it is no DECIMAL or there is none.
func (q *quotient) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	var parts [2]*apd.Decimal
	for i, e := range q.Children() {
		v, err := e.Eval(ctx, row)
		if err != nil || v == nil {
			return nil, err
		}
		if !isExact(e.Type(ctx)) {
			return q.Div.Eval(ctx, row)
		}
		if parts[i], err = asDecimal(ctx, v); err != nil {
			return nil, err
		}
	}
	if parts[1].IsZero() {
		return q.Div.Eval(ctx, row) // which says so, by sql_mode
	}
	scale := max(-parts[0].Exponent, 0) + divScale
	scale = (scale + 8) / 9 * 9
	digits := parts[0].NumDigits() + int64(max(parts[0].Exponent, 0)) + int64(max(-parts[1].Exponent, 0)) + int64(scale) + 2
	c := apd.BaseContext.WithPrecision(uint32(digits))
	c.Rounding = apd.RoundDown
	result := new(apd.Decimal)
	if _, err := c.Quo(result, parts[0], parts[1]); err != nil {
		return q.Div.Eval(ctx, row)
	}
	_, err := c.Quantize(result, result, -scale)
	return result, err
}

// chosenScale is the scale of an expression that chooses among numbers: of CASE the planner knows
// that it is a DECIMAL only, until its values are unified.
func chosenScale(ctx *gms.Context, e gms.Expression) int {
	d, ok := e.Type(ctx).(gms.DecimalType)
	if !ok {
		return 0
	}
	c, ok := e.(*expression.Case)
	if !ok {
		return int(d.Scale())
	}
	scale := 0
	for _, b := range c.Branches {
		scale = max(scale, chosenScale(ctx, b.Value))
	}
	if c.Else != nil {
		scale = max(scale, chosenScale(ctx, c.Else))
	}
	return scale
}

// Type is a DECIMAL.
func (a *exactAggregate) Type(*gms.Context) gms.Type { return a.typ }

// IsNullable is true: of no rows the result is NULL.
func (a *exactAggregate) IsNullable(*gms.Context) bool { return true }

func (a *exactAggregate) with(plain gms.Aggregation) *exactAggregate {
	c := *a
	c.Aggregation = plain
	c.child = summand(plain.Children()[0])
	return &c
}

// WithChildren is the aggregate of another argument.
func (a *exactAggregate) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	plain, err := a.Aggregation.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return a.with(plain.(gms.Aggregation)), nil
}

// WithWindow is the aggregate over a window.
func (a *exactAggregate) WithWindow(ctx *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	return a.with(a.Aggregation.WithWindow(ctx, w).(gms.Aggregation))
}

// WithId is the aggregate under another id.
func (a *exactAggregate) WithId(id gms.ColumnId) gms.IdExpression {
	return a.with(a.Aggregation.WithId(id).(gms.Aggregation))
}

// NewBuffer starts a group.
func (a *exactAggregate) NewBuffer(ctx *gms.Context) (gms.AggregationBuffer, error) {
	child, err := transform.Clone(ctx, a.child)
	if err != nil {
		return nil, err
	}
	return &exactBuffer{expr: child, avg: a.avg, scale: a.scale}, nil
}

// NewWindowFunction is the aggregate over frames.
func (a *exactAggregate) NewWindowFunction(ctx *gms.Context) (gms.WindowFunction, error) {
	framing, err := a.Aggregation.NewWindowFunction(ctx)
	if err != nil {
		return nil, err
	}
	child, err := transform.Clone(ctx, a.Children()[0])
	if err != nil {
		return nil, err
	}
	return &exactWindow{WindowFunction: framing, expr: child, avg: a.avg, scale: a.scale}, nil
}

// floatAggregate is SUM or AVG of floating-point numbers. Over a window the planner's is 0 of no
// number, not NULL.
type floatAggregate struct{ plainAggregate }

func ofFloats(plain gms.Aggregation) *floatAggregate { return &floatAggregate{plainAggregate{plain}} }

// WithChildren is the aggregate of another argument.
func (a *floatAggregate) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	plain, err := a.Aggregation.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return ofFloats(plain.(gms.Aggregation)), nil
}

// WithWindow is the aggregate over a window.
func (a *floatAggregate) WithWindow(ctx *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	return ofFloats(a.Aggregation.WithWindow(ctx, w).(gms.Aggregation))
}

// WithId is the aggregate under another id.
func (a *floatAggregate) WithId(id gms.ColumnId) gms.IdExpression {
	return ofFloats(a.Aggregation.WithId(id).(gms.Aggregation))
}

// NewWindowFunction is the aggregate over frames.
func (a *floatAggregate) NewWindowFunction(ctx *gms.Context) (gms.WindowFunction, error) {
	framing, err := a.Aggregation.NewWindowFunction(ctx)
	if err != nil {
		return nil, err
	}
	child, err := transform.Clone(ctx, a.Children()[0])
	return &floatWindow{WindowFunction: framing, expr: child}, err
}

// floatWindow knows how many numbers are before each row of a partition.
type floatWindow struct {
	gms.WindowFunction
	expr    gms.Expression
	start   int
	numbers []int
}

// StartPartition reads the partition.
func (w *floatWindow) StartPartition(ctx *gms.Context, in gms.WindowInterval, rows gms.WindowBuffer) error {
	if err := w.WindowFunction.StartPartition(ctx, in, rows); err != nil {
		return err
	}
	w.start, w.numbers = in.Start, make([]int, 1, in.End-in.Start+1)
	for i := in.Start; i < in.End; i++ {
		v, err := w.expr.Eval(ctx, rows[i])
		if err != nil {
			return err
		}
		n := w.numbers[len(w.numbers)-1]
		if v != nil {
			n++
		}
		w.numbers = append(w.numbers, n)
	}
	return nil
}

// Compute is NULL of a frame without numbers.
func (w *floatWindow) Compute(ctx *gms.Context, in gms.WindowInterval, rows gms.WindowBuffer) (any, error) {
	if in.End <= in.Start || w.numbers[in.End-w.start] == w.numbers[in.Start-w.start] {
		return nil, nil
	}
	return w.WindowFunction.Compute(ctx, in, rows)
}

// total adds exactly: in an int64 while that holds it.
type total struct {
	small int64
	big   *apd.Decimal // nil while small is the sum
	rows  int64
}

func (t *total) add(ctx *gms.Context, v any) error {
	t.rows++
	if n, ok := smallInteger(v); ok && t.big == nil {
		sum := t.small + n
		if (sum > t.small) == (n > 0) {
			t.small = sum
			return nil
		}
	}
	d, err := asDecimal(ctx, v)
	if err != nil {
		return err
	}
	sum := new(apd.Decimal)
	if _, err := wide.Add(sum, t.decimal(), d); err != nil {
		return err
	}
	t.big = sum
	return nil
}

// wide has room for every sum of DECIMAL(65).
var wide = apd.BaseContext.WithPrecision(200)

func (t *total) decimal() *apd.Decimal {
	if t.big != nil {
		return t.big
	}
	return apd.New(t.small, 0)
}

// result is the sum or the mean of what was added, NULL if nothing was.
func (t *total) result(avg bool, scale uint8) any {
	if t.rows == 0 {
		return nil
	}
	if !avg {
		sum := new(apd.Decimal).Set(t.decimal())
		// Integers alone were chosen from among decimals, or quotients have more digits.
		if sum.Exponent != -int32(scale) && scale < types.DecimalTypeMaxScale {
			c := *wide
			c.Rounding = apd.RoundHalfUp
			_, _ = c.Quantize(sum, sum, -int32(scale))
		}
		return sum
	}
	mean := new(apd.Decimal)
	c := *wide
	c.Rounding = apd.RoundHalfUp
	_, _ = c.Quo(mean, t.decimal(), apd.New(t.rows, 0))
	_, _ = c.Quantize(mean, mean, -int32(min(int(scale)+divScale, types.DecimalTypeMaxScale)))
	return mean
}

func smallInteger(v any) (int64, bool) {
	if b, ok := v.(bool); ok {
		if b {
			return 1, true
		}
		return 0, true
	}
	return fit.Int64(v)
}

func asDecimal(ctx *gms.Context, v any) (*apd.Decimal, error) {
	if d, ok := v.(*apd.Decimal); ok {
		return d, nil
	}
	if n, ok := integer(v); ok {
		return apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(n), 0), nil
	}
	c, _, err := types.InternalDecimalType.Convert(ctx, v)
	if err != nil || c == nil {
		return new(apd.Decimal), err
	}
	d, ok := c.(*apd.Decimal)
	if !ok {
		return new(apd.Decimal), nil
	}
	return d, nil
}

// exactBuffer sums up one group.
type exactBuffer struct {
	expr  gms.Expression
	avg   bool
	scale uint8
	total total
}

// Update adds a row.
func (b *exactBuffer) Update(ctx *gms.Context, row gms.Row) error {
	v, err := b.expr.Eval(ctx, row)
	if err != nil || v == nil {
		return err
	}
	return b.total.add(ctx, v)
}

// Eval is the sum or mean so far.
func (b *exactBuffer) Eval(*gms.Context) (any, error) { return b.total.result(b.avg, b.scale), nil }

// Dispose lets go of the argument.
func (b *exactBuffer) Dispose(ctx *gms.Context) { disposeExpression(ctx, b.expr) }

func disposeExpression(ctx *gms.Context, e gms.Expression) {
	if d, ok := e.(gms.Disposable); ok {
		d.Dispose(ctx)
	}
}

// exactWindow sums up frames by the sums of all rows before each of their ends; the
// frames themselves are the planner's.
type exactWindow struct {
	gms.WindowFunction
	expr  gms.Expression
	avg   bool
	scale uint8
	start int
	sums  []total // of the first n rows of the partition
}

// StartPartition reads the partition.
func (w *exactWindow) StartPartition(ctx *gms.Context, in gms.WindowInterval, rows gms.WindowBuffer) error {
	if err := w.WindowFunction.StartPartition(ctx, in, rows); err != nil {
		return err
	}
	w.start, w.sums = in.Start, make([]total, 1, in.End-in.Start+1)
	for i := in.Start; i < in.End; i++ {
		next := w.sums[len(w.sums)-1]
		v, err := w.expr.Eval(ctx, rows[i])
		if err != nil {
			return err
		}
		if v != nil {
			if err := next.add(ctx, v); err != nil {
				return err
			}
		}
		w.sums = append(w.sums, next)
	}
	return nil
}

// Compute is the sum or mean of a frame.
func (w *exactWindow) Compute(_ *gms.Context, in gms.WindowInterval, _ gms.WindowBuffer) (any, error) {
	if in.End <= in.Start {
		return nil, nil
	}
	first, last := w.sums[in.Start-w.start], w.sums[in.End-w.start]
	diff := new(apd.Decimal)
	if _, err := wide.Sub(diff, last.decimal(), first.decimal()); err != nil {
		return nil, err
	}
	frame := total{big: diff, rows: last.rows - first.rows}
	return frame.result(w.avg, w.scale), nil
}

// distinctCount is COUNT(DISTINCT …) by the collations of its arguments: the planner
// tells 'a' from 'A'.
type distinctCount struct{ *aggregation.CountDistinct }

// distinctCounts is a rule for plans as they come from the statement, the first: of the planner's
// one that is made of other arguments nobody would know which column it is.
func distinctCounts(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	if !analyzer.FlagIsSet(flags, gms.QFlagCount) && !analyzer.FlagIsSet(flags, gms.QFlagCountStar) {
		return n, transform.SameTree, nil
	}
	return eachExpression(ctx, n, func(_ *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
		if count, ok := e.(*aggregation.CountDistinct); ok {
			return &distinctCount{count}, transform.NewTree, nil
		}
		return e, transform.SameTree, nil
	})
}

// WithChildren is the count of other arguments.
func (c *distinctCount) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	id := c.Id()
	e, err := c.CountDistinct.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &distinctCount{e.(*aggregation.CountDistinct).WithId(id).(*aggregation.CountDistinct)}, nil
}

// WithId is the count under another id.
func (c *distinctCount) WithId(id gms.ColumnId) gms.IdExpression {
	return &distinctCount{c.CountDistinct.WithId(id).(*aggregation.CountDistinct)}
}

// WithWindow is the count over a window.
func (c *distinctCount) WithWindow(ctx *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	return &distinctCount{c.CountDistinct.WithWindow(ctx, w).(*aggregation.CountDistinct)}
}

// NewBuffer starts a group.
func (c *distinctCount) NewBuffer(ctx *gms.Context) (gms.AggregationBuffer, error) {
	keys, err := newDistinctKeys(ctx)
	if err != nil {
		return nil, err
	}
	b := &distinctBuffer{seen: keys}
	for i, e := range c.Children() {
		child, err := transform.Clone(ctx, e)
		if err != nil {
			return nil, err
		}
		b.exprs = append(b.exprs, child)
		b.schema = append(b.schema, &gms.Column{Name: string(rune('a' + i%26)), Type: e.Type(ctx), Nullable: true})
	}
	return b, nil
}

type distinctBuffer struct {
	exprs  []gms.Expression
	schema gms.Schema
	seen   *distinctKeys
}

// Update counts a row whose values are new and not NULL.
func (b *distinctBuffer) Update(ctx *gms.Context, row gms.Row) error {
	values := make(gms.Row, len(b.exprs))
	for i, e := range b.exprs {
		v, err := e.Eval(ctx, row)
		if err != nil || v == nil {
			return err
		}
		values[i] = v
	}
	h, err := hash.HashOf(ctx, b.schema, values)
	if err != nil {
		return err
	}
	_, err = b.seen.add(h)
	return err
}

// Eval is the count so far.
func (b *distinctBuffer) Eval(*gms.Context) (any, error) { return int64(len(b.seen.seen)), nil }

// Dispose lets go of the keys and the arguments.
func (b *distinctBuffer) Dispose(ctx *gms.Context) {
	b.seen.forget()
	for _, e := range b.exprs {
		disposeExpression(ctx, e)
	}
}

// aggregateFunction finds the aggregates that are not the planner's.
func aggregateFunction(name string) (gms.Function, bool) {
	switch name = strings.ToLower(name); name {
	case "sum", "avg":
		return gms.Function1{Name: name, Fn: func(ctx *gms.Context, e gms.Expression) gms.Expression {
			return newAggregate(ctx, name == "avg", e)
		}}, true
	case "group_concat":
		return gms.FunctionN{Name: name, Fn: newGroupConcat}, true
	case rollupKey:
		return gms.FunctionN{Name: name, Fn: newRolledKey}, true
	case rollupGrouping:
		return gms.FunctionN{Name: name, Fn: newRolledGrouping}, true
	case "json_arrayagg":
		return gms.Function1{Name: name, Fn: func(_ *gms.Context, e gms.Expression) gms.Expression {
			return newJSONAggregate(aggregation.NewJsonArray(e))
		}}, true
	case "json_objectagg":
		return gms.Function2{Name: name, Fn: func(ctx *gms.Context, key, value gms.Expression) gms.Expression {
			return newJSONAggregate(aggregation.NewJSONObjectAgg(ctx, key, value).(gms.Aggregation))
		}}, true
	}
	return nil, false
}
