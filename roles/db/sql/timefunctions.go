package sql

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// mostMicros is the longest TIME: 838:59:59.
const mostMicros = (838*3600 + 59*60 + 59) * 1_000_000

func init() {
	addFunction("addtime", 2, shiftedType, func(ctx *gms.Context, f *ownFunction, args []any) (any, error) { return shift(ctx, f, args, 1) })
	addFunction("subtime", 2, shiftedType, func(ctx *gms.Context, f *ownFunction, args []any) (any, error) { return shift(ctx, f, args, -1) })
	addFunction("sec_to_time", 1, always(types.Time), secToTime)
	addFunction("maketime", 3, always(types.Time), makeTime)
	addFunction("makedate", 2, always(types.Date), makeDate)
	addFunction("to_seconds", 1, always(types.Int64), toSeconds)
	addFunction("period_add", 2, always(types.Int64), periodAdd)
	addFunction("period_diff", 2, always(types.Int64), periodDiff)
	addFunction("time", 1, always(types.Time), timeOf)
	addFunction("time_format", 2, always(types.Text), formatTime)
	addFunction("utc_date", 0, always(types.Date), func(ctx *gms.Context, _ *ownFunction, _ []any) (any, error) {
		return ctx.QueryTime().UTC().Truncate(24 * time.Hour), nil
	})
	ownFunctions["timestamp"] = gms.FunctionN{Name: "timestamp", Fn: newTimestamp}
	ownFunctions["datetime"] = ownFunctions["timestamp"] // what definitions say
	ownFunctions["utc_time"] = gms.FunctionN{Name: "utc_time", Fn: newUTCTime}
}

// newTimestamp is TIMESTAMP(): a date as a date and time, with a time added to it or not.
func newTimestamp(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	if len(args) < 1 || len(args) > 2 {
		return nil, wrongCount("timestamp")
	}
	moment, err := function.NewDatetime(ctx, args[0])
	if err != nil {
		return nil, err
	}
	if args[0].Resolved() && types.IsTime(args[0].Type(ctx)) {
		digits := 0
		if !isDay(ctx, args[0]) {
			digits = fractionOf(ctx, args[0])
		}
		moment = &inType{expression.UnaryExpressionStub{Child: moment}, types.MustCreateDatetimeType(sqltypes.Datetime, digits)}
	}
	if len(args) == 1 {
		return moment, nil
	}
	return ownFunctions["addtime"].NewInstance(ctx, []gms.Expression{moment, args[1]})
}

// newUTCTime is UTC_TIME(), or that with so many digits of the second.
func newUTCTime(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	if len(args) > 1 {
		return nil, wrongCount("utc_time")
	}
	digits := int64(0)
	if len(args) == 1 {
		v, err := args[0].Eval(ctx, nil)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, mysqlError(1064, "You have an error in your SQL syntax: NULL is no precision of UTC_TIME")
		}
		if digits, err = integerOf(ctx, v); err != nil || digits < 0 || digits > 6 {
			return nil, mysqlError(1426, "Too big precision %v specified for 'utc_time'. Maximum is 6", v)
		}
	}
	unit := time.Second
	for range digits {
		unit /= 10
	}
	return &ownFunction{"utc_time", args, always(types.Time), func(ctx *gms.Context, _ *ownFunction, _ []any) (any, error) {
		now := ctx.QueryTime().UTC()
		return types.Timespan(now.Sub(now.Truncate(24*time.Hour)).Truncate(unit) / time.Microsecond), nil
	}}, nil
}

// shiftedType is a DATETIME for a date and time, a TIME for one, else text.
func shiftedType(ctx *gms.Context, args []gms.Expression) gms.Type {
	switch t := args[0].Type(ctx); {
	case types.IsTimespan(t):
		return types.Time
	case types.IsTime(t):
		return types.MustCreateDatetimeType(sqltypes.Datetime, max(fractionOf(ctx, args[0]), fractionOf(ctx, args[1])))
	}
	return types.LongText
}

// fractionOf is how many digits of a second a time has.
func fractionOf(ctx *gms.Context, e gms.Expression) int {
	switch t := e.Type(ctx).(type) {
	case gms.DatetimeType:
		return t.Precision()
	case gms.DecimalType:
		return min(6, int(t.Scale()))
	}
	if types.IsInteger(e.Type(ctx)) {
		return 0
	}
	if l, ok := e.(*expression.Literal); ok {
		if text, ok := l.Value().(string); ok {
			_, fraction, _ := strings.Cut(text, ".")
			return min(6, len(fraction))
		}
	}
	return 6
}

// shift is ADDTIME and SUBTIME.
func shift(ctx *gms.Context, f *ownFunction, args []any, sign int64) (any, error) {
	by, ok := timeMicros(args[1])
	if !ok {
		return nil, nil
	}
	by *= sign
	var moment time.Time
	switch v := args[0].(type) {
	case time.Time:
		moment = v
	case string:
		if day := strings.TrimSpace(v); strings.Contains(strings.TrimPrefix(day, "-"), "-") {
			converted, _, err := types.DatetimeMaxPrecision.Convert(ctx, day)
			if moment, ok = converted.(time.Time); err != nil || !ok {
				return nil, nil
			}
		}
	}
	text := types.IsText(f.Type(ctx))
	if moment.IsZero() {
		span, ok := timeMicros(args[0])
		if !ok {
			return nil, nil
		}
		sum := types.Timespan(min(max(span+by, -mostMicros), mostMicros))
		if text {
			return sum.String(), nil
		}
		return sum, nil
	}
	moment = moment.Add(time.Duration(by) * time.Microsecond)
	if moment.Year() < 1 || moment.Year() > 9999 {
		return nil, nil
	}
	switch {
	case !text:
		return moment, nil
	case moment.Nanosecond() == 0:
		return moment.Format(time.DateTime), nil
	}
	return moment.Format(time.DateTime + ".000000"), nil
}

// timeMicros are the microseconds of a TIME, or of a text or number in its form. Days may stand
// before it: '1 02:00:00'.
func timeMicros(v any) (int64, bool) {
	text, ok := v.(string)
	if d, number := v.(*apd.Decimal); number {
		text, ok = d.Text('f'), true
	}
	if !ok {
		if _, ok := v.(time.Time); ok {
			return 0, false
		}
		span, err := types.Time.ConvertToTimespan(v)
		return int64(span), err == nil
	}
	text = strings.TrimSpace(text)
	rest, negative := strings.CutPrefix(text, "-")
	if strings.Contains(rest, "-") {
		return 0, false
	}
	var micros int64
	if before, clock, ok := strings.Cut(rest, " "); ok {
		days, err := strconv.Atoi(before)
		if err != nil || days > 34 {
			return 0, false
		}
		micros, rest = int64(days)*24*3600*1_000_000, strings.TrimSpace(clock)
		if !strings.Contains(rest, ":") { // '1 02' are hours
			rest += ":00:00"
		}
	}
	span, err := types.Time.ConvertToTimespan(rest)
	if err != nil {
		return 0, false
	}
	micros = min(micros+int64(span), mostMicros)
	if negative {
		micros = -micros
	}
	return micros, true
}

// secondsOf are the microseconds that a number of seconds has.
func secondsOf(ctx *gms.Context, v any) (int64, error) {
	switch n := v.(type) {
	case *apd.Decimal:
		var micros apd.Decimal
		if _, err := apd.BaseContext.WithPrecision(40).Mul(&micros, n, apd.New(1, 6)); err != nil {
			return 0, err
		}
		f, err := micros.Float64()
		return int64(math.Round(min(max(f, -mostMicros), mostMicros))), err
	}
	f, _, err := types.Float64.Convert(ctx, v)
	if err != nil && !gms.ErrTruncatedIncorrect.Is(err) {
		return 0, err
	}
	return int64(math.Round(min(max(f.(float64)*1e6, -mostMicros), mostMicros))), nil
}

func secToTime(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	micros, err := secondsOf(ctx, args[0])
	return types.Timespan(micros), err
}

// integerOf is a number as an integer.
func integerOf(ctx *gms.Context, v any) (int64, error) {
	n, _, err := types.Int64.Convert(ctx, v)
	if err != nil && !gms.ErrTruncatedIncorrect.Is(err) {
		return 0, err
	}
	return n.(int64), nil
}

func makeTime(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	hours, err := integerOf(ctx, args[0])
	if err != nil {
		return nil, err
	}
	minutes, err := integerOf(ctx, args[1])
	if err != nil {
		return nil, err
	}
	micros, err := secondsOf(ctx, args[2])
	if err != nil || minutes < 0 || minutes > 59 || micros < 0 || micros >= 60_000_000 {
		return nil, err
	}
	if abs(hours) > 838 {
		micros = mostMicros
	} else {
		micros += abs(hours)*3_600_000_000 + minutes*60_000_000
	}
	if hours < 0 {
		micros = -micros
	}
	return types.Timespan(micros), nil
}

func makeDate(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	year, err := integerOf(ctx, args[0])
	if err != nil {
		return nil, err
	}
	day, err := integerOf(ctx, args[1])
	if err != nil || year < 0 || year > 9999 || day < 1 || day > 4_000_000 {
		return nil, err
	}
	if year < 70 {
		year += 2000
	} else if year < 100 {
		year += 1900
	}
	date := time.Date(int(year), 1, int(day), 0, 0, 0, 0, time.UTC)
	if date.Year() > 9999 {
		return nil, nil
	}
	return date, nil
}

func toSeconds(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	v, _, err := types.DatetimeMaxPrecision.Convert(ctx, args[0])
	date, ok := v.(time.Time)
	if err != nil || !ok || date.Equal(types.ZeroTime) {
		return nil, nil
	}
	const beforeUnix = 719528 * 24 * 3600 // TO_DAYS('1970-01-01')
	return date.Unix() + beforeUnix, nil
}

// monthsOf are the months since the year 0 of a period YYMM or YYYYMM.
func monthsOf(period int64) int64 {
	year, month := period/100, period%100
	if year < 70 {
		year += 2000
	} else if year < 100 {
		year += 1900
	}
	return year*12 + month - 1
}

// periodsOf are the numbers of PERIOD_ADD and PERIOD_DIFF; how many of them are periods.
func periodsOf(ctx *gms.Context, f *ownFunction, args []any, periods int) (a, b int64, err error) {
	var n [2]int64
	for i := range n {
		if n[i], err = integerOf(ctx, args[i]); err != nil {
			return 0, 0, err
		}
		if i < periods && (n[i] < 0 || n[i]%100 == 0 || n[i]%100 > 12) {
			return 0, 0, mysqlError(1210, "Incorrect arguments to %s", f.name)
		}
	}
	return n[0], n[1], nil
}

func periodAdd(ctx *gms.Context, f *ownFunction, args []any) (any, error) {
	period, n, err := periodsOf(ctx, f, args, 1)
	if err != nil {
		return nil, err
	}
	months := monthsOf(period) + n
	return months/12*100 + months%12 + 1, nil
}

func periodDiff(ctx *gms.Context, f *ownFunction, args []any) (any, error) {
	a, b, err := periodsOf(ctx, f, args, 2)
	return monthsOf(a) - monthsOf(b), err
}

// timeOf is TIME(): the planner takes a TIME for a moment of the first day.
func timeOf(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	_, span := args[0].(types.Timespan)
	if text, isText := args[0].(string); span || isText && strings.Contains(text, ":") {
		if micros, ok := timeMicros(args[0]); ok {
			return types.Timespan(micros), nil
		}
	}
	return function.NewTime(ctx, expression.NewLiteral(args[0], types.ApproximateTypeFromValue(args[0]))).Eval(ctx, nil)
}

// formatTime is TIME_FORMAT(), of dates their time of day.
func formatTime(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	format, _, err := types.LongText.Convert(ctx, args[1])
	if err != nil {
		return nil, err
	}
	micros, ok := timeMicros(args[0])
	if !ok {
		v, _, err := types.DatetimeMaxPrecision.Convert(ctx, args[0])
		moment, ok := v.(time.Time)
		if err != nil || !ok {
			return nil, nil
		}
		span, err := types.Time.ConvertToTimespan(moment)
		if err != nil {
			return nil, err
		}
		micros = int64(span)
	}
	return timeFormat(micros, format.(string)), nil
}

// timeFormat is TIME_FORMAT() of a TIME; NULL where the format has a part of a date.
func timeFormat(micros int64, format string) any {
	var out strings.Builder
	if micros < 0 {
		out.WriteByte('-')
		micros = -micros
	}
	hours, minutes, seconds := micros/3_600_000_000, micros/60_000_000%60, micros/1_000_000%60
	half := "AM"
	if hours%24 >= 12 {
		half = "PM"
	}
	twelve := (hours%24+11)%12 + 1
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		switch format[i] {
		case 'H':
			fmt.Fprintf(&out, "%02d", hours)
		case 'k':
			fmt.Fprint(&out, hours)
		case 'h', 'I':
			fmt.Fprintf(&out, "%02d", twelve)
		case 'l':
			fmt.Fprint(&out, twelve)
		case 'i':
			fmt.Fprintf(&out, "%02d", minutes)
		case 's', 'S':
			fmt.Fprintf(&out, "%02d", seconds)
		case 'f':
			fmt.Fprintf(&out, "%06d", micros%1_000_000)
		case 'p':
			out.WriteString(half)
		case 'r':
			fmt.Fprintf(&out, "%02d:%02d:%02d %s", twelve, minutes, seconds, half)
		case 'T':
			fmt.Fprintf(&out, "%02d:%02d:%02d", hours, minutes, seconds)
		case 'M', 'b', 'W', 'a', 'D', 'Y', 'y', 'm', 'c', 'd', 'e', 'j', 'w', 'U', 'u', 'V', 'v', 'X', 'x':
			return nil
		default:
			out.WriteByte(format[i])
		}
	}
	return out.String()
}
