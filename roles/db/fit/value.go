package fit

import (
	"fmt"
	"math"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// Mode is what of the session the value depends on.
type Mode struct {
	NoZeroDate bool           // the zero date is a problem
	Truncate   bool           // fractions of a second are cut, not rounded: TIME_TRUNCATE_FRACTIONAL
	Zone       *time.Location // that TIMESTAMP is in, nil for UTC
}

// converter is one conversion.
type converter struct {
	ctx  *gms.Context
	to   gms.Type
	from gms.Type
	mode Mode
	// unsigned says that a DECIMAL has no sign, not even of a number that rounds to 0.
	unsigned bool
}

// Value is v as a column of type to stores it, nil for nil. from is the type of the expression that
// v comes from, nil if it is not known. The problem is nil where nothing is lost; an error
// is for what no mode takes (JSON and geometry).
func Value(ctx *gms.Context, to gms.Type, v any, from gms.Type, mode Mode) (any, *Problem, error) {
	if v == nil {
		return nil, nil, nil
	}
	if i, ok := Int64(v); ok && from == nil || ok && !types.IsEnum(from) && !types.IsSet(from) && !types.IsBit(from) {
		if out, ok := plainInt(to, i); ok {
			return out, nil, nil
		}
	}
	v, err := gms.UnwrapAny(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	narrow, isNarrow := to.(Narrow)
	if isNarrow {
		to = narrow.plain
	}
	c := &converter{ctx: ctx, to: to, from: from, mode: mode, unsigned: narrow.Unsigned}
	out, problem, err := c.convert(v)
	if isNarrow && err == nil {
		var below *Problem
		out, below = narrow.Restrict(out, mode.Truncate)
		problem = first(below, problem)
	}
	return out, problem, err
}

// Int64 is v as an int64, if it is an integer that is one.
func Int64(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case int16:
		return int64(v), true
	case int8:
		return int64(v), true
	case int:
		return int64(v), true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

// plainInt is the short way of an integer into a column that holds it.
func plainInt(t gms.Type, i int64) (any, bool) {
	switch t.Type() {
	case sqltypes.Int8:
		return int8(i), i >= math.MinInt8 && i <= math.MaxInt8
	case sqltypes.Int16:
		return int16(i), i >= math.MinInt16 && i <= math.MaxInt16
	case sqltypes.Int24:
		return int32(i), i >= -1<<23 && i < 1<<23
	case sqltypes.Int32:
		return int32(i), i >= math.MinInt32 && i <= math.MaxInt32
	case sqltypes.Int64:
		return i, true
	case sqltypes.Uint8:
		return uint8(i), i >= 0 && i <= math.MaxUint8
	case sqltypes.Uint16:
		return uint16(i), i >= 0 && i <= math.MaxUint16
	case sqltypes.Uint24:
		return uint32(i), i >= 0 && i < 1<<24
	case sqltypes.Uint32:
		return uint32(i), i >= 0 && i <= math.MaxUint32
	case sqltypes.Uint64:
		return uint64(i), i >= 0
	}
	return nil, false
}

func (c *converter) convert(v any) (any, *Problem, error) {
	if b, ok := v.(bool); ok {
		v = int64(0)
		if b {
			v = int64(1)
		}
	}
	t := c.to
	if s, ok := t.(gms.StringType); ok {
		return c.text(s, v)
	}
	if b, ok := v.([]byte); ok && !isVector(t) && !types.IsJSON(t) && !types.IsBit(t) && !types.IsGeometry(t) {
		v = string(b)
	}
	switch {
	case types.IsEnum(t):
		return c.enum(v)
	case types.IsSet(t):
		return c.set(v)
	case types.IsBit(t):
		return c.bits(v)
	case types.IsJSON(t), types.IsGeometry(t), isVector(t):
		if text, ok := v.(string); ok && types.IsJSON(t) {
			if document, ok := JSON([]byte(text)); ok {
				v = document
			}
		}
		out, _, err := t.Convert(c.ctx, v)
		return out, nil, err
	}
	v, err := c.named(v)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case types.IsTimespan(t):
		out, problem, err := c.span(v)
		if problem != nil && problem.Warning == outOfRange {
			problem = badTime(outOfRange, "time", fmt.Sprint(v))
		}
		return out, problem, err
	case types.IsYear(t):
		return c.year(c.numeric(v))
	case isTemporal(t):
		return c.datetime(v)
	case types.IsInteger(t):
		return c.integer(c.numeric(v))
	case types.IsDecimal(t):
		return c.exact(c.numeric(v))
	case types.IsFloat(t):
		return c.float(c.numeric(v))
	}
	out, in, err := t.Convert(c.ctx, v)
	if err == nil && in != gms.InRange {
		return out, outside(), nil
	}
	return out, nil, err
}

func isVector(t gms.Type) bool {
	_, ok := t.(types.VectorType)
	return ok
}

func isTemporal(t gms.Type) bool {
	return types.IsDateType(t) || types.IsDatetimeType(t) || types.IsTimestampType(t)
}

// named is a member of an ENUM or SET by its name where the column is of dates; a number
// takes its position.
func (c *converter) named(v any) (any, error) {
	if c.from == nil || types.IsNumber(c.to) || types.IsYear(c.to) {
		return v, nil
	}
	return c.memberText(v)
}

// memberText is the text of a member of an ENUM or SET that v is the number of.
func (c *converter) memberText(v any) (any, error) {
	switch from := c.from.(type) {
	case gms.EnumType:
		if i, ok := v.(uint16); ok {
			text, _ := from.At(int(i))
			return text, nil
		}
	case gms.SetType:
		if bits, ok := v.(uint64); ok {
			return from.BitsToString(bits)
		}
	}
	return v, nil
}

// numeric is a date or time as the number that its digits make.
func (c *converter) numeric(v any) any {
	switch v := v.(type) {
	case time.Time:
		return timeNumber(v, c.from != nil && types.IsDateType(c.from))
	case types.Timespan:
		return spanNumber(v)
	}
	return v
}
