package direct

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/dolthub/vitess/go/sqltypes"
)

// maxText is the longest text, in bytes, that is taken apart. Larger statements spend
// their time elsewhere.
const maxText = 4 << 20

// Text is a statement taken apart: what stays the same when it is sent again with other
// values, and the values.
type Text struct {
	// Template is the statement with a ? in place of every literal. Of a list behind IN,
	// and of the rows behind VALUES, only the first member is in it.
	Template []byte
	// Values are the literals in order, those that Template leaves out too.
	Values []Value
	// Spans are, for each ? of Template, which of Values it stands for.
	Spans []Span
	// Rows is the number of rows behind VALUES, and Width the number of values in each;
	// FirstRow is where they begin in Values. 0 where there are none.
	Rows, Width, FirstRow int
	params                int // ? of the statement itself
}

// Params is the number of ? in the statement itself.
func (t *Text) Params() int { return t.params }

// Span is a run of values: one, or the members of a list.
type Span struct{ From, Len int }

// scanner is the state of one Scan.
type scanner struct {
	text   string
	at     int
	copied int // up to where text is in the template
	out    *Text
	last   byte   // last significant byte outside of literals; 'a' for a word, '?' for a literal
	word   string // the last word, if last is 'a'
	insert bool   // the statement is an INSERT whose VALUES are still to come
}

// Scan takes a statement apart into t, whose slices it uses again; values of strings
// point into the text where they have no escapes. It answers false for what it does
// not know: comments, introducers, hexadecimal and bit literals, variables, several
// statements. What it answers true for need not be valid SQL.
//
// Backslashes are taken for escapes and double quotes for strings: the caller does not
// ask in sessions with NO_BACKSLASH_ESCAPES or ANSI_QUOTES.
//
// Hot path: BenchmarkScan.
func (t *Text) Scan(text string) bool {
	t.Template, t.Values, t.Spans = t.Template[:0], t.Values[:0], t.Spans[:0]
	t.Rows, t.Width, t.FirstRow, t.params = 0, 0, 0, 0
	if len(text) > maxText {
		return false
	}
	s := scanner{text: text, out: t}
	if !s.run() {
		return false
	}
	t.Template = append(t.Template, text[s.copied:]...)
	return true
}

// Forget lets go of the text and its values, and of memory for more than n values or
// bytes of the template.
func (t *Text) Forget(n int) {
	if cap(t.Values) > n || cap(t.Spans) > n || cap(t.Template) > longestTemplate {
		*t = Text{}
		return
	}
	t.Values = t.Values[:cap(t.Values)] // lists that were none have left some behind
	clear(t.Values)
}

func (s *scanner) run() bool {
	first := true
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			s.at++
		case isLetter(c):
			start := s.at
			s.skipWord()
			s.last, s.word = 'a', s.text[start:s.at]
			if s.at < len(s.text) && (s.text[s.at] == '\'' || s.text[s.at] == '"') {
				return false // an introducer or a hexadecimal, bit or national literal
			}
			if first {
				s.insert = strings.EqualFold(s.word, "INSERT") || strings.EqualFold(s.word, "REPLACE")
			} else if s.insert && (strings.EqualFold(s.word, "VALUES") || strings.EqualFold(s.word, "VALUE")) {
				if s.insert = false; !s.rows() {
					return false
				}
			}
			first = false
		case c == '`':
			end := strings.IndexByte(s.text[s.at+1:], '`')
			if end < 0 {
				return false
			}
			s.at += end + 2
			s.last = '`'
		case isDigit(c) && s.constant():
		case isDigit(c), c == '\'', c == '"', c == '?':
			if !s.single() {
				return false
			}
		case c == '-' && s.signHere():
			if !s.single() {
				return false
			}
		case c == '(' && s.last == 'a' && strings.EqualFold(s.word, "IN"):
			if !s.list() {
				return false
			}
		case c == '-' && s.next() == '-', c == '/' && s.next() == '*', c == '#', c == '@' && !s.systemVariable(), c == ';', c == '.' && isDigit(s.next()), c == 0, c == ':':
			return false
		default:
			s.last = c
			s.at++
		}
	}
	return true
}

func (s *scanner) next() byte {
	if s.at+1 < len(s.text) {
		return s.text[s.at+1]
	}
	return 0
}

// signHere says whether a minus is the sign of the number that follows: there is nothing
// to subtract from.
func (s *scanner) signHere() bool {
	if !isDigit(s.next()) {
		return false
	}
	switch s.last {
	case '=', '<', '>', '(', ',':
		return true
	case 'a':
		return strings.EqualFold(s.word, "AND") || strings.EqualFold(s.word, "BETWEEN")
	}
	return false
}

// replace puts a ? into the template for the text from start to the current place.
func (s *scanner) replace(start int, span Span) {
	s.out.Template = append(append(s.out.Template, s.text[s.copied:start]...), '?')
	s.copied = s.at
	s.out.Spans = append(s.out.Spans, span)
	s.last = '?'
}

// single reads a literal that stands for itself.
func (s *scanner) single() bool {
	start, from := s.at, len(s.out.Values)
	if s.last == '?' || !s.literal() {
		return false // two literals side by side are one string
	}
	s.replace(start, Span{from, 1})
	return true
}

// list reads what is behind IN. A list of literals is one ? in the template.
func (s *scanner) list() bool {
	open := s.at
	s.at++
	s.skipBlank()
	start, from := s.at, len(s.out.Values)
	params := s.out.params
	for s.literal() {
		s.skipBlank()
		if s.at == len(s.text) {
			return false
		}
		switch s.text[s.at] {
		case ',':
			s.at++
			s.skipBlank()
			continue
		case ')':
			s.replace(start, Span{from, len(s.out.Values) - from})
			s.at++ // stays in the template: what was copied ends before it
			s.last = ')'
			return true
		}
		break
	}
	// Something else: it is read as any other text.
	s.out.Values, s.out.params = s.out.Values[:from], params
	s.at, s.last = open+1, '('
	return true
}

// rows reads the rows behind VALUES, of literals and NULL only.
func (s *scanner) rows() bool {
	t := s.out
	t.FirstRow = len(t.Values)
	for {
		s.skipBlank()
		if s.at == len(s.text) || s.text[s.at] != '(' {
			return false
		}
		s.at++
		width := 0
		for {
			s.skipBlank()
			start, from := s.at, len(t.Values)
			if !s.literalOrNull() {
				return false
			}
			if t.Rows == 0 {
				s.replace(start, Span{from, 1})
			}
			width++
			s.skipBlank()
			if s.at == len(s.text) {
				return false
			}
			if s.text[s.at] == ',' {
				s.at++
				continue
			}
			if s.text[s.at] != ')' {
				return false
			}
			s.at++
			break
		}
		if t.Rows == 0 {
			t.Width = width
			t.Template = append(t.Template, s.text[s.copied:s.at]...)
		} else if width != t.Width {
			return false
		}
		t.Rows++
		s.copied, s.last = s.at, ')'
		end := s.at
		s.skipBlank()
		if s.at == len(s.text) || s.text[s.at] != ',' {
			s.at = end
			return true
		}
		s.at++
	}
}

func (s *scanner) literalOrNull() bool {
	if c := s.text; s.at+4 <= len(c) && strings.EqualFold(c[s.at:s.at+4], "NULL") && (s.at+4 == len(c) || !isLetter(c[s.at+4]) && !isDigit(c[s.at+4])) {
		s.at += 4
		s.out.Values = append(s.out.Values, Value{Kind: Null})
		return true
	}
	return s.literal()
}

// literal reads a number, a string or a parameter into Values.
func (s *scanner) literal() bool {
	if s.at == len(s.text) {
		return false
	}
	switch c := s.text[s.at]; {
	case c == '\'' || c == '"':
		return s.str(c)
	case isDigit(c) || c == '-' && isDigit(s.next()):
		return s.number()
	case c == '?':
		s.at++
		s.out.Values = append(s.out.Values, Value{Kind: Param, Int: int64(s.out.params)})
		s.out.params++
		return true
	}
	return false
}

// number reads an integer of up to 64 bits, or a decimal number as it is.
func (s *scanner) number() bool {
	start := s.at
	negative := s.text[s.at] == '-'
	if negative {
		s.at++
	}
	var n uint64
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		d := uint64(s.text[s.at] - '0')
		if n > (math.MaxUint64-d)/10 {
			return false
		}
		n = n*10 + d
		s.at++
	}
	v := Value{Kind: Int, Int: int64(n)}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		fraction := s.at
		for s.at < len(s.text) && isDigit(s.text[s.at]) {
			s.at++
		}
		if s.at == fraction {
			return false
		}
		v = Value{Kind: Decimal, Text: s.text[start:s.at]}
	}
	if s.at < len(s.text) && (isLetter(s.text[s.at]) || s.text[s.at] == '.') {
		return false // 1e5, 0x1f, 12abc
	}
	if v.Kind == Int {
		switch {
		case n > 1<<63-1 && !negative:
			v.Kind = Uint
		case n > 1<<63-1:
			return false
		case negative:
			v.Int = -v.Int
		}
	}
	s.out.Values = append(s.out.Values, v)
	return true
}

// str reads a string in quotes.
func (s *scanner) str(quote byte) bool {
	s.at++
	start := s.at
	for s.at < len(s.text) && s.text[s.at] != quote && s.text[s.at] != '\\' {
		s.at++
	}
	if s.at == len(s.text) {
		return false
	}
	var text string
	if s.text[s.at] == quote && s.next() != quote {
		text = s.text[start:s.at]
		s.at++
	} else {
		var ok bool
		if text, ok = s.escaped(start, quote); !ok {
			return false
		}
	}
	if !utf8.ValidString(text) {
		return false
	}
	s.out.Values = append(s.out.Values, Value{Kind: String, Text: text})
	return true
}

// escaped reads the rest of a string that has escapes or doubled quotes.
func (s *scanner) escaped(start int, quote byte) (string, bool) {
	buf := append(make([]byte, 0, s.at-start+32), s.text[start:s.at]...)
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '\\':
			if s.at+1 == len(s.text) {
				return "", false
			}
			d := s.text[s.at+1]
			if d == '%' || d == '_' {
				buf = append(buf, c) // an escape of LIKE's
			}
			if to := sqltypes.SQLDecodeMap[d]; to != sqltypes.DontEscape {
				d = to
			}
			buf = append(buf, d)
			s.at += 2
		case c == quote && s.next() == quote:
			buf = append(buf, quote)
			s.at += 2
		case c == quote:
			s.at++
			return string(buf), true
		default:
			buf = append(buf, c)
			s.at++
		}
	}
	return "", false
}

func (s *scanner) skipBlank() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t' || s.text[s.at] == '\n' || s.text[s.at] == '\r') {
		s.at++
	}
}

func (s *scanner) skipWord() {
	for s.at < len(s.text) && (isLetter(s.text[s.at]) || isDigit(s.text[s.at])) {
		s.at++
	}
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
