package event

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/fit"
)

// MySQL's binary form of JSON (sql-common/json_binary.h):
//
//	document  type, value
//	object    count, size, a key entry each: offset, length u16; a value entry each;
//	          keys, sorted by length and bytes; values
//	array     count, size, a value entry each; values
//	entry     type, offset of the value or, where it fits, the value itself
//
// Counts, sizes and offsets have 2 bytes in a small object or array, 4 in a large one;
// offsets count from the count. All numbers are little endian.
const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonUint16      = 0x06
	jsonInt32       = 0x07
	jsonUint32      = 0x08
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
	jsonOpaque      = 0x0f // only in documents of MySQL: see readOpaque
)

// jsonDepth is how deep MySQL lets documents be nested.
const jsonDepth = 100

// appendJSON appends a document with its length.
func (c *column) appendJSON(ctx context.Context, dst []byte, j sql.JSONWrapper) ([]byte, error) {
	text, err := fit.DocumentText(ctx, j)
	if err != nil {
		return dst, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // integers beyond 2^53 stay what they are
	var v any
	if err := d.Decode(&v); err != nil {
		return dst, fmt.Errorf("JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return dst, errors.New("JSON: text behind the document")
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	kind, dst, err := appendDocument(dst, v, 0)
	if err != nil {
		return dst, err
	}
	dst[start+4] = kind
	n := len(dst) - start - 4
	if err := c.fits(n); err != nil {
		return dst, err
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(n))
	return dst, nil
}

// appendDocument appends a value without its type, which it returns.
func appendDocument(dst []byte, v any, depth int) (byte, []byte, error) {
	if depth > jsonDepth {
		return 0, dst, fmt.Errorf("JSON: nested more than %d deep", jsonDepth)
	}
	switch v := v.(type) {
	case nil:
		return jsonLiteral, append(dst, 0), nil
	case bool:
		if v {
			return jsonLiteral, append(dst, 1), nil
		}
		return jsonLiteral, append(dst, 2), nil
	case json.Number:
		return appendNumber(dst, v.String())
	case string:
		return jsonString, append(appendVarLength(dst, len(v)), v...), nil
	case []any:
		return appendContainer(dst, nil, v, depth)
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool {
			if len(keys[i]) != len(keys[j]) {
				return len(keys[i]) < len(keys[j])
			}
			return keys[i] < keys[j]
		})
		values := make([]any, len(keys))
		for i, k := range keys {
			if len(k) > math.MaxUint16 {
				return 0, dst, fmt.Errorf("JSON: a key of %d bytes", len(k))
			}
			values[i] = v[k]
		}
		return appendContainer(dst, keys, values, depth)
	}
	return 0, dst, fmt.Errorf("JSON: a %T", v)
}

func appendNumber(dst []byte, text string) (byte, []byte, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && text != "-0" {
		switch {
		case i >= math.MinInt16 && i <= math.MaxInt16:
			return jsonInt16, appendLittle(dst, uint64(i), 2), nil
		case i > 0 && i <= math.MaxUint16:
			return jsonUint16, appendLittle(dst, uint64(i), 2), nil
		case i >= math.MinInt32 && i <= math.MaxInt32:
			return jsonInt32, appendLittle(dst, uint64(i), 4), nil
		case i > 0 && i <= math.MaxUint32:
			return jsonUint32, appendLittle(dst, uint64(i), 4), nil
		}
		return jsonInt64, appendLittle(dst, uint64(i), 8), nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return jsonUint64, appendLittle(dst, u, 8), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, dst, fmt.Errorf("JSON: number %s: %w", text, err)
	}
	return jsonDouble, appendLittle(dst, math.Float64bits(f), 8), nil
}

// appendVarLength appends a length in groups of 7 bits, the lowest first; bit 7 says
// that another follows.
func appendVarLength(dst []byte, n int) []byte {
	for ; n > 127; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// jsonValue is an encoded member of a container.
type jsonValue struct {
	kind     byte
	from, to int // in the bytes of all members
}

// appendContainer appends an object, or an array where keys is nil: small, or large
// where it does not fit. Offsets inside a member count from the member, so each is
// encoded once.
func appendContainer(dst []byte, keys []string, values []any, depth int) (byte, []byte, error) {
	members := make([]jsonValue, len(values))
	var encoded []byte
	for i, v := range values {
		from := len(encoded)
		kind, out, err := appendDocument(encoded, v, depth+1)
		if err != nil {
			return 0, dst, err
		}
		encoded = out
		members[i] = jsonValue{kind, from, len(out)}
	}
	small, large := byte(jsonSmallArray), byte(jsonLargeArray)
	if keys != nil {
		small, large = jsonSmallObject, jsonLargeObject
	}
	if containerSize(keys, members, 2) <= math.MaxUint16 {
		return small, appendEntries(dst, keys, members, encoded, 2), nil
	}
	if containerSize(keys, members, 4) > MaxSize {
		return 0, dst, errors.New("JSON: the document is too large")
	}
	return large, appendEntries(dst, keys, members, encoded, 4), nil
}

// containerSize is the length of a container with offsets of width bytes.
func containerSize(keys []string, members []jsonValue, width int) int {
	n := 2*width + len(keys)*(width+2) + len(members)*(1+width)
	for _, k := range keys {
		n += len(k)
	}
	for _, m := range members {
		if !inlined(m.kind, width) {
			n += m.to - m.from
		}
	}
	return n
}

// appendEntries appends a container with offsets of width bytes.
func appendEntries(dst []byte, keys []string, members []jsonValue, encoded []byte, width int) []byte {
	dst = appendLittle(dst, uint64(len(members)), width)
	dst = appendLittle(dst, uint64(containerSize(keys, members, width)), width)
	at := 2*width + len(keys)*(width+2) + len(members)*(1+width) // of the next key or value
	for _, k := range keys {
		dst = appendLittle(appendLittle(dst, uint64(at), width), uint64(len(k)), 2)
		at += len(k)
	}
	for _, m := range members {
		dst = append(dst, m.kind)
		if inlined(m.kind, width) {
			var slot [4]byte
			copy(slot[:], encoded[m.from:m.to])
			dst = append(dst, slot[:width]...)
			continue
		}
		dst = appendLittle(dst, uint64(at), width)
		at += m.to - m.from
	}
	for _, k := range keys {
		dst = append(dst, k...)
	}
	for _, m := range members {
		if !inlined(m.kind, width) {
			dst = append(dst, encoded[m.from:m.to]...)
		}
	}
	return dst
}

func inlined(kind byte, width int) bool {
	switch kind {
	case jsonLiteral, jsonInt16, jsonUint16:
		return true
	case jsonInt32, jsonUint32:
		return width == 4
	}
	return false
}
