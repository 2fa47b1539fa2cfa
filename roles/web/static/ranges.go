package static

import (
	"bytes"
	"strconv"
)

// MaxRanges bounds the parts of one answer. More, or ranges that overlap so that
// they would send more than the file, are answered with the whole file: that is
// allowed (RFC 9110 section 14.2) and cannot be used to multiply work.
const MaxRanges = 16

// Span is a part of a file: Length bytes from Start. Length > 0.
type Span struct{ Start, Length int64 }

// RangeResult tells what a Range field asks of a file.
type RangeResult uint8

const (
	Whole         RangeResult = iota // no valid byte range: the field is ignored
	Partial                          // 206
	Unsatisfiable                    // 416
)

// ParseRange reads a Range field for a file of size bytes and appends the spans to
// dst (RFC 9110 section 14.1.2 and 14.2).
func ParseRange(dst []Span, field []byte, size int64) ([]Span, RangeResult) {
	const unit = "bytes="
	if size == 0 {
		return dst, Whole // nothing can be left out, and nobody is helped by a 416
	}
	if len(field) < len(unit) || !bytes.EqualFold(field[:len(unit)], []byte(unit)) {
		return dst, Whole
	}
	rest := field[len(unit):]
	start, seen := len(dst), 0
	var total int64
	for more := true; more; {
		var spec []byte
		if comma := bytes.IndexByte(rest, ','); comma >= 0 {
			spec, rest = rest[:comma], rest[comma+1:]
		} else {
			spec, more = rest, false
		}
		if spec = bytes.Trim(spec, " \t"); len(spec) == 0 {
			continue
		}
		if seen++; seen > MaxRanges {
			return dst[:start], Whole
		}
		span, valid, satisfiable := parseSpec(spec, size)
		if !valid {
			return dst[:start], Whole
		}
		if satisfiable {
			dst = append(dst, span)
			total += span.Length
		}
	}
	switch {
	case seen == 0:
		return dst, Whole
	case len(dst) == start:
		return dst, Unsatisfiable
	case total > size:
		return dst[:start], Whole
	}
	return dst, Partial
}

func parseSpec(spec []byte, size int64) (span Span, valid, satisfiable bool) {
	dash := bytes.IndexByte(spec, '-')
	if dash < 0 {
		return span, false, false
	}
	first, firstOK := parsePosition(spec[:dash])
	last, lastOK := parsePosition(spec[dash+1:])
	switch {
	case dash == 0: // the last n bytes
		if !lastOK {
			return span, false, false
		}
		n := min(last, size)
		return Span{size - n, n}, true, n > 0
	case !firstOK, !lastOK && dash != len(spec)-1:
		return span, false, false
	case lastOK && last < first:
		return span, false, false
	case first >= size:
		return span, true, false
	case !lastOK || last >= size:
		last = size - 1
	}
	return Span{first, last - first + 1}, true, true
}

// parsePosition reads digits; beyond 18 of them a position is past every file.
func parsePosition(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n < 1e18 {
			n = n*10 + int64(c-'0')
		}
	}
	return n, true
}

// AppendContentRange appends the value of Content-Range for a span.
func AppendContentRange(dst []byte, s Span, size int64) []byte {
	dst = append(dst, "bytes "...)
	dst = strconv.AppendInt(dst, s.Start, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, s.Start+s.Length-1, 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, size, 10)
}
