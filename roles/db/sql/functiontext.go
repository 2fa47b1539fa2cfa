package sql

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// functionText is CREATE FUNCTION, which the parser does not know, in its parts.
type functionText struct {
	definer string // with DEFINER =, as written
	name    string // as written, perhaps quoted and with a database
	params  string // between the brackets
	returns string // the type
	rest    string // characteristics and body
	exists  bool   // IF NOT EXISTS
}

// asProcedure is the same body as a procedure, with the type of the result as one more
// parameter.
func (f functionText) asProcedure() string {
	params := f.params
	if strings.TrimSpace(params) != "" {
		params += ", "
	}
	return "CREATE " + f.definer + " PROCEDURE " + f.name + "(" + params + "`" + returnParam + "` " + f.returns + ") " + f.rest
}

// scanner walks over SQL text by words, quoted names and strings.
type scanner struct {
	text string
	pos  int
}

// skip moves over white space and comments; what stands in /*! … */ counts.
func (s *scanner) skip() {
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		switch {
		case strings.HasPrefix(rest, "/*!"):
			for s.pos += 3; s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9'; s.pos++ {
			}
		case strings.HasPrefix(rest, "*/"):
			s.pos += 2
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				s.pos = len(s.text)
				return
			}
			s.pos += end + 4
		case strings.HasPrefix(rest, "-- ") || strings.HasPrefix(rest, "#"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				s.pos = len(s.text)
				return
			}
			s.pos += end + 1
		default:
			r, n := utf8.DecodeRuneInString(rest)
			if !unicode.IsSpace(r) {
				return
			}
			s.pos += n
		}
	}
}

// next returns the next token: a word, a quoted text with its quotes, or one character.
// Empty at the end.
func (s *scanner) next() string {
	s.skip()
	start := s.pos
	if s.pos >= len(s.text) {
		return ""
	}
	r, n := utf8.DecodeRuneInString(s.text[s.pos:])
	if r == '`' || r == '\'' || r == '"' {
		s.quoted(byte(r))
		return s.text[start:s.pos]
	}
	s.pos += n
	if !wordRune(r) {
		return s.text[start:s.pos]
	}
	for s.pos < len(s.text) {
		r, n := utf8.DecodeRuneInString(s.text[s.pos:])
		if !wordRune(r) {
			break
		}
		s.pos += n
	}
	return s.text[start:s.pos]
}

func wordRune(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// quoted moves behind the closing quote: doubled quotes and, but for names, backslashes
// do not close.
func (s *scanner) quoted(quote byte) {
	s.pos++
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == '\\' && quote != '`' && s.pos < len(s.text):
			s.pos++
		case c == quote:
			if s.pos >= len(s.text) || s.text[s.pos] != quote {
				return
			}
			s.pos++
		}
	}
}

// peek is the next token in upper case, left where it is.
func (s *scanner) peek() string {
	at := s.pos
	t := s.next()
	s.pos = at
	return strings.ToUpper(t)
}

// accept moves over the words if they come next.
func (s *scanner) accept(words ...string) bool {
	at := s.pos
	for _, w := range words {
		if !strings.EqualFold(s.next(), w) {
			s.pos = at
			return false
		}
	}
	return true
}

// brackets returns what stands between the bracket that comes next and the one that
// closes it.
func (s *scanner) brackets() (string, bool) {
	if s.next() != "(" {
		return "", false
	}
	start, depth := s.pos, 1
	for depth > 0 {
		switch s.next() {
		case "":
			return "", false
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	return s.text[start : s.pos-1], true
}

// name returns a name, perhaps with the name of a database in front.
func (s *scanner) name() string {
	name := s.next()
	at := s.pos
	if s.next() == "." {
		return name + "." + s.next()
	}
	s.pos = at
	return name
}

// account returns user, user@host or CURRENT_USER().
func (s *scanner) account() string {
	account := s.next()
	at := s.pos
	switch s.next() {
	case "@":
		account += "@" + s.next()
	case "(":
		account += "(" + s.next()
	default:
		s.pos = at
	}
	return account
}

// cutFunction takes CREATE FUNCTION apart; false if the text is none.
func cutFunction(text string) (functionText, bool) {
	var f functionText
	s := &scanner{text: text}
	if !s.accept("CREATE") {
		return f, false
	}
	if s.accept("DEFINER", "=") {
		f.definer = "DEFINER = " + s.account()
	}
	if !s.accept("FUNCTION") {
		return f, false
	}
	f.exists = s.accept("IF", "NOT", "EXISTS")
	f.name = s.name()
	var ok bool
	if f.params, ok = s.brackets(); !ok || f.name == "" || !s.accept("RETURNS") {
		return f, false
	}
	s.skip()
	start := s.pos
	if !s.columnType() {
		return f, false
	}
	f.returns, f.rest = text[start:s.pos], text[s.pos:]
	return f, strings.TrimSpace(f.rest) != ""
}

// columnType moves over a column type with its attributes.
func (s *scanner) columnType() bool {
	word := strings.ToUpper(s.next())
	if word == "" || !wordRune([]rune(word)[0]) {
		return false
	}
	if word == "DOUBLE" {
		s.accept("PRECISION")
	}
	if s.peek() == "(" {
		if _, ok := s.brackets(); !ok {
			return false
		}
	}
	for {
		switch {
		case s.accept("UNSIGNED"), s.accept("SIGNED"), s.accept("ZEROFILL"), s.accept("BINARY"):
		case s.accept("CHARSET"), s.accept("CHARACTER", "SET"), s.accept("COLLATE"):
			if s.next() == "" {
				return false
			}
		default:
			return true
		}
	}
}
