package wire

import (
	"strconv"
	"time"

	"github.com/dolthub/go-mysql-server/sql/types"
)

// Temporal values in the binary protocol. DATE, DATETIME and TIMESTAMP:
//
//	1 byte   length: 0, 4, 7 or 11; what is left out is zero
//	2 bytes  year
//	1 byte   month, day
//	1 byte   hour, minute, second
//	4 bytes  microseconds
//
// TIME:
//
//	1 byte   length: 0, 8 or 12
//	1 byte   1 if negative
//	4 bytes  days
//	1 byte   hours, minutes, seconds
//	4 bytes  microseconds

func (c *column) appendBinaryTime(b []byte, t time.Time) ([]byte, bool) {
	t, zero, ok := c.round(t)
	if !ok {
		return b, false
	}
	if zero {
		return append(b, 0), true
	}
	year, month, day := t.Date()
	if c.typ == typeDate {
		return appendDatetime(b, year, int(month), day, 0, 0, 0, 0), true
	}
	hour, minute, second := t.Clock()
	return appendDatetime(b, year, int(month), day, hour, minute, second, t.Nanosecond()/1000), true
}

func appendDatetime(b []byte, year, month, day, hour, minute, second, us int) []byte {
	length := byte(11)
	switch {
	case us == 0 && hour == 0 && minute == 0 && second == 0:
		length = 4
		if year == 0 && month == 0 && day == 0 {
			return append(b, 0)
		}
	case us == 0:
		length = 7
	}
	b = append(appendU16(append(b, length), uint16(year)), byte(month), byte(day))
	if length > 4 {
		b = append(b, byte(hour), byte(minute), byte(second))
	}
	if length > 7 {
		b = appendU32(b, uint32(us))
	}
	return b
}

// appendBinaryDatetimeText takes "YYYY-MM-DD[ hh:mm:ss[.ffffff]]", which is how the
// engine's types write a date.
func appendBinaryDatetimeText(b, text []byte) []byte {
	var f [6]int
	i := 0
	for ; i < 6 && len(text) > 0 && text[0] != '.'; i++ {
		n := 0
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		f[i], _ = strconv.Atoi(string(text[:n]))
		text = text[n:]
		if len(text) > 0 && text[0] != '.' {
			text = text[1:]
		}
	}
	us := 0
	if len(text) > 0 && text[0] == '.' {
		for j := 1; j <= 6; j++ {
			us *= 10
			if j < len(text) && text[j] >= '0' && text[j] <= '9' {
				us += int(text[j] - '0')
			}
		}
	}
	return appendDatetime(b, f[0], f[1], f[2], f[3], f[4], f[5], us)
}

// appendBinaryDuration writes a TIME given in microseconds.
func appendBinaryDuration(b []byte, us int64) []byte {
	if us == 0 {
		return append(b, 0)
	}
	negative := byte(0)
	if us < 0 {
		negative, us = 1, -us
	}
	length := byte(12)
	if us%1e6 == 0 {
		length = 8
	}
	seconds := us / 1e6
	b = appendU32(append(b, length, negative), uint32(seconds/86400))
	b = append(b, byte(seconds/3600%24), byte(seconds/60%60), byte(seconds%60))
	if length == 12 {
		b = appendU32(b, uint32(us%1e6))
	}
	return b
}

// appendTime writes a temporal value as text, false if it is out of range.
func (c *column) appendTime(b []byte, t time.Time) ([]byte, bool) {
	t, zero, ok := c.round(t)
	if !ok {
		return b, false
	}
	if zero {
		b = append(b, "0000-00-00"...)
		if c.typ == typeDate {
			return b, true
		}
		b = append(b, " 00:00:00"...)
		if c.decimals > 0 {
			b = append(append(b, '.'), "000000"[:min(c.decimals, 6)]...)
		}
		return b, true
	}
	year, month, day := t.Date()
	b = append(b, byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-')
	b = append(append2(b, int(month)), '-')
	b = append2(b, day)
	if c.typ == typeDate {
		return b, true
	}
	hour, minute, second := t.Clock()
	b = append(append2(append(b, ' '), hour), ':')
	b = append(append2(b, minute), ':')
	b = append2(b, second)
	if c.decimals > 0 {
		b = append(b, '.')
		us := t.Nanosecond() / 1000
		for i, unit := 0, 100000; i < int(c.decimals) && unit > 0; i, unit = i+1, unit/10 {
			b = append(b, byte('0'+us/unit%10))
		}
	}
	return b, true
}

func append2(b []byte, v int) []byte { return append(b, byte('0'+v/10), byte('0'+v%10)) }

// round brings t to the column's precision and says whether it is MySQL's zero date.
// ok is false outside the years 0 to 9999.
func (c *column) round(t time.Time) (_ time.Time, zero, ok bool) {
	if t.Equal(types.ZeroTime) {
		return t, true, true
	}
	if c.typ != typeDate && t.Nanosecond() != 0 {
		unit := time.Second
		for range min(c.decimals, 6) {
			unit /= 10
		}
		t = t.Round(unit)
	}
	if y := t.Year(); y < 0 || y > 9999 {
		return t, false, false
	}
	return t, false, true
}
