package fit

import (
	"fmt"
	"strings"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// text cuts what is too long. What is lost of spaces at the end is no loss to CHAR.
func (c *converter) text(t gms.StringType, v any) (any, *Problem, error) {
	v, err := c.printed(v)
	if err != nil {
		return nil, nil, err
	}
	var problem *Problem
	binary := types.IsBinaryType(t)
	if s, ok := asText(v); ok {
		given, cs := s, t.CharacterSet()
		// Convert would count bytes of UTF-8 where a character set has one for each character.
		known := !binary
		if !binary {
			n := validPrefix(s)
			switch {
			case n < len(s) && cs == gms.CharacterSet_utf8mb4:
				problem = WrongText(invalidBytes(s[n:]))
				s = s[:n]
			case n < len(s):
				known = false // bytes of the column's character set, which Convert reads
			default:
				text, at := InCharset(cs, s)
				if at >= 0 {
					problem = WrongText(invalidBytes(s[at:]))
				}
				s = text
			}
		}
		kept := keep(t, s, binary)
		if lost := s[len(kept):]; lost != "" {
			spaces := !binary && strings.Trim(lost, " ") == ""
			switch {
			case spaces && t.Type() == sqltypes.Char:
			case spaces:
				problem = first(problem, noteOfCut())
			default:
				problem = first(problem, cutText())
			}
		}
		if t.Type() == sqltypes.Char && !binary {
			kept = strings.TrimRight(kept, " ")
		}
		switch _, isString := v.(string); {
		case isString && kept == given: // already in an interface
		case isString || known:
			v = kept
		default:
			v = []byte(kept)
		}
		if known {
			return v, problem, nil
		}
	}
	out, _, err := t.Convert(c.ctx, v)
	if types.ErrLengthBeyondLimit.Is(err) {
		// A number whose digits are too many.
		full, _, err := types.LongText.Convert(c.ctx, v)
		if s, ok := full.(string); ok && err == nil {
			out, _, err := t.Convert(c.ctx, keep(t, s, binary))
			return out, cutText(), err
		}
	}
	return out, problem, err
}

func asText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

// keep is as much of s as a column holds: bytes of BLOB and TEXT, those of its character set, else characters.
func keep(t gms.StringType, s string, binary bool) string {
	switch {
	case binary:
		return s[:min(int64(len(s)), t.MaxByteLength())]
	case types.IsTextBlob(t):
		return prefixOf(t.CharacterSet(), s, t.MaxByteLength())
	}
	limit := t.MaxCharacterLength()
	if int64(len(s)) <= limit {
		return s
	}
	n := int64(0)
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}

// validPrefix is the length of the UTF-8 that s begins with.
func validPrefix(s string) int {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(s)
}

// invalidBytes shows bytes as MySQL's message does, the first six.
func invalidBytes(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i == 6 {
			b.WriteString("...")
			break
		}
		if s[i] >= ' ' && s[i] <= '~' {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "\\x%02X", s[i])
		}
	}
	return b.String()
}

// printed is a value as the text that a client would see of it, where the Go value alone
// does not tell: a DATE, a member of an ENUM, digits of a fraction.
func (c *converter) printed(v any) (any, error) {
	if c.from == nil {
		return v, nil
	}
	if _, isText := asText(v); isText {
		return v, nil
	}
	switch {
	case types.IsEnum(c.from), types.IsSet(c.from):
		return c.memberText(v)
	case types.IsBit(c.from), isTemporal(c.from):
		text, err := c.from.SQL(c.ctx, nil, v)
		if err != nil {
			return nil, err
		}
		return text.ToString(), nil
	}
	return v, nil
}
