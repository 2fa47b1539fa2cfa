package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

type unit struct {
	name string
	size int64
}

// From large to small, as they are printed.
var (
	timeUnits = []unit{
		{"y", int64(365 * 24 * time.Hour)}, {"d", int64(24 * time.Hour)}, {"h", int64(time.Hour)},
		{"m", int64(time.Minute)}, {"s", int64(time.Second)}, {"ms", int64(time.Millisecond)},
	}
	sizeUnits = []unit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
)

// ParseDuration reads a duration as it stands in the file: numbers with a unit, one
// behind the other ("1h30m", "1.5s"); y is 365 days. 0 needs no unit.
func ParseDuration(s string) (time.Duration, error) {
	n, err := parseUnits(s, timeUnits, "ms, s, m, h, d or y", "s")
	return time.Duration(n), err
}

// ParseSize reads a number of bytes as it stands in the file ("64KiB", "1.5GiB").
// Units are powers of 1024. 0 needs no unit.
func ParseSize(s string) (int64, error) {
	return parseUnits(s, sizeUnits, "B, KiB, MiB, GiB or TiB", "B")
}

// parseUnits sums number-unit pairs. The error says what is allowed.
func parseUnits(s string, units []unit, allowed, common string) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	if n := strings.ReplaceAll(s, " ", ""); n != s {
		return 0, fmt.Errorf("holds a space; nearest is %s", quote(n))
	}
	total, rest := 0.0, s
	for first := true; first || rest != ""; first = false {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		num, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, fmt.Errorf("is not a number with a unit (%s)", allowed)
		}
		rest = rest[digits:]
		letters := len(rest) - len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		word := rest[:letters]
		rest = rest[letters:]
		if word == "" {
			near := s + common
			if n, err := strconv.ParseInt(s, 10, 64); err == nil && common == "B" {
				near = FormatSize(n)
			}
			return 0, fmt.Errorf("needs a unit (%s); nearest is %s", allowed, quote(near))
		}
		size := int64(0)
		var names []string
		for _, u := range units {
			names = append(names, u.name)
			if u.name == word {
				size = u.size
			}
		}
		if size == 0 {
			return 0, fmt.Errorf("has the unknown unit %s, allowed are %s%s", quote(word), allowed, unitHint(word, names))
		}
		total += num * float64(size)
	}
	if total >= math.MaxInt64/2 {
		return 0, fmt.Errorf("is too large")
	}
	return int64(math.Round(total)), nil
}

// otherUnits are the spellings of other programs.
var otherUnits = map[string]string{
	"k": "KiB", "kb": "KiB", "m": "MiB", "mb": "MiB", "g": "GiB", "gb": "GiB", "t": "TiB", "tb": "TiB",
	"sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
	"hour": "h", "hours": "h", "day": "d", "days": "d", "year": "y", "years": "y", "msec": "ms",
}

// unitHint names the unit that word stands for elsewhere, else the nearest one. A
// guess from one or two letters is worse than none, unless only their case differs.
func unitHint(word string, names []string) string {
	if other := otherUnits[strings.ToLower(word)]; slices.Contains(names, other) {
		return "; nearest is " + quote(other)
	}
	if len(word) < 3 {
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.EqualFold(n, word) })
	}
	return hint(word, names)
}

// FormatDuration is the shortest way to write d that ParseDuration reads back.
func FormatDuration(d time.Duration) string { return formatUnits(int64(d), timeUnits) }

// FormatSize is the shortest way to write n bytes that ParseSize reads back.
func FormatSize(n int64) string { return formatUnits(n, sizeUnits) }

// formatUnits takes the largest unit that divides n, so 90 s stays 90s.
func formatUnits(n int64, units []unit) string {
	if n == 0 {
		return "0"
	}
	for _, u := range units {
		if n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	last := units[len(units)-1]
	return strconv.FormatFloat(float64(n)/float64(last.size), 'f', -1, 64) + last.name
}
