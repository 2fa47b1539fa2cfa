package fit

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"

	"github.com/dolthub/go-mysql-server/sql/types"
)

// JSON reads a document. Integers keep all their digits as int64 or uint64, where the
// planner's type makes every number a float64. False: the text is no document.
func JSON(text []byte) (types.JSONDocument, bool) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return types.JSONDocument{}, false
	}
	if _, err := dec.Token(); err != io.EOF {
		return types.JSONDocument{}, false
	}
	v, ok := exactNumbers(v)
	return types.JSONDocument{Val: v}, ok
}

// exactNumbers makes Go's numbers of those in a document.
func exactNumbers(v any) (_ any, ok bool) {
	switch v := v.(type) {
	case json.Number:
		return exactNumber(v.String())
	case []any:
		for i := range v {
			if v[i], ok = exactNumbers(v[i]); !ok {
				return nil, false
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], ok = exactNumbers(v[k]); !ok {
				return nil, false
			}
		}
	}
	return v, true
}

// bigInteger is the first integer that a float64 may not hold: smaller ones are what the
// planner makes of them.
const bigInteger = 1 << 53

func exactNumber(text string) (any, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && (n >= bigInteger || n <= -bigInteger) {
		return n, true
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n >= bigInteger {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}
