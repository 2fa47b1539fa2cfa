package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// reading is what sql_mode changes in how texts are read, beyond what the parser is told.
//
// Such a text is rewritten when it comes in, into one that means the same without the mode, so
// that parser, scanners and definitions in the catalog know one way to read. It begins with a
// mark that says how it was written; what goes out, as to the binary log, SHOW CREATE and the
// process list, is turned back.
type reading struct {
	backslashes bool // NO_BACKSLASH_ESCAPES: in texts they stand for themselves, and LIKE has no escape
	not         bool // HIGH_NOT_PRECEDENCE: NOT binds as ! does
	ansi        bool // ANSI_QUOTES: "…" is a name
}

// readingOf is the reading that a value of sql_mode asks for.
func readingOf(mode string) reading { return readingOfBits(modeBits(mode)) }

func readingOfBits(bits uint64) reading {
	return reading{
		backslashes: bits&modes["NO_BACKSLASH_ESCAPES"] != 0,
		not:         bits&modes["HIGH_NOT_PRECEDENCE"] != 0,
		ansi:        bits&modes["ANSI_QUOTES"] != 0,
	}
}

// usual says that texts need not be rewritten.
func (r reading) usual() bool { return !r.backslashes && !r.not }

// readingMark is how the mark of a rewritten text begins; letters for the modes and the end of the
// comment follow.
const readingMark = "/*read:"

func (r reading) mark() string {
	letters := ""
	if r.backslashes {
		letters += "b"
	}
	if r.not {
		letters += "n"
	}
	if r.ansi {
		letters += "a"
	}
	return readingMark + letters + "*/"
}

// markOf is the mark that a text begins with, empty where it was not rewritten.
func markOf(text string) string {
	if !strings.HasPrefix(text, readingMark) {
		return ""
	}
	return text[:after(text, len(readingMark), "*/")]
}

// markedReading is how a text was written by its mark.
func markedReading(mark string) reading {
	letters := strings.TrimSuffix(strings.TrimPrefix(mark, readingMark), "*/")
	return reading{backslashes: strings.Contains(letters, "b"), not: strings.Contains(letters, "n"), ansi: strings.Contains(letters, "a")}
}

// written is a text as it was before it was rewritten.
func written(text string) string {
	mark := markOf(text)
	if mark == "" {
		return text
	}
	return markedReading(mark).turnBack(text[len(mark):])
}

// asRead is a client's text as everything here reads it.
func (s *Session) asRead(text string) string { return s.settingsNow().reading.rewrite(text) }

// modeOf is sql_mode for a text that is kept or logged, as number and as names: it may have been read
// before, by another one, when it was prepared.
func (s *Session) modeOf(ctx *gms.Context, text string) (bits uint64, names string) {
	names = gms.LoadSqlMode(ctx).String()
	bits = modeBits(names)
	now := readingOfBits(bits)
	was := reading{}
	if mark := markOf(text); mark != "" {
		was = markedReading(mark)
	} else if now.rewrite(text) == text {
		return bits, names
	}
	for _, m := range []struct {
		name     string
		now, was bool
	}{{"NO_BACKSLASH_ESCAPES", now.backslashes, was.backslashes}, {"HIGH_NOT_PRECEDENCE", now.not, was.not}} {
		if m.now != m.was {
			bits ^= modes[m.name]
			names = modeNames(bits)
		}
	}
	return bits, names
}

// rewrite makes a text mean without the mode what it means with it. One that means the same stays
// as it is.
func (r reading) rewrite(text string) string {
	if markOf(text) != "" {
		text = " " + text // a mark is ours to set
	}
	if r.usual() {
		return text
	}
	var out strings.Builder
	copied, like, begins := 0, false, false // begins: an expression may begin here
	runs := 0                               // comments whose text is run that have not ended
	for i := 0; i < len(text); {
		c := text[i]
		if end := commentEnd(text, i, &runs); end > i {
			i = end
			continue
		}
		switch {
		case c == '`', c == '"' && r.ansi:
			i, begins = after(text, i+1, string(c)), false
		case c == '\'', c == '"':
			end := r.textEnd(text, i)
			for ; r.backslashes && i < end; i++ {
				if text[i] == '\\' {
					out.WriteString(text[copied : i+1])
					out.WriteByte('\\')
					copied = i + 1
				}
			}
			i, begins = end, false
		case !wordByte(c):
			if c > ' ' {
				begins = strings.IndexByte("(,=<>!+-*/%&|^~", c) >= 0
			}
			i++
		default:
			word := wordAt(text, i)
			named := i > 0 && (text[i-1] == '.' || text[i-1] == '@')
			switch {
			case named:
				begins = false
			case strings.EqualFold(word, "NOT"):
				if r.not && begins && !keepsNot(text, i+len(word)) {
					out.WriteString(text[copied:i] + "!/*" + word + "*/")
					copied = i + len(word)
				}
				begins = true
			default:
				like = like || strings.EqualFold(word, "LIKE")
				begins = beginsExpression[strings.ToUpper(word)]
			}
			i += len(word)
		}
	}
	if copied == 0 && !(like && r.backslashes) {
		return text
	}
	return r.mark() + out.String() + text[copied:]
}

// turnBack undoes rewrite on a text, or a part of one, without the mark.
func (r reading) turnBack(text string) string {
	var out strings.Builder
	copied, runs := 0, 0
	for i := 0; i < len(text); {
		c := text[i]
		if end := commentEnd(text, i, &runs); end > i {
			i = end
			continue
		}
		switch {
		case c == '`', c == '"' && r.ansi:
			i = after(text, i+1, string(c))
		case c == '\'', c == '"':
			end := quotedEnd(text, i)
			for ; r.backslashes && i < end; i++ {
				if text[i] == '\\' {
					out.WriteString(text[copied:i])
					copied = i + 1
					i++
				}
			}
			i = end
		case c == '!' && r.not && len(text) >= i+len("!/*NOT*/") && strings.EqualFold(text[i:i+len("!/*NOT*/")], "!/*NOT*/"):
			out.WriteString(text[copied:i] + text[i+len("!/*"):i+len("!/*NOT")])
			i += len("!/*NOT*/")
			copied = i
		default:
			i++
		}
	}
	return out.String() + text[copied:]
}

// textEnd is quotedEnd by the mode.
func (r reading) textEnd(text string, i int) int {
	if r.backslashes {
		return after(text, i+1, text[i:i+1])
	}
	return quotedEnd(text, i)
}

// commentEnd is the index behind the comment that begins at i, as MySQL reads comments, or behind
// the beginning or end of one whose text is run, of which runs are open; i where there is none.
func commentEnd(text string, i int, runs *int) int {
	rest := text[i:]
	switch text[i] {
	case '#':
		return after(text, i, "\n")
	case '-':
		if strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' ' || rest[2] == 0x7f) {
			return after(text, i, "\n")
		}
	case '*':
		if *runs > 0 && strings.HasPrefix(rest, "*/") {
			*runs--
			return i + len("*/")
		}
	case '/':
		switch {
		case strings.HasPrefix(rest, "/*!") && !above(rest[3:]):
			*runs++
			for i += 3; i < len(text) && isDigit(text[i]); i++ {
			}
			return i
		case strings.HasPrefix(rest, "/*"):
			return after(text, i+2, "*/")
		}
	}
	return i
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func wordAt(text string, i int) string {
	end := i
	for end < len(text) && wordByte(text[end]) {
		end++
	}
	return text[i:end]
}

// beginsExpression are the words behind which NOT begins an expression. Behind others, as behind
// operands, it is a part of NOT IN, IS NOT NULL, a column's NOT NULL and the like.
var beginsExpression = map[string]bool{
	"SELECT": true, "DISTINCT": true, "DISTINCTROW": true, "ALL": true, "STRAIGHT_JOIN": true, "HIGH_PRIORITY": true,
	"SQL_SMALL_RESULT": true, "SQL_BIG_RESULT": true, "SQL_BUFFER_RESULT": true, "SQL_CACHE": true, "SQL_NO_CACHE": true, "SQL_CALC_FOUND_ROWS": true,
	"WHERE": true, "HAVING": true, "ON": true, "BY": true, "AND": true, "OR": true, "XOR": true, "BETWEEN": true, "LIKE": true, "REGEXP": true, "RLIKE": true,
	"DIV": true, "MOD": true, "CASE": true, "WHEN": true, "THEN": true, "ELSE": true, "IF": true, "ELSEIF": true, "WHILE": true, "UNTIL": true,
	"RETURN": true, "RETURNING": true, "DO": true,
}

// keepsNot says whether a NOT that ends at i stays where an expression may begin: NOT EXISTS, which
// binds as high, IF NOT EXISTS, and the NOT FOUND of a handler.
func keepsNot(text string, i int) bool {
	switch (&scanner{text: text, pos: i}).peek() {
	case "EXISTS":
		return true
	case "FOUND":
		return containsFold(text, "HANDLER")
	}
	return false
}

// asWritten says in the tree of a rewritten text what the text cannot: columns are called as it was
// written, and under NO_BACKSLASH_ESCAPES patterns have no escape. A literal pattern without a
// backslash means the same with one, and an index can be used.
func asWritten(text string, st sqlparser.Statement) {
	if hex, rest, ok := strings.Cut(text, "*/ "); ok && strings.HasPrefix(hex, "/*") && markOf(text) == "" {
		text = rest // a trigger that is planned: see triggerText
	}
	mark := markOf(text)
	if mark == "" {
		return
	}
	r := markedReading(mark)
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.AliasedExpr:
			if v, ok := n.Expr.(*sqlparser.SQLVal); ok && v.Type == sqlparser.StrVal && r.backslashes {
				n.InputExpression = strings.ReplaceAll(n.InputExpression, `\\`, `\`) // it has no quotes
			} else {
				n.InputExpression = r.turnBack(n.InputExpression)
			}
		case *sqlparser.ComparisonExpr:
			if r.backslashes && n.Escape == nil && (n.Operator == sqlparser.LikeStr || n.Operator == sqlparser.NotLikeStr) && hasBackslash(n.Right) {
				n.Escape = sqlparser.NewStrVal([]byte{})
			}
		}
		return true, nil
	}, nodesOf(st)...)
}

// hasBackslash is false for a literal without one.
func hasBackslash(e sqlparser.Expr) bool {
	v, literal := e.(*sqlparser.SQLVal)
	return !literal || v.Type != sqlparser.StrVal || strings.Contains(string(v.Val), `\`)
}
