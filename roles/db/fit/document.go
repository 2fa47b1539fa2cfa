package fit

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// DocumentText is a document as MySQL prints a JSON column: a space behind each comma and colon,
// short keys before long ones (MySQL 8.4 manual, 13.5 "The JSON Data Type"). A document that has
// been read from a table is passed on as it was stored.
func DocumentText(ctx context.Context, j gms.JSONWrapper) ([]byte, error) {
	if stored, ok := j.(types.JSONBytes); ok {
		return stored.GetBytes(ctx)
	}
	v, err := j.ToInterface(ctx)
	if err != nil {
		return nil, err
	}
	return appendDocument(ctx, nil, v)
}

func appendDocument(ctx context.Context, dst []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return appendString(dst, v), nil
	case float64:
		return appendFloat(dst, v, 64)
	case float32:
		return appendFloat(dst, float64(v), 32)
	case *apd.Decimal: // as it is read again, and as the binary log has it
		n, ok := exactNumber(v.Text('f'))
		if !ok {
			return nil, fmt.Errorf("a JSON document cannot hold the number %s", v)
		}
		return appendDocument(ctx, dst, n)
	case time.Time:
		return appendString(dst, v.Format(gms.DatetimeLayoutNoTrim)), nil
	case []any:
		dst = append(dst, '[')
		for i, member := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			if dst, err = appendDocument(ctx, dst, member); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range documentKeys(v) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(appendString(dst, key), ": "...)
			if dst, err = appendDocument(ctx, dst, v[key]); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case gms.JSONWrapper:
		inner, err := v.ToInterface(ctx)
		if err != nil {
			return nil, err
		}
		return appendDocument(ctx, dst, inner)
	}
	if u, ok := v.(uint64); ok {
		return strconv.AppendUint(dst, u, 10), nil
	}
	if i, ok := Int64(v); ok {
		return strconv.AppendInt(dst, i, 10), nil
	}
	text, err := types.MarshallJsonValue(v)
	return append(dst, bytes.TrimSpace(text)...), err
}

// documentKeys are the keys of an object, in the order in which MySQL keeps them.
func documentKeys(object map[string]any) []string {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return keys
}

// appendFloat appends a number with as many digits as tell it from its neighbours.
func appendFloat(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, fmt.Errorf("a JSON document cannot hold the number %v", f)
	}
	size := math.Abs(f)
	switch {
	case size == 0:
		return append(dst, '0'), nil
	case size >= 1e-6 && size < bigInteger: // without an exponent JSON reads larger ones as integers
		return strconv.AppendFloat(dst, f, 'f', -1, bits), nil
	}
	text := strconv.FormatFloat(f, 'e', -1, bits)
	return append(dst, exponents.Replace(text)...), nil
}

// exponents makes MySQL's exponents of Go's.
var exponents = strings.NewReplacer("e+0", "e", "e+", "e", "e-0", "e-")

const hexDigits = "0123456789abcdef"

// appendString appends a text in quotes. Only what must be escaped is.
func appendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&0xf])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
