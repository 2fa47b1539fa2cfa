package fit

import (
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// Narrow is the type of a column that takes less than its type for the planner, which has
// one TIME and no numbers without a sign but integers. The planner must not meet it where
// it computes: it would not know it.
type Narrow struct {
	plain
	Unsigned bool  // of DECIMAL, FLOAT and DOUBLE
	Digits   uint8 // behind the second of a TIME
}

// plain lets Narrow have the planner's type with its methods, of which one is named Type.
type plain = gms.Type

// NewNarrow restricts a type.
func NewNarrow(t gms.Type, unsigned bool, digits uint8) Narrow { return Narrow{t, unsigned, digits} }

// String is the type as SHOW CREATE TABLE has it.
func (n Narrow) String() string {
	if !types.IsTimespan(n.plain) {
		return n.plain.String() + " unsigned"
	}
	if n.Digits == 0 {
		return "time"
	}
	return "time(" + strconv.Itoa(int(n.Digits)) + ")"
}

// Unwrap is the type without the restriction.
func (n Narrow) Unwrap() gms.Type { return n.plain }

// Shape says what a client is told of it.
func (n Narrow) Shape() (unsigned bool, digits uint8) { return n.Unsigned, n.Digits }

// SQL is the value as a client sees it.
func (n Narrow) SQL(ctx *gms.Context, dest []byte, v any) (sqltypes.Value, error) {
	out, err := n.plain.SQL(ctx, dest, v)
	if err != nil || out.IsNull() || !types.IsTimespan(n.plain) {
		return out, err
	}
	return sqltypes.MakeTrusted(sqltypes.Time, []byte(WithDigits(out.ToString(), n.Digits))), nil
}

// WithDigits is the text of a TIME with so many digits behind the second.
func WithDigits(text string, digits uint8) string {
	whole, fraction, _ := strings.Cut(text, ".")
	if digits == 0 {
		return whole
	}
	return whole + "." + (fraction + "000000")[:digits]
}

// Restrict is a value of the planner's type as the column takes it. The problem is that of
// a number below 0, which becomes 0. With truncate digits of a fraction are cut, not rounded.
func (n Narrow) Restrict(v any, truncate bool) (any, *Problem) {
	switch v := v.(type) {
	case types.Timespan:
		return RoundSpan(v, n.Digits, truncate), nil
	case *apd.Decimal:
		if n.Unsigned && v.Negative {
			if v.IsZero() {
				return new(apd.Decimal).Abs(v), nil
			}
			return apd.New(0, v.Exponent), outside()
		}
	case float32:
		if n.Unsigned && v < 0 {
			return float32(0), outside()
		}
	case float64:
		if n.Unsigned && v < 0 {
			return float64(0), outside()
		}
	}
	return v, nil
}
