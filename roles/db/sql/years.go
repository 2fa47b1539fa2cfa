package sql

import "strings"

// plainYears writes YEAR for YEAR(4), as MariaDB shows and dumps the type; ok is false where
// the text has none. It is asked about texts only that do not parse: the function YEAR(4) does.
func plainYears(text string) (plain string, ok bool) {
	if !strings.Contains(strings.ToLower(text), "year") {
		return "", false
	}
	var b strings.Builder
	sc := scanner{text: text}
	from := 0
	for token := sc.next(); token != ""; token = sc.next() {
		if !strings.EqualFold(token, "year") {
			continue
		}
		end := sc.pos
		if !sc.accept("(", "4", ")") {
			continue
		}
		b.WriteString(text[from:end])
		from, ok = sc.pos, true
	}
	b.WriteString(text[from:])
	return b.String(), ok
}
