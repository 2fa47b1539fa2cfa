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
	command             command
	tables              []sqlparser.TableName
	unlimited           bool // max_statement_time does not count
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
	{[]string{"LOAD", "DATA"}, parseLoadData},
	{[]string{"DROP", "FUNCTION"}, parseDropFunction},
	{[]string{"SHOW", "CREATE", "FUNCTION"}, parseShowCreateFunction},
	{[]string{"SHOW", "FUNCTION", "STATUS"}, parseFunctionStatus},
	{[]string{"SHOW", "ENGINE"}, parseShowEngine},
	{[]string{"SHOW", "REPLICA", "STATUS"}, parseReplicaStatus(false)},
	{[]string{"SHOW", "SLAVE", "STATUS"}, parseReplicaStatus(true)},
	{[]string{"SHOW", "ALL", "SLAVES", "STATUS"}, parseReplicaStatus(true)},
	{[]string{"CHANGE", "REPLICATION", "SOURCE", "TO"}, parseChangeSource},
	{[]string{"CHANGE", "MASTER", "TO"}, parseChangeSource},
	{[]string{"START", "REPLICA"}, parseStartReplica},
	{[]string{"START", "SLAVE"}, parseStartReplica},
	{[]string{"STOP", "REPLICA"}, parseStopReplica},
	{[]string{"STOP", "SLAVE"}, parseStopReplica},
	{[]string{"RESET", "MASTER"}, refuseReset},
	{[]string{"RESET", "BINARY", "LOGS", "AND", "GTIDS"}, refuseReset},
	{[]string{"RESET", "REPLICA"}, parseResetReplica},
	{[]string{"RESET", "SLAVE"}, parseResetReplica},
	{[]string{"SET", "GLOBAL", "gtid_slave_pos"}, parseSlavePosition},
	{[]string{"SET", "STATEMENT"}, refuseSetStatement},
	{[]string{"SET", "ROLE"}, parseSetRole},
	{[]string{"SET", "DEFAULT", "ROLE"}, parseSetDefaultRole},
	{[]string{"SHOW", "REPLICAS"}, parseShowReplicas("Source_Id", "Replica_UUID")},
	{[]string{"SHOW", "SLAVE", "HOSTS"}, parseShowReplicas("Master_Id", "Slave_UUID")},
	{[]string{"SHOW", "STACK", "STATE"}, parseShowSite},
	{[]string{"SHOW", "STACK", "ROLE"}, parseShowRole},
	{[]string{"STACK", "ACCEPT"}, parseAccept},
	{[]string{"STACK", "OPEN"}, parseOpen},
	{[]string{"CHECK", "TABLE"}, parseCheckTable},
	{[]string{"CHECK", "TABLES"}, parseCheckTable},
	{[]string{"OPTIMIZE"}, parseOptimize},
	{[]string{"REPAIR"}, parseRepair},
	{[]string{"CHECKSUM", "TABLE"}, parseChecksum},
	{[]string{"CHECKSUM", "TABLES"}, parseChecksum},
	{[]string{"ANALYZE"}, parseAnalyze},
	{[]string{"ALTER", "PROCEDURE"}, parseAlterProcedure},
	{[]string{"ALTER", "USER"}, parseAlterUser},
	{[]string{"ALTER", "FUNCTION"}, parseAlterFunction},
	{[]string{"SEED"}, parseSeed},
}

// ownSyntax parses the first statement of a text if it is an own one. rest is what
// follows it.
func (s *Session) ownSyntax(query string, multi bool) (st *ownStatement, text, rest string, err error) {
	sc := &scanner{text: query}
	switch sc.peek() {
	case "CREATE":
		st, text, rest, err = s.parseCreateFunction(query, multi)
		if st != nil {
			st.command = commandCreateFunction
		}
		return st, text, rest, err
	case "DO", "LOAD", "DROP", "SHOW", "CHECK", "OPTIMIZE", "REPAIR", "CHECKSUM", "ANALYZE", "ALTER", "CHANGE", "START", "STOP", "RESET", "SET", "STACK", "SEED":
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
		if st, err = form.parse(s, sc); st != nil {
			st.command = ownCommands[strings.Join(form.words, " ")]
		}
		return st, text, rest, err
	}
	return nil, "", "", nil
}

// ownForm takes over a statement that the parser knows and the planner does not do
// right; nil for every other.
func ownForm(st sqlparser.Statement, text string) *ownStatement {
	o := createProcedure(st, text)
	if o == nil {
		o = expressionKeys(st)
	}
	if o == nil {
		o = grantsUsing(st)
	}
	if o != nil {
		o.command = commandOf(st, text)
	}
	return o
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
	sel, err := parseText(markOf(sc.text)+"SELECT "+sc.text[sc.pos:], gms.LoadSqlMode(s.context(ctxBackground, "")).ParserOptions())
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
