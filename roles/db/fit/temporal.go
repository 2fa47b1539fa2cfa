package fit

import (
	"time"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// Bounds of TIMESTAMP, in UTC.
var (
	earliest = time.Unix(1, 0).UTC()
	latest   = time.Unix(1<<31, 0).UTC() // not reached
)

// datetime is for DATE, DATETIME and TIMESTAMP. What is no date is the zero date; so is one
// with a month or day 0, which MySQL stores without NO_ZERO_IN_DATE.
func (c *converter) datetime(v any) (any, *Problem, error) {
	kind := "datetime"
	if types.IsDateType(c.to) {
		kind = "date"
	}
	var read clock
	var how reading
	given := ""
	switch v := v.(type) {
	case time.Time:
		return c.fitTime(v, v.Equal(types.ZeroTime), kind, nil, nil)
	case types.Timespan:
		now := c.now()
		at := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC).Add(v.AsTimeDuration())
		return c.fitTime(at, false, kind, nil, nil)
	case string:
		given = v
		read, how = readDate(v)
	default:
		d, _, err := c.decimal(v, "integer", false)
		if err != nil {
			return types.ZeroTime, badTime(truncated, kind, ""), nil
		}
		given = d.Text('f')
		read, how = dateOfNumber(d)
	}
	switch {
	case how == nothing, !read.possible():
		return types.ZeroTime, badTime(truncated, kind, given), nil
	case read.isZero():
		p := (*Problem)(nil)
		if how == partly {
			p = badTime(truncated, kind, given)
		}
		return c.fitTime(types.ZeroTime, true, kind, &given, p)
	}
	at := time.Date(read.year, time.Month(read.month), read.day, read.hour, read.minute, read.second, read.nano, time.UTC)
	if read.month == 0 || read.day == 0 || at.Day() != read.day {
		return types.ZeroTime, badTime(outOfRange, kind, given), nil
	}
	if read.offset != nil && kind == "datetime" {
		at = wall(at.Add(-time.Duration(*read.offset) * time.Second).In(c.zone()))
	}
	var rest *Problem
	if how == partly {
		rest = badTime(truncated, kind, given)
	}
	return c.fitTime(at, false, kind, &given, rest)
}

func (c *converter) zone() *time.Location {
	if c.mode.Zone == nil {
		return time.UTC
	}
	return c.mode.Zone
}

// now is the time of the statement in the session's zone.
func (c *converter) now() time.Time { return c.ctx.QueryTime().In(c.zone()) }

// wall is the date and time that a clock in t's zone shows, as the planner has them.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// fitTime rounds to the column's digits and looks at its range. given is the text that it
// was, rest what was wrong with that.
func (c *converter) fitTime(at time.Time, zero bool, kind string, given *string, rest *Problem) (any, *Problem, error) {
	text := "0000-00-00"
	if given != nil {
		text = *given
	} else if !zero {
		text = at.Format("2006-01-02 15:04:05.999999")
	}
	if zero {
		if c.mode.NoZeroDate {
			return types.ZeroTime, first(rest, badTime(outOfRange, kind, text)), nil
		}
		return types.ZeroTime, rest, nil
	}
	if kind == "date" {
		day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
		if rest == nil && !day.Equal(wall(at)) {
			rest = noteOfCut()
		}
		return day, rest, nil
	}
	step := time.Second
	for range c.to.(gms.DatetimeType).Precision() {
		step /= 10
	}
	if c.mode.Truncate {
		at = at.Truncate(step)
	} else {
		at = at.Round(step)
	}
	if at.Year() > 9999 || at.Year() < 0 {
		return types.ZeroTime, badTime(outOfRange, kind, text), nil
	}
	if !types.IsTimestampType(c.to) {
		return at, rest, nil
	}
	utc, real := ToUTC(at, c.zone())
	if utc.Before(earliest) || !utc.Before(latest) {
		return types.ZeroTime, badTime(outOfRange, kind, text), nil
	}
	if !real {
		return FromUTC(utc, c.zone()), badTime(invalidTimestamp, kind, text), nil
	}
	return at, rest, nil
}

// dateOfNumber reads [YY]YYMMDD[hhmmss].
func dateOfNumber(d *apd.Decimal) (clock, reading) {
	if d.IsZero() {
		return clock{}, whole
	}
	if d.Negative {
		return clock{}, nothing
	}
	floor, err := new(apd.Decimal), error(nil)
	if _, err = exact.Floor(floor, d); err != nil {
		return clock{}, nothing
	}
	n, err := floor.Int64()
	if err != nil {
		return clock{}, nothing
	}
	fraction := new(apd.Decimal)
	if _, err := exact.Sub(fraction, d, floor); err != nil {
		return clock{}, nothing
	}
	if _, err := exact.Mul(fraction, fraction, apd.New(1_000_000_000, 0)); err != nil {
		return clock{}, nothing
	}
	fraction, _ = rounded(fraction, 0)
	nano, err := fraction.Int64()
	if err != nil {
		return clock{}, nothing
	}
	const day = 1_000_000
	switch {
	case n == 0:
		return clock{}, whole
	case n < 101:
		return clock{}, nothing
	case n <= 691231:
		n = (n + 20_000_000) * day
	case n < 700101:
		return clock{}, nothing
	case n <= 991231:
		n = (n + 19_000_000) * day
	case n < 10_000_101:
		return clock{}, nothing
	case n <= 99_991_231:
		n *= day
	case n < 101_000_000:
		return clock{}, nothing
	case n <= 691231_235959:
		n += 20_000_000 * day
	case n < 700101_000000:
		return clock{}, nothing
	case n <= 991231_235959:
		n += 19_000_000 * day
	}
	date, of := n/day, n%day
	c := clock{
		year: int(date / 10000), month: int(date / 100 % 100), day: int(date % 100),
		hour: int(of / 10000), minute: int(of / 100 % 100), second: int(of % 100), nano: int(min(nano, 999_999_999)),
	}
	return c, whole
}

// timeNumber is YYYYMMDDhhmmss, of a DATE YYYYMMDD.
func timeNumber(t time.Time, date bool) any {
	if t.Equal(types.ZeroTime) {
		return int64(0)
	}
	n := int64(t.Year())*10000 + int64(t.Month())*100 + int64(t.Day())
	if date {
		return n
	}
	n = n*1_000_000 + int64(t.Hour())*10000 + int64(t.Minute())*100 + int64(t.Second())
	return withMicros(n, int64(t.Nanosecond()/1000))
}

func withMicros(n, micros int64) any {
	if micros == 0 {
		return n
	}
	d := apd.New(n, 0)
	if _, err := exact.Add(d, d, apd.New(micros, -6)); err != nil {
		return n
	}
	return d
}
