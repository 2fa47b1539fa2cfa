package sql

import (
	"bytes"
	"math"
	"math/big"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"

	"stack/roles/db/store"
)

// textOrder orders a text of a column, as it is stored, and a literal by the collation of
// their comparison.
func (c *conditions) textOrder(ctx *gms.Context, field *expression.GetField, e expression.Comparer, literal *expression.Literal) func(value []byte) int {
	text, ok := literal.Value().(string)
	if !ok || !types.IsTextOnly(literal.Type(ctx)) || !utf8.ValidString(text) || !unicodeText(field.Type(ctx)) {
		return nil
	}
	w := weightsOf(comparedBy(ctx, e))
	if w == nil {
		return nil
	}
	weights := w.all(text)
	return func(value []byte) int { return w.order(viewed(value), weights) }
}

// unicodeText says whether a type's texts are UTF-8; what is stored of them is valid.
func unicodeText(t gms.Type) bool {
	s, ok := t.(gms.StringType)
	return ok && weightsOf(s.Collation()) != nil
}

// viewed is the text that bytes hold, for as long as they do.
func viewed(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// like matches a column of text with a pattern.
func (c *conditions) like(ctx *gms.Context, e *expression.Like) *store.Predicate {
	field, at, ok := c.field(e.LeftChild)
	if !ok || !unicodeText(field.Type(ctx)) {
		return nil
	}
	p := literalPattern(ctx, e)
	if p == nil {
		return nil
	}
	return store.OfColumn(at, func(value []byte) (bool, error) { return p.match(viewed(value)), nil })
}

// fixedCut is where a literal lies among the values of a column, in their stored form: between
// low and high, with both of them, it is equal to a value; without that, where it lies
// between two values, low is the one below and high nil. Below all values both are nil.
type fixedCut struct{ low, high []byte }

func (c fixedCut) order(value []byte) int {
	switch n := bytes.Compare(value, c.low); {
	case c.low == nil:
		return 1
	case n < 0:
		return -1
	case c.high == nil && n == 0:
		return -1
	case c.high == nil:
		return 1
	case n > 0 && bytes.Compare(value, c.high) > 0:
		return 1
	}
	return 0
}

// fixedOrder orders a value of a type of fixed length and a literal.
func (c *conditions) fixedOrder(ctx *gms.Context, field *expression.GetField, at int, e expression.Comparer, literal *expression.Literal) func(value []byte) int {
	cut, ok := c.cut(ctx, field, at, e, literal)
	if !ok {
		return nil
	}
	return cut.order
}

// cut places a literal among the values of a column. The planner's comparison is asked
// about the values next to it: where it would have it otherwise, the comparison is its own.
func (c *conditions) cut(ctx *gms.Context, field *expression.GetField, at int, e expression.Comparer, literal *expression.Literal) (fixedCut, bool) {
	typ := field.Type(ctx)
	var low, high any // the literal where they are equal, else its neighbours
	ok := false
	switch {
	case types.IsInteger(typ):
		low, high, ok = integersAt(typ, literal.Value())
	case types.IsFloat(typ):
		low, high, ok = floatsAt(typ, literal.Value())
	case types.IsDecimal(typ):
		low, ok = decimalAt(literal.Value())
		high = low
	case types.IsDateType(typ):
		var day time.Time
		day, ok = momentAt(ctx, literal.Value())
		low, high, ok = day, day, ok && day.Equal(day.Truncate(24*time.Hour))
	case types.IsTimestampType(typ) && c.zoned:
	case types.IsDatetimeType(typ), types.IsTimestampType(typ):
		low, ok = momentAt(ctx, literal.Value())
		high = low
	case types.IsTimespan(typ):
		low, ok = spanAt(literal.Value())
		high = low
	}
	if !ok {
		return fixedCut{}, false
	}
	exact := low != nil && high != nil && oneValue(low, high)
	var out fixedCut
	var err error
	if low != nil {
		if out.low, err = c.table.FixedValue(at, low); err != nil {
			return fixedCut{}, false
		}
		if exact {
			out.high = out.low
		}
	}
	if zero, ok := low.(float64); ok && exact && zero == 0 {
		out.low, _ = c.table.FixedValue(at, math.Copysign(0, -1))
		out.high, _ = c.table.FixedValue(at, 0.0)
	}
	if zero, ok := low.(float32); ok && exact && zero == 0 {
		out.low, _ = c.table.FixedValue(at, float32(math.Copysign(0, -1)))
		out.high, _ = c.table.FixedValue(at, float32(0))
	}
	if types.IsInteger(typ) && types.IsInteger(literal.Type(ctx)) {
		return out, true // exact in MySQL, by way of floating point in the planner
	}
	if low != nil && !c.asked(ctx, field, e, low, exact, -1) || high != nil && !exact && !c.asked(ctx, field, e, high, false, 1) {
		return fixedCut{}, false
	}
	if f, ok := low.(float64); ok && exact {
		return out, c.asked(ctx, field, e, math.Nextafter(f, math.Inf(-1)), false, -1) && c.asked(ctx, field, e, math.Nextafter(f, math.Inf(1)), false, 1)
	}
	if f, ok := low.(float32); ok && exact {
		return out, c.asked(ctx, field, e, math.Nextafter32(f, float32(math.Inf(-1))), false, -1) &&
			c.asked(ctx, field, e, math.Nextafter32(f, float32(math.Inf(1))), false, 1)
	}
	return out, true
}

// asked says whether the planner orders a value of the column and the literal as it is
// thought here.
func (c *conditions) asked(ctx *gms.Context, field *expression.GetField, e expression.Comparer, v any, exact bool, wanted int) bool {
	i := field.Index()
	if i < 0 || i > 4096 {
		return false
	}
	if len(c.row) <= i {
		c.row = make(gms.Row, i+1)
	}
	c.row[i] = v
	warnings := len(ctx.Warnings())
	n, err := e.Compare(ctx, c.row)
	if err != nil || len(ctx.Warnings()) != warnings {
		return false
	}
	if exact {
		return n == 0
	}
	return n == wanted
}

func oneValue(a, b any) bool {
	switch a := a.(type) {
	case *apd.Decimal:
		return a == b
	case time.Time:
		t, ok := b.(time.Time)
		return ok && a.Equal(t)
	}
	return a == b
}

// integersAt are the integers of a type beside a number, both that number where it is one.
func integersAt(typ gms.Type, v any) (low, high any, ok bool) {
	floor, exact, ok := floorOf(v)
	if !ok {
		return nil, nil, false
	}
	least, most := rangeOf(typ)
	if least == nil {
		return nil, nil, false
	}
	boxed := func(n *big.Int) any {
		if least.Sign() == 0 {
			return n.Uint64()
		}
		return n.Int64()
	}
	switch {
	case floor.Cmp(least) < 0:
		return nil, boxed(least), true
	case floor.Cmp(most) > 0 || floor.Cmp(most) == 0 && !exact:
		return boxed(most), nil, true
	case exact:
		return boxed(floor), boxed(floor), true
	}
	return boxed(floor), boxed(new(big.Int).Add(floor, big.NewInt(1))), true
}

// wholeNumber is a text that every conversion takes for the same integer.
var wholeNumber = regexp.MustCompile(`^-?\d{1,15}$`)

// floorOf is the greatest integer that is not above a number.
func floorOf(v any) (floor *big.Int, exact, ok bool) {
	switch v := v.(type) {
	case string:
		if !wholeNumber.MatchString(v) {
			return nil, false, false
		}
		n, ok := new(big.Int).SetString(v, 10)
		return n, true, ok
	case *apd.Decimal:
		if v.Form != apd.Finite || v.Exponent < -100 || v.Exponent > 100 {
			return nil, false, false
		}
		c := apd.BaseContext.WithPrecision(400)
		var d apd.Decimal
		if _, err := c.Floor(&d, v); err != nil {
			return nil, false, false
		}
		n, ok := new(big.Int).SetString(d.Text('f'), 10)
		return n, d.Cmp(v) == 0, ok
	case float64:
		// Beyond it floating point takes several integers for one.
		if math.Abs(v) > 1<<52 || v != v {
			return nil, false, false
		}
		f := math.Floor(v)
		return big.NewInt(int64(f)), f == v, true
	}
	n, ok := integer(v)
	return n, true, ok
}

// rangeOf are the least and the greatest value of a type of integers; nil for YEAR and others.
func rangeOf(typ gms.Type) (least, most *big.Int) {
	signed := func(bits uint) (*big.Int, *big.Int) {
		edge := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return new(big.Int).Neg(edge), edge.Sub(edge, big.NewInt(1))
	}
	unsigned := func(bits uint) (*big.Int, *big.Int) {
		edge := new(big.Int).Lsh(big.NewInt(1), bits)
		return new(big.Int), edge.Sub(edge, big.NewInt(1))
	}
	switch typ.Type() {
	case sqltypes.Int8:
		return signed(8)
	case sqltypes.Int16:
		return signed(16)
	case sqltypes.Int24:
		return signed(24)
	case sqltypes.Int32:
		return signed(32)
	case sqltypes.Int64:
		return signed(64)
	case sqltypes.Uint8:
		return unsigned(8)
	case sqltypes.Uint16:
		return unsigned(16)
	case sqltypes.Uint24:
		return unsigned(24)
	case sqltypes.Uint32:
		return unsigned(32)
	case sqltypes.Uint64:
		return unsigned(64)
	}
	return nil, nil
}

// floatsAt are the values of a floating-point type beside a number.
func floatsAt(typ gms.Type, v any) (low, high any, ok bool) {
	var f float64
	switch v := v.(type) {
	case float64:
		f = v
	case *apd.Decimal:
		var err error
		if f, err = v.Float64(); err != nil {
			return nil, nil, false
		}
	default:
		n, ok := integer(v)
		if !ok || n.BitLen() > 52 {
			return nil, nil, false
		}
		f = float64(n.Int64())
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, nil, false
	}
	if typ.Type() != types.Float32.Type() {
		return f, f, true
	}
	below := float32(f)
	if math.IsInf(float64(below), 0) {
		return nil, nil, false
	}
	if float64(below) == f {
		return below, below, true
	}
	if float64(below) > f {
		below = math.Nextafter32(below, float32(math.Inf(-1)))
	}
	return below, math.Nextafter32(below, float32(math.Inf(1))), true
}

func decimalAt(v any) (any, bool) {
	if d, ok := v.(*apd.Decimal); ok {
		return d, true
	}
	n, ok := integer(v)
	if !ok {
		return nil, false
	}
	return apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(n), 0), true
}

// plainMoment is a date, and perhaps a time, that means the same to every conversion.
var plainMoment = regexp.MustCompile(`^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?)?$`)

func momentAt(ctx *gms.Context, v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, v.Nanosecond()%1000 == 0
	case string:
		if !plainMoment.MatchString(v) {
			break
		}
		t, inRange, err := types.DatetimeMaxPrecision.Convert(ctx, v)
		moment, ok := t.(time.Time)
		return moment, err == nil && inRange == gms.InRange && ok
	}
	return time.Time{}, false
}

// plainSpan is a time that means the same to every conversion.
var plainSpan = regexp.MustCompile(`^-?\d{1,3}:\d\d:\d\d(\.\d{1,6})?$`)

func spanAt(v any) (any, bool) {
	switch v := v.(type) {
	case types.Timespan:
		return v, true
	case string:
		if !plainSpan.MatchString(v) {
			return nil, false
		}
		span, err := types.Time.ConvertToTimespan(v)
		return span, err == nil
	}
	return nil, false
}

// in compares a column, which is not of text, with a list of literals.
func (c *conditions) in(ctx *gms.Context, e expression.Comparer) *store.Predicate {
	field, at, ok := c.field(e.Left())
	list, isTuple := e.Right().(expression.Tuple)
	if !ok || !isTuple || len(list) == 0 || types.IsText(field.Type(ctx)) {
		return nil
	}
	null := false
	var members [][]byte
	var others []*store.Predicate
	for _, member := range list {
		if l, ok := member.(*expression.Literal); ok && l.Value() == nil {
			null = true
			continue
		}
		literal := literalOf(ctx, member)
		if literal == nil {
			return nil
		}
		// Hashing makes the members of the first one's type.
		if types.IsText(literal.Type(ctx)) != types.IsText(list[0].Type(ctx)) {
			return nil
		}
		cut, ok := c.cut(ctx, field, at, expression.NewEquals(field, literal), literal)
		switch {
		case !ok:
			return nil
		case cut.high == nil: // no value of the column
		case !bytes.Equal(cut.low, cut.high):
			others = append(others, store.OfColumn(at, func(value []byte) (bool, error) { return cut.order(value) == 0, nil }))
		default:
			members = append(members, cut.low)
		}
	}
	slices.SortFunc(members, bytes.Compare)
	found := store.OfColumn(at, func(value []byte) (bool, error) {
		_, ok := slices.BinarySearchFunc(members, value, bytes.Compare)
		return ok, nil
	})
	if others = append(others, found); null {
		others = append(others, store.Constantly(store.Unknown))
	}
	return store.Or(others...)
}
