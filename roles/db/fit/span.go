package fit

import (
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// longest is the largest TIME, in microseconds.
const longest = (838*3600 + 59*60 + 59) * 1_000_000

// span is for TIME.
func (c *converter) span(v any) (any, *Problem, error) {
	switch v := v.(type) {
	case types.Timespan:
		return clipSpan(int64(v), nil)
	case time.Time:
		var note *Problem
		if !v.Equal(types.ZeroTime) {
			note = noteOfCut() // of the date
		}
		h, m, s := v.Clock()
		return types.Timespan(int64(h*3600+m*60+s)*1_000_000 + int64(v.Nanosecond()/1000)), note, nil
	case string:
		return readSpan(v)
	}
	d, _, err := c.decimal(v, "integer", false)
	if err != nil {
		return types.Timespan(0), badTime(truncated, "time", ""), nil
	}
	return spanOfNumber(d)
}

func clipSpan(micros int64, p *Problem) (any, *Problem, error) {
	switch {
	case micros > longest:
		return types.Timespan(longest), outside(), nil
	case micros < -longest:
		return types.Timespan(-longest), outside(), nil
	}
	return types.Timespan(micros), p, nil
}

// spanOfNumber reads [hhh]hmmss.
func spanOfNumber(d *apd.Decimal) (any, *Problem, error) {
	micros := new(apd.Decimal)
	if _, err := exact.Mul(micros, d, apd.New(1_000_000, 0)); err != nil {
		return types.Timespan(0), outside(), nil
	}
	micros, _ = rounded(micros, 0)
	n, err := micros.Int64()
	sign := int64(1)
	if micros.Negative {
		sign = -1
	}
	if n *= sign; err != nil || n >= 10_000_000_000*1_000_000 {
		return types.Timespan(sign * longest), outside(), nil
	}
	of := n / 1_000_000
	h, m, s := of/10000, of/100%100, of%100
	if h > 838 {
		return types.Timespan(sign * longest), outside(), nil
	}
	if m > 59 || s > 59 {
		return types.Timespan(0), badTime(truncated, "time", d.Text('f')), nil
	}
	return clipSpan(sign*((h*3600+m*60+s)*1_000_000+n%1_000_000), nil)
}

// readSpan reads [-][D ]h:m[:s][.f], [hhh]hmmss and the time of day of a date.
func readSpan(text string) (any, *Problem, error) {
	s := strings.Trim(text, space)
	bad := func() (any, *Problem, error) { return types.Timespan(0), badTime(truncated, "time", text), nil }
	if c, how := readDate(s); how == whole && len(s) > 10 && digitsOf(s) < 7 && c.possible() && strings.ContainsAny(s, " T") {
		return types.Timespan(int64(c.hour*3600+c.minute*60+c.second)*1_000_000 + int64(c.nano/1000)), noteOfCut(), nil
	}
	sign := int64(1)
	if strings.HasPrefix(s, "-") {
		sign, s = -1, s[1:]
	}
	n := digitsOf(s)
	if n == 0 {
		return bad()
	}
	days := int64(0)
	if n < len(s) && s[n] == ' ' && digitsOf(strings.TrimLeft(s[n:], " ")) > 0 {
		days = int64(number(s[:n]))
		s = strings.TrimLeft(s[n:], " ")
		n = digitsOf(s)
	}
	if n == len(s) || s[n] != ':' {
		if days > 0 {
			var c clock
			return spanOf(sign, days, int64(number(s[:n])), 0, 0, c, s[n:], text)
		}
		var c clock
		rest := readFraction(&c, s[n:])
		if n > 14 {
			return bad()
		}
		whole := int64(0)
		for i := range n {
			whole = whole*10 + int64(s[i]-'0')
		}
		out, p, err := spanOf(sign, 0, whole/10000, whole/100%100, whole%100, c, rest, text)
		return out, p, err
	}
	h := int64(number(s[:n]))
	s = s[n+1:]
	n = digitsOf(s)
	m := int64(number(s[:n]))
	s = s[n:]
	sec := int64(0)
	if strings.HasPrefix(s, ":") {
		n = digitsOf(s[1:])
		sec = int64(number(s[1 : 1+n]))
		s = s[1+n:]
	}
	var c clock
	s = readFraction(&c, s)
	return spanOf(sign, days, h, m, sec, c, s, text)
}

func spanOf(sign, days, h, m, s int64, fraction clock, rest, text string) (any, *Problem, error) {
	if m > 59 || s > 59 {
		return types.Timespan(0), badTime(truncated, "time", text), nil
	}
	var p *Problem
	if strings.Trim(rest, space) != "" {
		p = badTime(truncated, "time", text)
	}
	micros := ((days*24+h)*3600+m*60+s)*1_000_000 + (int64(fraction.nano)+500)/1000
	return clipSpan(sign*micros, p)
}

// RoundSpan is a TIME with so many digits behind the second, half away from zero or, with
// truncate, cut.
func RoundSpan(span types.Timespan, digits uint8, truncate bool) types.Timespan {
	step := int64(1_000_000)
	for range digits {
		step /= 10
	}
	n := int64(span)
	left := n % step
	n -= left
	if !truncate && 2*left >= step {
		n += step
	} else if !truncate && -2*left >= step {
		n -= step
	}
	return types.Timespan(max(min(n, longest), -longest))
}

// spanNumber is hhmmss, negative for a negative time.
func spanNumber(t types.Timespan) any {
	n, sign := int64(t), int64(1)
	if n < 0 {
		n, sign = -n, -1
	}
	s := n / 1_000_000
	return withMicros(sign*(s/3600*10000+s/60%60*100+s%60), sign*(n%1_000_000))
}
