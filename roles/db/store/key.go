package store

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"
)

// A key column is a marker byte and the value; the last byte of strings and blobs
// marks their end, so that no encoding is a prefix of another:
//
//	00                    NULL, before every value
//	01 fixed bytes        numbers and temporals (value.go)
//	01 weights 00         collated text: per rune the weight that the collation
//	                      compares with, + 1, as an order-preserving varint
//	01 escaped 00 01      bytes: 00 is written 00 FF
//
// A DESC column has all these bytes complemented.
const (
	keyNull  = 0x00
	keyValue = 0x01

	textEnd    = 0x00
	bytesEnd   = 0x01
	bytesZero  = 0xff
	maxKeySize = 16 << 10 // bytes of one entry's columns; MySQL's 3072 bytes a column always fit
)

// ErrKeyTooLong says that the columns of an index entry need more than 16 KiB as encoded.
var ErrKeyTooLong = fmt.Errorf("index entry is longer than %d bytes", maxKeySize)

// appendKey appends the key form of v. prefix cuts text to that many runes and
// bytes to that many bytes first; 0 keeps all.
func (c *codec) appendKey(dst []byte, v any, prefix uint32, desc bool) ([]byte, error) {
	start := len(dst)
	var err error
	if v == nil {
		dst = append(dst, keyNull)
	} else if dst, err = c.appendKeyValue(append(dst, keyValue), v, prefix); err != nil {
		return nil, err
	}
	if desc {
		complement(dst[start:])
	}
	return dst, nil
}

func (c *codec) appendKeyValue(dst []byte, v any, prefix uint32) ([]byte, error) {
	switch c.kind {
	case kindString:
		s, ok := v.(string)
		if !ok {
			return nil, c.mismatch(v)
		}
		return append(c.appendWeights(dst, s, prefix), textEnd), nil
	case kindBytes:
		b, ok := v.([]byte)
		if !ok {
			return nil, c.mismatch(v)
		}
		if prefix > 0 && len(b) > int(prefix) {
			b = b[:prefix]
		}
		for _, x := range b {
			if dst = append(dst, x); x == 0 {
				dst = append(dst, bytesZero)
			}
		}
		return append(dst, 0, bytesEnd), nil
	case kindFloat32:
		if f, ok := v.(float32); ok && f == 0 {
			v = float32(0) // -0 and 0 are equal
		}
	case kindFloat64:
		if f, ok := v.(float64); ok && f == 0 {
			v = float64(0)
		}
	case kindJSON, kindVector, kindGeometry:
		return nil, c.indexable()
	}
	return c.appendFixed(dst, v)
}

// appendWeights appends the weights of the first runes of s (all where runes is 0).
// A byte that is no UTF-8 counts as U+FFFD, as when go-mysql-server compares.
//
// Hot path: BenchmarkDirectRange of package sql.
func (c *codec) appendWeights(dst []byte, s string, runes uint32) []byte {
	dst = slices.Grow(dst, min(2*len(s), 4096)+1)
	for n := uint32(0); len(s) > 0 && (runes == 0 || n < runes); n++ {
		if c.ascii != nil && s[0] < 0x80 {
			w := &c.ascii[s[0]]
			switch w.size {
			case 1:
				dst = append(dst, w.bytes[0])
			case 2:
				dst = append(dst, w.bytes[0], w.bytes[1])
			default:
				dst = append(dst, w.bytes[:w.size]...)
			}
			s = s[1:]
			continue
		}
		r, size := c.nextRune(s)
		if size == 0 {
			r, size = utf8.RuneError, 1
		}
		dst = appendWeight(dst, c.weight(r))
		s = s[size:]
	}
	return dst
}

// appendWeight appends weight + 1 in 1 to 5 bytes whose first byte tells the length
// and is never 00:
//
//	0xxxxxxx   10xxxxxx +1   110xxxxx +2   1110xxxx +3   11110000 +4
func appendWeight(dst []byte, weight int32) []byte {
	w := uint64(int64(weight) + 1)
	switch {
	case weight < 0:
		return append(dst, 1) // no collation has one; below every other
	case w < 1<<7:
		return append(dst, byte(w))
	case w < 1<<14:
		return append(dst, 0x80|byte(w>>8), byte(w))
	case w < 1<<21:
		return append(dst, 0xc0|byte(w>>16), byte(w>>8), byte(w))
	case w < 1<<28:
		return append(dst, 0xe0|byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
	}
	return append(dst, 0xf0, byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
}

// weightSize is the length of the weight that begins with b; 0 if none does.
func weightSize(b byte) int {
	switch {
	case b == textEnd:
		return 0
	case b < 0x80:
		return 1
	case b < 0xc0:
		return 2
	case b < 0xe0:
		return 3
	case b < 0xf0:
		return 4
	case b == 0xf0:
		return 5
	}
	return 0
}

// keySize is the length of the key column that key begins with, marker and end
// included. It reads bytes from disk and so refuses what appendKey does not write.
func (c *codec) keySize(key []byte, desc bool) (int, error) {
	flip := byte(0)
	if desc {
		flip = 0xff
	}
	if len(key) == 0 {
		return 0, fmt.Errorf("key ends before a %s: %w", c.typ, ErrCorrupt)
	}
	switch key[0] ^ flip {
	case keyNull:
		return 1, nil
	case keyValue:
	default:
		return 0, fmt.Errorf("key column marker %02x: %w", key[0], ErrCorrupt)
	}
	switch c.kind {
	case kindString:
		for i := 1; i < len(key); {
			if key[i]^flip == textEnd {
				return i + 1, nil
			}
			size := weightSize(key[i] ^ flip)
			if size == 0 {
				return 0, fmt.Errorf("weight %02x in a key: %w", key[i], ErrCorrupt)
			}
			i += size
		}
	case kindBytes:
		for i := 1; i+1 < len(key); i++ {
			if key[i]^flip != 0 {
				continue
			}
			switch i++; key[i] ^ flip {
			case bytesEnd:
				return i + 1, nil
			case bytesZero:
			default:
				return 0, fmt.Errorf("escape 00 %02x in a key: %w", key[i], ErrCorrupt)
			}
		}
	case kindJSON, kindVector, kindGeometry:
		return 0, fmt.Errorf("%s in a key: %w", c.typ, ErrCorrupt)
	default:
		if len(key) >= 1+c.width {
			return 1 + c.width, nil
		}
	}
	return 0, fmt.Errorf("key ends within a %s: %w", c.typ, ErrCorrupt)
}

// recoverable says whether the value can be read back from its key column.
func (c *codec) recoverable() bool {
	return c.width > 0 && c.kind != kindFloat32 && c.kind != kindFloat64 || c.kind == kindBytes
}

// keyValueOf decodes a key column of a recoverable kind; key is exactly that column.
func (c *codec) keyValueOf(key []byte, desc bool) (any, error) {
	if desc {
		key = append([]byte(nil), key...)
		complement(key)
	}
	switch {
	case len(key) == 1 && key[0] == keyNull:
		return nil, nil
	case len(key) == 0 || key[0] != keyValue || !c.recoverable():
		return nil, fmt.Errorf("key column of %s: %w", c.typ, ErrCorrupt)
	case c.kind != kindBytes:
		return c.fixed(key[1:])
	case len(key) < 3:
		return nil, fmt.Errorf("key column of %s: %w", c.typ, ErrCorrupt)
	}
	body := key[1 : len(key)-2]
	return bytes.ReplaceAll(body, []byte{0, bytesZero}, []byte{0}), nil
}

func complement(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}
