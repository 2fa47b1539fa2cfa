package sql

import "strings"

// intervalFunction is the function INTERVAL(), quoted: the parser takes INTERVAL for the
// beginning of a span of time.
const intervalFunction = "interval"

// quotedIntervals quotes INTERVAL where it is the function: where a bracket with a comma
// follows. ok is false where it is not. It is asked about texts only that do not parse.
func quotedIntervals(text string) (quoted string, ok bool) {
	if !strings.Contains(strings.ToLower(text), intervalFunction) {
		return "", false
	}
	var b strings.Builder
	sc := scanner{text: text}
	from := 0
	for token := sc.next(); token != ""; token = sc.next() {
		if !strings.EqualFold(token, intervalFunction) || !sc.listInBrackets() {
			continue
		}
		b.WriteString(text[from : sc.pos-len(token)])
		b.WriteString("`" + intervalFunction + "`")
		from, ok = sc.pos, true
	}
	b.WriteString(text[from:])
	return b.String(), ok
}

// listInBrackets says whether brackets with a comma come next, and leaves them where they are.
func (s *scanner) listInBrackets() bool {
	at := s.pos
	defer func() { s.pos = at }()
	if s.next() != "(" {
		return false
	}
	for depth := 1; depth > 0; {
		switch s.next() {
		case "(":
			depth++
		case ")":
			depth--
		case ",":
			if depth == 1 {
				return true
			}
		case "":
			return false
		}
	}
	return false
}
