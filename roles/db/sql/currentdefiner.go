package sql

import "strings"

// withoutCurrentDefiner leaves DEFINER=CURRENT_USER out of a CREATE or ALTER: the parser knows names only, and the
// account that runs the statement is the definer without it.
func withoutCurrentDefiner(text string) string {
	sc := &scanner{text: text}
	if !sc.accept("CREATE") && !sc.accept("ALTER") {
		return text
	}
	for {
		sc.skip()
		at := sc.pos
		switch strings.ToUpper(sc.next()) {
		case "OR", "REPLACE", "ALGORITHM", "=", "UNDEFINED", "MERGE", "TEMPTABLE":
		case "DEFINER":
			if !sc.accept("=", "CURRENT_USER") {
				return text
			}
			sc.accept("(", ")")
			return text[:at] + text[sc.pos:]
		default:
			return text
		}
	}
}
