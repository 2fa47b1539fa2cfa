package sql

import (
	"fmt"
	"strings"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// fieldValue makes a column's value of a field of the file, as an INSERT of its text would.
// from is the character set of the file, nil for UTF-8.
//
// Hot path: BenchmarkLoadData.
func fieldValue(ctx *gms.Context, t gms.Type, from *gms.CharacterSetID, field []byte, mode fit.Mode) (any, *fit.Problem, error) {
	of := t
	if n, ok := t.(fit.Narrow); ok {
		of = n.Unwrap()
	}
	switch {
	case types.IsInteger(t):
		if n, ok := plainInteger(field); ok {
			return fit.Value(ctx, t, n, nil, mode)
		}
	case types.IsBinaryType(t), types.IsBit(t):
		if !types.IsJSON(t) && !types.IsGeometry(t) {
			return fit.Value(ctx, t, append(make([]byte, 0, len(field)), field...), nil, mode)
		}
	case types.IsFloat(of), types.IsDecimal(of), isDate(t), types.IsTimespan(of), types.IsYear(t):
		return fit.Value(ctx, t, string(field), nil, mode)
	}
	text, broken := decoded(from, field)
	if s, ok := t.(gms.StringType); ok {
		var at int
		text, at = fit.InCharset(s.CharacterSet(), text)
		broken = broken || at >= 0
	}
	v, problem, err := fit.Value(ctx, t, text, nil, mode)
	if broken && problem == nil && types.IsText(t) {
		problem = fit.WrongText(shown(string(field)))
	}
	return v, problem, err
}

// plainInteger reads a field that is an integer and nothing else, which most are.
func plainInteger(field []byte) (int64, bool) {
	digits := field
	if len(field) > 0 && field[0] == '-' {
		digits = field[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(field) {
		n = -n
	}
	return n, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// shown is a value as a message has it: not longer than 64 characters, and no broken ones.
func shown(value string) string {
	var b strings.Builder
	for i, r := range value {
		if b.Len() >= 64 {
			break
		}
		if r == utf8.RuneError && !strings.HasPrefix(value[i:], "\uFFFD") {
			fmt.Fprintf(&b, "\\x%02X", value[i])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// decoded is a field in UTF-8; what is no text of the file's character set becomes question
// marks.
func decoded(from *gms.CharacterSetID, field []byte) (text string, broken bool) {
	if from != nil {
		if b, ok := from.Encoder().Decode(field); ok {
			return string(b), false
		}
		return strings.Repeat("?", len(field)), true
	}
	if utf8.Valid(field) {
		return string(field), false
	}
	var b strings.Builder
	for len(field) > 0 {
		r, n := utf8.DecodeRune(field)
		if r == utf8.RuneError && n == 1 {
			b.WriteByte('?')
		} else {
			b.Write(field[:n])
		}
		field = field[n:]
	}
	return b.String(), true
}
