package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// ownStatement is a statement that the parser or the planner does not know and that
// runs here.
type ownStatement struct {
	sqlparser.Statement // stands for it where only the type matters
	kind                kind
	tables              []sqlparser.TableName
	run                 func(ctx *gms.Context, s *Session, out sink) error
}

func own(k kind, tables []sqlparser.TableName, run func(*gms.Context, *Session, sink) error) *ownStatement {
	return &ownStatement{Statement: &sqlparser.OtherAdmin{}, kind: k, tables: tables, run: run}
}

// execute runs the statement; a panic is an error.
func (o *ownStatement) execute(ctx *gms.Context, s *Session, out sink) (err error) {
	defer recovered(&err)
	return o.run(ctx, s, out)
}

// ownForms are the forms of own statements by their first words. Each gets the scanner
// behind them and returns nil where the statement is another after all.
var ownForms = []struct {
	words []string
	parse func(s *Session, sc *scanner) (*ownStatement, error)
}{
	{[]string{"DO"}, parseDo},
	{[]string{"DROP", "FUNCTION"}, parseDropFunction},
	{[]string{"SHOW", "CREATE", "FUNCTION"}, parseShowCreateFunction},
	{[]string{"SHOW", "FUNCTION", "STATUS"}, parseFunctionStatus},
	{[]string{"SHOW", "ENGINE"}, parseShowEngine},
	{[]string{"SHOW", "SLAVE", "STATUS"}, parseReplicaStatus},
	{[]string{"SHOW", "ALL", "SLAVES", "STATUS"}, parseReplicaStatus},
	{[]string{"CHECK", "TABLE"}, parseCheckTable},
	{[]string{"CHECK", "TABLES"}, parseCheckTable},
	{[]string{"OPTIMIZE"}, parseOptimize},
	{[]string{"REPAIR"}, parseRepair},
	{[]string{"CHECKSUM", "TABLE"}, parseChecksum},
	{[]string{"CHECKSUM", "TABLES"}, parseChecksum},
}

// ownSyntax parses the first statement of a text if it is an own one. rest is what
// follows it.
func (s *Session) ownSyntax(query string, multi bool) (st *ownStatement, text, rest string, err error) {
	sc := &scanner{text: query}
	switch sc.peek() {
	case "CREATE":
		return s.parseCreateFunction(query, multi)
	case "DO", "DROP", "SHOW", "CHECK", "OPTIMIZE", "REPAIR", "CHECKSUM":
	default:
		return nil, "", "", nil
	}
	end := sc.statementEnd()
	text = query[:end]
	if end < len(query) {
		rest = strings.TrimLeft(query[end+1:], " \t\r\n;")
	}
	if rest != "" && !multi {
		return nil, "", "", nil // the parser says what is wrong
	}
	for _, form := range ownForms {
		sc := &scanner{text: text}
		if !sc.accept(form.words...) {
			continue
		}
		st, err = form.parse(s, sc)
		return st, text, rest, err
	}
	return nil, "", "", nil
}

// ownForm takes over a statement that the parser knows and the planner does not do
// right; nil for every other.
func ownForm(st sqlparser.Statement, text string) *ownStatement {
	if o := moveTables(st); o != nil {
		return o
	}
	return createProcedure(st, text)
}

// statementEnd is where the first statement ends: at its semicolon or the end.
func (s *scanner) statementEnd() int {
	at := s.pos
	defer func() { s.pos = at }()
	for {
		s.skip()
		start := s.pos
		switch s.next() {
		case "":
			return len(s.text)
		case ";":
			return start
		}
	}
}

// tableList reads table names separated by commas.
func (s *scanner) tableList() ([]sqlparser.TableName, error) {
	var list []sqlparser.TableName
	for {
		name := s.next()
		if name == "" || !nameToken(name) {
			return nil, s.unexpected()
		}
		t := sqlparser.TableName{Name: sqlparser.NewTableIdent(plainName(name))}
		if s.peek() == "." {
			s.next()
			if name = s.next(); !nameToken(name) {
				return nil, s.unexpected()
			}
			t.DbQualifier, t.Name = sqlparser.NewTableIdent(t.Name.String()), sqlparser.NewTableIdent(plainName(name))
		}
		list = append(list, t)
		if s.peek() != "," {
			return list, nil
		}
		s.next()
	}
}

func (s *scanner) unexpected() error {
	near := s.text[s.pos:]
	if len(near) > 80 {
		near = near[:80]
	}
	return mysqlError(1064, "You have an error in your SQL syntax near '%s'", near)
}

// end makes sure that nothing follows.
func (s *scanner) end() error {
	if s.peek() != "" {
		return s.unexpected()
	}
	return nil
}

func nameToken(token string) bool {
	return token != "" && (token[0] == '`' || token[0] == '"' || wordRune([]rune(token)[0]))
}

// plainName takes the quotes off a name.
func plainName(token string) string {
	if len(token) >= 2 && (token[0] == '`' || token[0] == '"') {
		quote := token[:1]
		return strings.ReplaceAll(token[1:len(token)-1], quote+quote, quote)
	}
	return token
}

// routineName is a routine's name with its database.
func (s *Session) routineName(written string) (database, name string, err error) {
	sc := &scanner{text: written}
	name = plainName(sc.next())
	if sc.peek() == "." {
		sc.next()
		database, name = name, plainName(sc.next())
	}
	if database == "" {
		database = s.GetCurrentDatabase()
	}
	if database == "" {
		return "", "", gms.ErrNoDatabaseSelected.New()
	}
	d := findDatabase(s.catalog(), database)
	if d == nil {
		return "", "", gms.ErrDatabaseNotFound.New(database)
	}
	return d.Name, name, nil
}

// parseDo is DO expression, …: computed for what it does, its values dropped.
func parseDo(s *Session, sc *scanner) (*ownStatement, error) {
	sel, err := sqlparser.ParseWithOptions(gms.NewEmptyContext(), "SELECT "+sc.text[sc.pos:], gms.LoadSqlMode(s.context(ctxBackground, "")).ParserOptions())
	if err != nil {
		return nil, gms.ErrSyntaxError.New(err)
	}
	k := kindRead
	if s.writesByFunction(sel) {
		k = kindWrite
	}
	return own(k, nil, func(ctx *gms.Context, s *Session, out sink) error {
		if err := s.stream(ctx, ctx.Query(), sel, nil, &rowsSink{}); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	}), nil
}
