package fulltext

import (
	"unicode"
	"unicode/utf8"
)

// Words of fewer or more characters are not indexed; as innodb_ft_min_token_size and
// innodb_ft_max_token_size are by default.
const (
	MinWord = 3
	MaxWord = 84
)

// Stopwords are not indexed either; those of InnoDB.
var Stopwords = []string{
	"a", "about", "an", "are", "as", "at", "be", "by", "com", "de", "en", "for", "from",
	"how", "i", "in", "is", "it", "la", "of", "on", "or", "that", "the", "this", "to",
	"was", "what", "when", "where", "who", "will", "with", "und", "www",
}

// Weigh appends the bytes that stand for a word in a collation: words that are equal by
// it have the same, and a word that begins with another has bytes that begin with its.
type Weigh func(dst []byte, word string) []byte

// Lexicon is the words of one collation. It is safe for concurrent use.
type Lexicon struct {
	weigh Weigh
	stop  map[string]bool
}

// NewLexicon makes the lexicon of a collation.
func NewLexicon(weigh Weigh) *Lexicon {
	l := &Lexicon{weigh: weigh, stop: make(map[string]bool, len(Stopwords))}
	for _, word := range Stopwords {
		l.stop[string(weigh(nil, word))] = true
	}
	return l
}

// indexed says whether a word of so many characters and these bytes is in an index.
func (l *Lexicon) indexed(runes int, key []byte) bool {
	return runes >= MinWord && runes <= MaxWord && !l.stop[string(key)]
}

// Each calls do with the bytes of every indexed word of text, in order; they are valid
// until it returns.
func (l *Lexicon) Each(text string, do func(key []byte)) {
	var key []byte
	split(text, func(word string, runes int) {
		if runes < MinWord || runes > MaxWord {
			return
		}
		if key = l.weigh(key[:0], word); !l.stop[string(key)] {
			do(key)
		}
	})
}

// split calls do for every word of text with its number of characters. A word is letters,
// digits and _; an apostrophe ends it.
func split(text string, do func(word string, runes int)) {
	start, runes := -1, 0
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		if wordRune(r) {
			if start < 0 {
				start, runes = i, 0
			}
			runes++
		} else if start >= 0 {
			do(text[start:i], runes)
			start = -1
		}
		i += size
	}
	if start >= 0 {
		do(text[start:], runes)
	}
}

func wordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r))
}
