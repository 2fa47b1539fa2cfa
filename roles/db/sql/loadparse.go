package sql

import (
	"encoding/hex"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/infile"
)

// loadData is a LOAD DATA LOCAL INFILE. The parser knows the clauses in one order only and
// no hexadecimal separators, so the statement is read here.
type loadData struct {
	file    string
	replace bool
	table   sqlparser.TableName
	charset string // of the file; empty: the database's
	format  infile.Format
	skip    uint64
	targets []loadTarget // where the fields go; nil: to every column
	set     sqlparser.AssignmentExprs
}

// loadTarget is a column, or a variable of the user.
type loadTarget struct {
	name     string
	variable bool
}

func parseLoadData(s *Session, sc *scanner) (*ownStatement, error) {
	l, err := (&loadParser{scanner: sc, session: s}).parse()
	if err != nil {
		return nil, err
	}
	return own(kindWrite, []sqlparser.TableName{l.table}, l.run), nil
}

type loadParser struct {
	*scanner
	session *Session
}

func (p *loadParser) parse() (*loadData, error) {
	l := &loadData{format: infile.Default()}
	if p.session.settingsNow().reading.backslashes {
		l.format.Escaped = infile.None
	}
	if !p.accept("LOW_PRIORITY") {
		p.accept("CONCURRENT")
	}
	local := p.accept("LOCAL")
	if !p.accept("INFILE") {
		return nil, p.unexpected()
	}
	if !local {
		return nil, mysqlError(1290, "LOAD DATA INFILE would read a file of the server, and SQL reads none here: send it from the client with LOAD DATA LOCAL INFILE")
	}
	file, err := p.literal()
	if err != nil {
		return nil, err
	}
	l.file = file
	if l.replace = p.accept("REPLACE"); !l.replace {
		p.accept("IGNORE") // which LOCAL means anyway
	}
	if !p.accept("INTO", "TABLE") {
		return nil, p.unexpected()
	}
	tables, err := p.tableList()
	if err != nil {
		return nil, err
	}
	if len(tables) != 1 {
		return nil, p.unexpected()
	}
	l.table = tables[0]
	for _, clause := range []func(*loadData) error{p.characterSet, p.fields, p.lines, p.ignored, p.columns, p.assignments} {
		if err := clause(l); err != nil {
			return nil, err
		}
	}
	return l, p.end()
}

func (p *loadParser) characterSet(l *loadData) error {
	if p.accept("PARTITION") {
		return notAvailable("PARTITION")
	}
	if p.accept("CHARACTER", "SET") || p.accept("CHARSET") {
		l.charset = strings.Trim(plainName(p.next()), "'")
		if l.charset == "" {
			return p.unexpected()
		}
	}
	return nil
}

func (p *loadParser) fields(l *loadData) error {
	if !p.accept("FIELDS") && !p.accept("COLUMNS") {
		return nil
	}
	for n := 0; ; n++ {
		var err error
		switch {
		case p.accept("TERMINATED", "BY"):
			l.format.FieldsTerminated, err = p.literal()
		case p.accept("OPTIONALLY", "ENCLOSED", "BY"), p.accept("ENCLOSED", "BY"):
			l.format.Enclosed, err = p.character()
		case p.accept("ESCAPED", "BY"):
			l.format.Escaped, err = p.character()
		case n == 0:
			return p.unexpected()
		default:
			if l.format.FieldsTerminated == "" && l.format.Enclosed == infile.None {
				return notAvailable("fields of fixed length (FIELDS TERMINATED BY '' ENCLOSED BY '')")
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *loadParser) lines(l *loadData) error {
	if !p.accept("LINES") {
		return nil
	}
	for n := 0; ; n++ {
		var err error
		switch {
		case p.accept("TERMINATED", "BY"):
			l.format.LinesTerminated, err = p.literal()
		case p.accept("STARTING", "BY"):
			l.format.LinesStarting, err = p.literal()
		case n == 0:
			return p.unexpected()
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *loadParser) ignored(l *loadData) (err error) {
	if !p.accept("IGNORE") {
		return nil
	}
	if l.skip, err = strconv.ParseUint(p.next(), 10, 64); err != nil || !p.accept("LINES") && !p.accept("ROWS") {
		return p.unexpected()
	}
	return nil
}

func (p *loadParser) columns(l *loadData) error {
	if p.peek() != "(" {
		return nil
	}
	p.next()
	if p.peek() == ")" {
		p.next()
		return nil
	}
	for {
		var t loadTarget
		name := p.next()
		if t.variable = name == "@"; t.variable {
			name = p.next()
		}
		if p.peek() == "." && !t.variable { // table.column
			p.next()
			name = p.next()
		}
		if t.name = strings.Trim(plainName(name), "'"); !nameToken(name) && !t.variable || t.name == "" {
			return p.unexpected()
		}
		l.targets = append(l.targets, t)
		switch p.next() {
		case ")":
			return nil
		case ",":
		default:
			return p.unexpected()
		}
	}
}

// assignments has the parser read SET.
func (p *loadParser) assignments(l *loadData) error {
	if !p.accept("SET") {
		return nil
	}
	options := gms.LoadSqlMode(p.session.context(ctxBackground, "")).ParserOptions()
	st, err := sqlparser.ParseWithOptions(gms.NewEmptyContext(), "UPDATE t SET "+p.text[p.pos:], options)
	if err != nil {
		return gms.ErrSyntaxError.New(err)
	}
	asWritten(p.text, st)
	update, ok := st.(*sqlparser.Update)
	if !ok || update.Where != nil || update.Limit != nil || len(update.OrderBy) > 0 || len(update.Returning) > 0 {
		return p.unexpected()
	}
	l.set = update.Exprs
	p.pos = len(p.text)
	return nil
}

// character reads a separator of one byte, or of none.
func (p *loadParser) character() (int, error) {
	text, err := p.literal()
	switch {
	case err != nil:
		return infile.None, err
	case len(text) > 1:
		return infile.None, mysqlError(1083, "Field separator argument is not what is expected; check the manual")
	case text == "":
		return infile.None, nil
	}
	return int(text[0]), nil
}

// literal reads a text, plain or in hexadecimal digits.
func (p *loadParser) literal() (string, error) {
	p.skip()
	start := p.pos
	if p.pos >= len(p.text) {
		return "", p.unexpected()
	}
	rest := p.text[p.pos:]
	switch c := rest[0]; {
	case c == '\'' || c == '"':
		return p.quotedText(c)
	case strings.HasPrefix(rest, "0x"):
		word := p.next()
		if b, err := hex.DecodeString(word[2:]); err == nil {
			return string(b), nil
		}
	case len(rest) > 1 && (c == 'x' || c == 'X') && rest[1] == '\'':
		p.pos++
		word := p.next()
		if b, err := hex.DecodeString(strings.Trim(word, "'")); err == nil {
			return string(b), nil
		}
	}
	p.pos = start
	return "", p.unexpected()
}

// quotedText is the content of a quoted text.
func (p *loadParser) quotedText(quote byte) (string, error) {
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		last := p.pos+1 == len(p.text)
		switch {
		case c == quote:
			if last || p.text[p.pos+1] != quote {
				p.pos++
				return b.String(), nil
			}
			p.pos++
		case c == '\\' && !last:
			p.pos++
			c = unescapeSQL(p.text[p.pos])
		}
		b.WriteByte(c)
	}
	return "", p.unexpected()
}

func unescapeSQL(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'b':
		return '\b'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'Z':
		return 26
	}
	return c
}
