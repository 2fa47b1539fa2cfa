package fit

import (
	"strings"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// InCharset is text with question marks for what a character set lacks. at is where the first of that stands, -1: it has all.
func InCharset(cs gms.CharacterSetID, text string) (out string, at int) {
	if cs == gms.CharacterSet_utf8mb4 || charsetHas(cs, text) {
		return text, -1
	}
	at = -1
	var b strings.Builder
	for i, r := range text {
		if !charsetHas(cs, string(r)) {
			if at < 0 {
				at = i
			}
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String(), at
}

// Lacking is the problem of a text that a character set does not have all of; nil: it has.
func Lacking(cs gms.CharacterSetID, text string) *Problem {
	if _, at := InCharset(cs, text); at >= 0 {
		return WrongText(invalidBytes(text[at:]))
	}
	return nil
}

func charsetHas(cs gms.CharacterSetID, text string) bool {
	if cs == gms.CharacterSet_utf8mb3 {
		for i := range len(text) {
			if text[i] >= 0xf0 {
				return false
			}
		}
		return true
	}
	encoder := cs.Encoder()
	if encoder == nil {
		return true
	}
	// The encoder looks at as many bytes as a character may have, also at the end.
	_, ok := encoder.Encode(append(make([]byte, 0, len(text)+utf8.UTFMax), text...))
	return ok
}

// prefixOf is the longest beginning of a text that takes at most limit bytes in a character set.
func prefixOf(cs gms.CharacterSetID, text string, limit int64) string {
	size := func(rune) int64 { return 1 }
	switch cs {
	case gms.CharacterSet_utf8mb4, gms.CharacterSet_utf8mb3, gms.CharacterSet_Unspecified:
		if int64(len(text)) <= limit {
			return text
		}
		text = text[:limit]
		return text[:validPrefix(text)]
	case gms.CharacterSet_utf16:
		size = func(r rune) int64 {
			if r > 0xffff {
				return 4
			}
			return 2
		}
	case gms.CharacterSet_utf32:
		size = func(rune) int64 { return 4 }
	}
	for i, r := range text {
		if limit -= size(r); limit < 0 {
			return text[:i]
		}
	}
	return text
}
