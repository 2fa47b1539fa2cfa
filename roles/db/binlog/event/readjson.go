package event

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/dolthub/go-mysql-server/sql/types"
)

// readJSON reads a document in the binary form that appendJSON writes, and what only MySQL writes.
func readJSON(b []byte) (any, error) {
	if len(b) == 0 {
		// MySQL logs a document that an error has left empty so; it stands for null.
		return types.JSONDocument{}, nil
	}
	r := jsonReader{left: 2 * len(b)}
	v, err := r.value(b[0], b[1:], 0)
	if err != nil {
		return nil, err
	}
	return types.JSONDocument{Val: v}, nil
}

// jsonReader bounds the work: offsets may overlap, so that a short document could name
// one value a million times.
type jsonReader struct {
	left int // values and bytes of texts that a document of this length can still have
}

// pay takes from what is left.
func (r *jsonReader) pay(n int) error {
	if r.left -= n; r.left < 0 {
		return badJSON("more values than bytes")
	}
	return nil
}

func badJSON(what string) error { return fmt.Errorf("JSON: %s: %w", what, ErrCorrupt) }

// value reads a value of a type whose bytes b begins with; b ends with the container.
func (r *jsonReader) value(kind byte, b []byte, depth int) (any, error) {
	if err := r.pay(1); err != nil {
		return nil, err
	}
	if depth > jsonDepth {
		return nil, badJSON("nested too deep")
	}
	width := 2
	switch kind {
	case jsonLargeObject, jsonLargeArray:
		width = 4
		fallthrough
	case jsonSmallObject, jsonSmallArray:
		return r.container(kind == jsonSmallObject || kind == jsonLargeObject, b, width, depth)
	case jsonString:
		s, err := jsonText(b)
		if err == nil {
			err = r.pay(len(s))
		}
		return s, err
	case jsonOpaque:
		return readOpaque(b)
	}
	n := map[byte]int{jsonLiteral: 1, jsonInt16: 2, jsonUint16: 2, jsonInt32: 4, jsonUint32: 4, jsonInt64: 8, jsonUint64: 8, jsonDouble: 8}[kind]
	if n == 0 {
		return nil, fmt.Errorf("JSON: a value of type %#x is not read", kind)
	}
	if len(b) < n {
		return nil, badJSON("a value is cut")
	}
	u := little(b[:n])
	switch kind {
	case jsonLiteral:
		if u > 2 {
			return nil, badJSON("a literal")
		}
		return []any{nil, true, false}[u], nil
	case jsonInt16:
		return int64(int16(u)), nil
	case jsonInt32:
		return int64(int32(u)), nil
	case jsonUint16, jsonUint32, jsonInt64:
		return int64(u), nil
	case jsonUint64:
		return u, nil
	}
	f := math.Float64frombits(u)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, badJSON("a number")
	}
	return f, nil
}

func jsonText(b []byte) (string, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || used > 5 || n > uint64(len(b)-used) {
		return "", badJSON("a text")
	}
	s := string(b[used:][:n])
	if !utf8.ValidString(s) {
		return "", badJSON("a text that is not UTF-8")
	}
	return s, nil
}

// container reads an object or array. Offsets count from its first byte.
func (r *jsonReader) container(object bool, b []byte, width, depth int) (any, error) {
	if len(b) < 2*width {
		return nil, badJSON("a container is cut")
	}
	count, size := little(b[:width]), little(b[width:2*width])
	if size > uint64(len(b)) {
		return nil, badJSON("a container is cut")
	}
	b = b[:size]
	entry, keys := uint64(width+1), uint64(0)
	if object {
		keys = count * uint64(width+2)
	}
	if count > size || uint64(2*width)+keys+count*entry > size {
		return nil, badJSON("a container names more members than it has bytes for")
	}
	values := b[uint64(2*width)+keys:]
	var list []any
	var members map[string]any
	if object {
		members = make(map[string]any, min(count, 1024))
	} else {
		list = make([]any, 0, min(count, 1024))
	}
	for i := range int(count) {
		v, err := r.member(b, values[i*int(entry):], width, depth)
		if err != nil {
			return nil, err
		}
		if !object {
			list = append(list, v)
			continue
		}
		k := b[2*width+i*(width+2):]
		at, n := little(k[:width]), little(k[width:width+2])
		if at+n > size || !utf8.Valid(b[at:at+n]) {
			return nil, badJSON("a key")
		}
		if err := r.pay(int(n)); err != nil {
			return nil, err
		}
		members[string(b[at:at+n])] = v
	}
	if object {
		return members, nil
	}
	return list, nil
}

// member reads the value of an entry: in it, or where it says.
func (r *jsonReader) member(b, entry []byte, width, depth int) (any, error) {
	kind := entry[0]
	if inlined(kind, width) {
		return r.value(kind, entry[1:1+width], depth+1)
	}
	at := little(entry[1 : 1+width])
	if at >= uint64(len(b)) {
		return nil, badJSON("an offset")
	}
	return r.value(kind, b[at:], depth+1)
}
