package sql

import "strings"

// secretText stands for a text that may be a password.
const secretText = "'<secret>'"

// withoutSecrets is a statement as it may be shown and logged: where it may hold a password, its
// texts are left out. Statements that only read and write rows hold none.
func withoutSecrets(text string) string {
	switch (&scanner{text: text}).peek() {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "CALL", "DO":
		return text
	}
	return blankSecrets(text)
}

// blankSecrets is withoutSecrets for a text of which nothing is known. The names of accounts stay.
func blankSecrets(text string) string {
	lower := strings.ToLower(text)
	if !strings.Contains(lower, "identified") && !strings.Contains(lower, "password") {
		return text
	}
	var b strings.Builder
	sc := scanner{text: text}
	before := ""
	for {
		end := sc.pos
		token := sc.next()
		if token == "" {
			return b.String()
		}
		if sc.pos-len(token) > end && b.Len() > 0 {
			b.WriteByte(' ') // for white space, and comments, which may hold anything
		}
		quoted := token[0] == '\'' || token[0] == '"'
		hex := len(token) > 1 && token[0] == '0' && (token[1] == 'x' || token[1] == 'X')
		if hex || quoted && before != "@" && sc.peek() != "@" {
			b.WriteString(secretText)
		} else {
			b.WriteString(token)
		}
		before = token
	}
}
