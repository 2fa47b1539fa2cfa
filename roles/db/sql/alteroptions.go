package sql

import (
	"slices"
	"strings"
)

// alterOptions are the clauses ALGORITHM and LOCK of a statement, which the parser forgets;
// empty: DEFAULT.
type alterOptions struct{ algorithm, lock string }

// notOptions are the words behind which ALGORITHM is the name of a column or index, as
// which it needs no quotes.
var notOptions = []string{"ADD", "CHANGE", "MODIFY", "COLUMN", "DROP", "ALTER", "RENAME", "TO", "AFTER", "INDEX", "KEY", "(", "."}

// alterOptionsOf reads the clauses from a statement's text. Without an equal sign only the
// words of a clause count; the last of several holds.
func alterOptionsOf(text string) alterOptions {
	var o alterOptions
	sc := &scanner{text: text}
	before := ""
	for word := sc.next(); word != ""; word = sc.next() {
		name := strings.ToUpper(word)
		option, values := &o.algorithm, []string{"DEFAULT", "INSTANT", "INPLACE", "COPY"}
		if name == "LOCK" {
			option, values = &o.lock, []string{"DEFAULT", "NONE", "SHARED", "EXCLUSIVE"}
		}
		if (name == "ALGORITHM" || name == "LOCK") && !slices.Contains(notOptions, before) {
			at := sc.pos
			sc.accept("=")
			if value := strings.ToUpper(sc.next()); slices.Contains(values, value) {
				*option = strings.TrimPrefix(value, "DEFAULT")
			} else {
				sc.pos = at
			}
		}
		before = name
	}
	return o
}

// cutIndexOptions takes the clauses off the end of a CREATE or DROP INDEX, where the parser does
// not know them: cut is the statement without, text with them, rest what follows it.
func cutIndexOptions(query string) (cut, text, rest string, ok bool) {
	sc := &scanner{text: query}
	end := sc.statementEnd()
	text, rest = query[:end], strings.TrimLeft(query[end:], " \t\r\n;")
	sc = &scanner{text: text}
	first := sc.peek()
	if first != "CREATE" && first != "DROP" {
		return "", "", "", false
	}
	index := false
	for depth := 0; ; {
		sc.skip()
		at := sc.pos
		switch word := strings.ToUpper(sc.next()); word {
		case "":
			return "", "", "", false
		case "(":
			depth++
		case ")":
			depth--
		case "INDEX":
			index = true
		case "ALGORITHM", "LOCK":
			if index && depth == 0 && alterOptionsOf(text[at:]) != (alterOptions{}) {
				return text[:at], text, rest, true
			}
		}
	}
}

// copies says whether the table is to be written anew in any case.
func (o alterOptions) copies() bool { return o.algorithm == "COPY" }

// stopsWriters says whether nobody is to write meanwhile. Plain reads go on, whatever the
// lock: they read a view.
func (o alterOptions) stopsWriters() bool { return o.lock == "SHARED" || o.lock == "EXCLUSIVE" }

// allow refuses what is not so: INSTANT where rows must be read or written, LOCK=NONE where
// writers must wait for this reason; empty: they need not.
func (o alterOptions) allow(rows bool, waits string) error {
	switch {
	case o.algorithm == "INSTANT" && rows:
		return mysqlError(1845, "ALGORITHM=INSTANT is not supported for this operation. Try ALGORITHM=COPY/INPLACE.")
	case o.algorithm == "INSTANT" && o.lock != "":
		return mysqlError(1221, "Incorrect usage of ALGORITHM=INSTANT and LOCK=NONE/SHARED/EXCLUSIVE")
	case o.lock == "NONE" && waits != "":
		return mysqlError(1846, "LOCK=NONE is not supported. Reason: %s. Try LOCK=SHARED.", waits)
	}
	return nil
}
