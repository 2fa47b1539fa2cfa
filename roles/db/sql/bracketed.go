package sql

import "strings"

// mostBrackets bounds how many pairs of brackets a statement may stand in: the text is read for each.
const mostBrackets = 8

// withoutBrackets has spaces for the brackets around a first statement as a whole, which the parser
// takes only where UNION follows.
func withoutBrackets(text string) (read string, other bool) {
	for range mostBrackets {
		bare, ok := withoutPair(text)
		if !ok {
			break
		}
		text, other = bare, true
	}
	return text, other
}

func withoutPair(text string) (string, bool) {
	if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "(") {
		return text, false
	}
	sc := scanner{text: text}
	sc.next()
	open := sc.pos - 1
	for depth := 1; depth > 0; {
		switch sc.next() {
		case "(":
			depth++
		case ")":
			depth--
		case "":
			return text, false
		}
	}
	end := sc.pos - 1
	if token := sc.next(); token != "" && token != ";" {
		return text, false
	}
	return text[:open] + " " + text[open+1:end] + " " + text[end+1:], true
}
