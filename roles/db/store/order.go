package store

import (
	"bytes"
	"math"
	"unicode/utf8"
	"unsafe"
)

// OrderOf returns what orders a value of a column, in the form that rows have it, and v:
// an int64 or uint64 for a column of integers, which need not fit it, or text for one of
// text. ok is false for all else.
func (t *Table) OrderOf(at int, v any) (order func(value []byte) int, ok bool) {
	c := &t.codecs[at]
	switch v := v.(type) {
	case string:
		if c.kind != kindString || c.weight == nil {
			return nil, false
		}
		key := c.appendWeights(nil, v, 0)
		return func(value []byte) int { return c.orderText(value, key) }, true
	case int64:
		if c.kind == kindUint && v >= 0 {
			return c.orderFixed(uint64(v), 1), true
		}
		return c.orderFixed(v, sign(v)), c.kind == kindInt || c.kind == kindUint
	case uint64:
		if c.kind == kindInt && v <= math.MaxInt64 {
			return c.orderFixed(int64(v), 1), true
		}
		return c.orderFixed(v, 1), c.kind == kindInt || c.kind == kindUint
	}
	return nil, false
}

func sign(v int64) int {
	if v < 0 {
		return -1
	}
	return 1
}

// orderFixed orders values and v; where v does not fit it lies on that side of all values.
func (c *codec) orderFixed(v any, side int) func(value []byte) int {
	with, err := c.appendFixed(nil, v)
	if err != nil {
		return func([]byte) int { return -side }
	}
	return func(value []byte) int { return bytes.Compare(value, with) }
}

// orderText orders a text and one whose weights are given, as in keys but without an end.
func (c *codec) orderText(value []byte, with []byte) int {
	var buf [5]byte
	for len(value) > 0 {
		if len(with) == 0 {
			return 1
		}
		var weight []byte
		if c.ascii != nil && value[0] < utf8.RuneSelf {
			w := &c.ascii[value[0]]
			weight, value = w.bytes[:w.size], value[1:]
		} else {
			r, size := c.nextRune(unsafe.String(unsafe.SliceData(value), len(value)))
			if size == 0 {
				r, size = utf8.RuneError, 1
			}
			weight, value = appendWeight(buf[:0], c.weight(r)), value[size:]
		}
		// No weight is the beginning of another, so the first bytes that differ decide.
		if n := bytes.Compare(weight, with[:min(len(weight), len(with))]); n != 0 {
			return n
		}
		with = with[len(weight):]
	}
	if len(with) > 0 {
		return -1
	}
	return 0
}
