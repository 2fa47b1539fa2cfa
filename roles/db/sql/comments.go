package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// versionID is Version as it stands in comments: /*!80040 … */.
const versionID = 80040

// plainComments blanks the comments that only look like statements, as MySQL reads them:
// /*M! … */, which is MariaDB's alone and opens each of its dumps, and /*!NNNNN … */ for
// a version above ours. The parser would run both. The length of the text stays, so that
// positions in it mean the same.
func plainComments(query string) string {
	if !strings.Contains(query, "/*!") && !strings.Contains(query, "/*M!") {
		return query
	}
	var out []byte
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '\'' || c == '"' || c == '`':
			i = quotedEnd(query, i)
		case c == '#' || strings.HasPrefix(query[i:], "--"): // as the parser reads it
			i = after(query, i, "\n")
		case strings.HasPrefix(query[i:], "/*M!"), strings.HasPrefix(query[i:], "/*!") && above(query[i+3:]):
			end := after(query, i+2, "*/")
			if out == nil {
				out = []byte(query)
			}
			for j := i; j < end; j++ {
				if out[j] != '\n' { // lines are counted in messages
					out[j] = ' '
				}
			}
			i = end
		case strings.HasPrefix(query[i:], "/*!"):
			i += 3 // what is in it is run, and may hold comments itself
		case strings.HasPrefix(query[i:], "/*"):
			i = after(query, i+2, "*/")
		default:
			i++
		}
	}
	if out == nil {
		return query
	}
	return string(out)
}

// plainDashes puts a blank between two minus signs that no blank follows: MySQL's comments
// begin with "-- ", the parser's with "--", and 5--3 is 8.
func plainDashes(query string) string {
	if !strings.Contains(query, "--") {
		return query
	}
	var out strings.Builder
	copied := 0
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '\'' || c == '"' || c == '`':
			i = quotedEnd(query, i)
		case strings.HasPrefix(query[i:], "--"):
			if i+2 >= len(query) || query[i+2] <= ' ' || query[i+2] == 0x7f {
				i = after(query, i, "\n")
				continue
			}
			out.WriteString(query[copied : i+1])
			out.WriteByte(' ')
			i++
			copied = i
		case c == '#':
			i = after(query, i, "\n")
		case strings.HasPrefix(query[i:], "/*!"):
			i += 3 // what is in it is run
		case strings.HasPrefix(query[i:], "/*"):
			i = after(query, i+2, "*/")
		default:
			i++
		}
	}
	if copied == 0 {
		return query
	}
	out.WriteString(query[copied:])
	return out.String()
}

// asParserReads is a text with what the parser reads otherwise than MySQL.
func asParserReads(query string) string {
	return withoutCurrentDefiner(keepWildcards(plainComments(plainDashes(query))))
}

// above says whether text begins with a version of five or six digits above ours.
func above(text string) bool {
	version, n := 0, 0
	for n < len(text) && n < 6 && text[n] >= '0' && text[n] <= '9' {
		version = version*10 + int(text[n]-'0')
		n++
	}
	return n >= 5 && version > versionID
}

// keepWildcards doubles the backslash of \% and \_ in quoted text: both stand for
// themselves, backslash and all, so that LIKE sees the escape. The parser would drop it.
func keepWildcards(query string) string {
	if !strings.Contains(query, `\%`) && !strings.Contains(query, `\_`) {
		return query
	}
	var out strings.Builder
	copied := 0
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '\'' || c == '"':
			end := quotedEnd(query, i)
			for i++; i < end; i++ {
				if query[i] != '\\' {
					continue
				}
				if i++; i < end && (query[i] == '%' || query[i] == '_') {
					out.WriteString(query[copied:i])
					out.WriteByte('\\')
					copied = i
				}
			}
		case c == '`':
			i = quotedEnd(query, i)
		case c == '#' || strings.HasPrefix(query[i:], "--"): // as the parser reads it
			i = after(query, i, "\n")
		case strings.HasPrefix(query[i:], "/*") && !strings.HasPrefix(query[i:], "/*!"):
			i = after(query, i+2, "*/")
		default:
			i++
		}
	}
	out.WriteString(query[copied:])
	return out.String()
}

// plainPrepare is a PREPARE whose statement the planner may parse; all others stay.
func (s *Session) plainPrepare(ctx *gms.Context, st sqlparser.Statement) sqlparser.Statement {
	p, ok := st.(*sqlparser.Prepare)
	if !ok {
		return st
	}
	text := p.Expr
	if name, variable := strings.CutPrefix(text, "@"); variable {
		_, value, err := s.GetUserVariable(ctx, name)
		if text, ok = value.(string); err != nil || !ok {
			return st
		}
	}
	plain := *p // a routine runs its tree again
	plain.Expr = asParserReads(s.asRead(text))
	return &plain
}

// after is the index behind the next end from i on, or that of the text's end.
func after(query string, i int, end string) int {
	if j := strings.Index(query[i:], end); j >= 0 {
		return i + j + len(end)
	}
	return len(query)
}

// quotedEnd is the index behind the quoted text that begins at i. A doubled quote needs
// no care: it ends one text and begins the next.
func quotedEnd(query string, i int) int {
	quote := query[i]
	for i++; i < len(query); i++ {
		switch {
		case query[i] == '\\' && quote != '`':
			i++
		case query[i] == quote:
			return i + 1
		}
	}
	return len(query)
}

// withoutCommentEnd is the last part of a statement without the end of the /*! … */ in which the statement stood, as dumps
// write it: the parser leaves that on it.
func withoutCommentEnd(text string) string {
	open := false
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\'' || c == '"' || c == '`':
			i = quotedEnd(text, i)
		case c == '#' || strings.HasPrefix(text[i:], "--"):
			i = after(text, i, "\n")
		case strings.HasPrefix(text[i:], "/*!"):
			open = true
			i += 3
		case strings.HasPrefix(text[i:], "/*"):
			i = after(text, i+2, "*/")
		case open && strings.HasPrefix(text[i:], "*/"):
			open = false
			i += 2
		case strings.HasPrefix(text[i:], "*/") && strings.TrimSpace(text[i+2:]) == "":
			return strings.TrimSpace(text[:i])
		default:
			i++
		}
	}
	return text
}
