package sql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/enginetest/queries"
	"github.com/dolthub/go-mysql-server/enginetest/scriptgen/setup"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
	goerrors "gopkg.in/src-d/go-errors.v1"

	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// The planner's own tests (its package enginetest) run here against the store, on a file
// system in memory: every assertion of its tables is run, the ones known to fail too.
// testdata/enginetest-known.txt lists those with the reason; one that fails and is not
// listed fails the test, and so does one that is listed and passes.

// engineSuite is one table of the planner's tests and the data that it wants.
type engineSuite struct {
	name  string
	setup [][]setup.SetupScript
	run   func(*engineRun)
	short bool // part of the fast run
}

// engineRun runs one suite.
type engineRun struct {
	t     *testing.T
	suite engineSuite
	known map[string]bool // assertions of this suite that are known to fail
	seen  map[string]bool
	tally engineTally

	server  *memServer
	session *client
	script  string // name of the running script
	goesOn  bool   // scripts run one after the other on one engine
	// prepared turns literals into placeholders and binds them.
	prepared bool
	// gathers makes statistics of every table before a test's statements.
	gathers bool
}

// engineTally counts the assertions of a suite.
type engineTally struct {
	passed, known, off int // off: switched off by the planner's authors
	failures           []engineFailure
	unneeded           []string
}

type engineFailure struct{ id, why string }

// memServer is an engine on a store in memory.
type memServer struct {
	store  *store.Store
	db     *txn.Engine
	engine *Engine
	ids    uint32
}

func newMemServer() (*memServer, error) {
	s := &memServer{}
	var err error
	if s.store, err = store.Open(store.Options{Dir: "data", FS: vfs.NewMem(), Reserve: 1, MemtableSize: 1 << 20, CacheBytes: 1 << 20}); err != nil {
		return nil, err
	}
	if s.db, err = txn.Open(s.store, txn.Options{LockWaitTimeout: time.Second}); err != nil {
		return nil, err
	}
	if s.engine, err = New(s.store, s.db, Options{NoStatistics: true}); err != nil {
		return nil, err
	}
	if err := s.engine.SetAdministrator(context.Background(), "root", "localhost", ""); err != nil {
		return nil, err
	}
	// The tables were written for the planner's own defaults.
	return s, gms.SystemVariables.AssignValues(map[string]any{
		"sql_mode":             gms.DefaultSqlMode + "," + engineMode,
		"collation_server":     gms.Collation_Default.Name(),
		"collation_database":   gms.Collation_Default.Name(),
		"collation_connection": gms.Collation_Default.Name(),
		// Variables are the process's: a table of SET GLOBAL leaves its own behind.
		"transaction_isolation": "REPEATABLE-READ",
		"transaction_read_only": int8(0),
		// What waits for another session of the same test waits in vain.
		"innodb_lock_wait_timeout": int64(1),
	})
}

func (s *memServer) close() error {
	s.engine.mu.Lock()
	var open []*Session
	for _, sess := range s.engine.sessions {
		open = append(open, sess)
	}
	s.engine.mu.Unlock()
	for _, sess := range open {
		sess.Close()
	}
	return errors.Join(s.engine.Close(), s.db.Close(), s.store.Close())
}

func (s *memServer) login(t testing.TB, user, host string) (*client, error) {
	accounts, err := s.engine.Accounts(context.Background(), user)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if a.User == user && (a.Host == host || a.Host == "%") {
			s.ids++
			sess, err := s.engine.newSession(wire.Client{ID: s.ids, User: user, Host: "localhost", Account: a})
			return &client{t, sess}, err
		}
	}
	return nil, fmt.Errorf("there is no account %s@%s", user, host)
}

// fresh starts a new engine with the suite's data and a session in mydb.
func (r *engineRun) fresh(scripts [][]setup.SetupScript) error {
	r.stop()
	var err error
	if r.server, err = newMemServer(); err != nil {
		return err
	}
	if r.session, err = r.server.login(r.t, "root", "localhost"); err != nil {
		return err
	}
	if len(scripts) == 0 {
		scripts = [][]setup.SetupScript{setup.MydbData}
	}
	for _, list := range scripts {
		for _, script := range list {
			for _, statement := range script {
				if strings.HasPrefix(strings.ToUpper(statement), "CREATE VECTOR INDEX") {
					continue // of no table that the other tests look at
				}
				if out := r.query(r.session, statement, nil); out.err != nil {
					return fmt.Errorf("setup: %s: %w", statement, out.err)
				}
				r.useDefault()
			}
		}
	}
	r.gather()
	return nil
}

// gather makes statistics where the run asks for them.
func (r *engineRun) gather() bool {
	if !r.gathers {
		return true
	}
	catalog := r.server.engine.db.Catalog()
	for _, d := range catalog.Databases() {
		for _, t := range catalog.Tables(d.Name) {
			if err := r.server.engine.gather(context.Background(), t, true, func(time.Duration) error { return nil }); err != nil {
				r.t.Errorf("statistics of %s.%s: %v", d.Name, t.Desc.Name, err)
				return false
			}
		}
	}
	return true
}

func (r *engineRun) useDefault() {
	if r.session.GetCurrentDatabase() == "" {
		_ = r.session.Use(context.Background(), "mydb") // not there before it is made
	}
}

func (r *engineRun) stop() {
	if r.server == nil {
		return
	}
	if err := r.server.close(); err != nil {
		r.t.Errorf("%s: close: %v", r.suite.name, err)
	}
	r.server = nil
}

// createDatabase finds databases made without a collation: the tables expect the
// planner's default.
var createDatabase = regexp.MustCompile("(?i)^\\s*create\\s+(database|schema)\\s+(if\\s+not\\s+exists\\s+)?([`\\w]+)\\s*;?\\s*$")

// answered is what a statement gave.
type answered struct {
	schema gms.Schema
	rows   []gms.Row
	err    error
}

// okText is an OK packet that stands as a row.
type okText string

// rawSink keeps rows as the planner made them.
type rawSink struct {
	answered
	last answered // before the current one
	ok   *types.OkResult
	info string
}

func (s *rawSink) Columns(_ *gms.Context, schema gms.Schema) error { s.schema = schema; return nil }
func (s *rawSink) Row(row gms.Row) error                           { s.rows = append(s.rows, row.Copy()); return nil }

// Next keeps the last result set of several, as the planner itself does.
func (s *rawSink) Next() error {
	s.last, s.answered = s.answered, answered{}
	return nil
}

func (s *rawSink) OK(affected, insertID uint64, info string) {
	s.ok, s.info = &types.OkResult{RowsAffected: affected, InsertID: insertID}, info
}

// engineMode is a mode that the planner behaves by, whether it is set or not. Its tests do not
// show it.
const engineMode = "ERROR_FOR_DIVISION_BY_ZERO"

// Go's ways of writing a zone, which MySQL refuses in what is stored.
var (
	zulu   = regexp.MustCompile(`(\dT\d\d:\d\d:\d\d)Z'|(\d\d:\d\d:\d\d) -0000 UTC'`)
	offset = regexp.MustCompile(`(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d) [A-Z]+'`)
)

func (r *engineRun) query(c *client, text string, bindings map[string]sqlparser.Expr) answered {
	text = createDatabase.ReplaceAllString(text, "CREATE $1 $2$3 COLLATE "+gms.Collation_Default.Name())
	text = offset.ReplaceAllString(zulu.ReplaceAllString(text, "$1$2'"), "$1$2:$3'")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out := &rawSink{}
	out.err = r.execute(ctx, c, text, bindings, out)
	if out.err == nil && out.schema == nil && out.last.schema != nil {
		return out.last
	}
	if out.err == nil && out.schema == nil && out.ok != nil {
		out.rows = []gms.Row{{okText(resultText(*out.ok, out.info))}}
	}
	return out.answered
}

func (r *engineRun) execute(ctx context.Context, c *client, text string, bindings map[string]sqlparser.Expr, out sink) error {
	if len(bindings) == 0 && !r.prepared {
		_, err := c.query(ctx, text, true, out)
		return err
	}
	st, text, _, err := c.parse(c.context(ctx, text), text, false)
	if err != nil {
		return c.tell(err)
	}
	if len(bindings) == 0 {
		text, bindings = bindLiterals(text, st)
	}
	return c.Session.execute(ctx, text, st, bindings, out)
}

// bindLiterals makes placeholders of a statement's literals, where the protocol could
// prepare it.
func bindLiterals(text string, st sqlparser.Statement) (string, map[string]sqlparser.Expr) {
	switch st.(type) {
	case *sqlparser.Select, *sqlparser.SetOp, *sqlparser.ParenSelect, *sqlparser.Insert, *sqlparser.Update, *sqlparser.Delete:
	default:
		return text, nil
	}
	values := map[string]sqlparser.Expr{}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		v, ok := n.(*sqlparser.SQLVal)
		if !ok || v.Type != sqlparser.StrVal && v.Type != sqlparser.IntVal {
			return true, nil
		}
		literal := *v
		name := fmt.Sprintf("v%d", len(values)+1)
		values[name] = &literal
		v.Type, v.Val = sqlparser.ValArg, []byte(":"+name)
		return true, nil
	}, st)
	return sqlparser.String(st), values
}

// expectation is what an assertion wants.
type expectation struct {
	rows      []gms.Row
	columns   gms.Schema
	kind      *goerrors.Kind
	text      string // of the error
	anyError  bool
	warning   int
	warnings  int
	substring string
	anyRows   bool
	hash      bool
	bindings  map[string]sqlparser.Expr
}

// check runs one assertion and books the outcome.
func (r *engineRun) check(c *client, query string, want expectation) {
	got := r.query(c, query, want.bindings)
	r.book(r.id(query), want.mismatch(c, query, got))
}

func (r *engineRun) id(query string) string {
	parts := []string{r.suite.name}
	if r.script != "" {
		parts = append(parts, r.script)
	}
	if query != "" {
		parts = append(parts, query)
	}
	for i, p := range parts {
		parts[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(parts, "\t")
}

// book counts an assertion; why is empty if it holds. Assertions that occur several
// times share one entry, which one failure is enough for.
func (r *engineRun) book(id, why string) {
	r.seen[id] = r.seen[id] || why != ""
	switch {
	case why == "":
		r.tally.passed++
	case r.known[id]:
		r.tally.known++
	default:
		r.tally.failures = append(r.tally.failures, engineFailure{id, why})
	}
}

// setUp runs a script's preparation and says whether it worked; if not, the script as a
// whole is booked as failed.
func (r *engineRun) setUp(statements []string) bool {
	for _, s := range statements {
		if out := r.query(r.session, s, nil); out.err != nil {
			r.book(r.id(""), fmt.Sprintf("set up: %s: %v", s, out.err))
			return false
		}
	}
	return r.gather()
}

// restart gives the next test an engine of its own, unless it goes on with the last one's.
func (r *engineRun) restart() bool {
	if r.goesOn {
		return true
	}
	if err := r.fresh(r.suite.setup); err != nil {
		r.t.Errorf("%s: %v", r.suite.name, err)
		return false
	}
	return true
}

// finish compares with what is known.
func (r *engineRun) finish() {
	r.stop()
	for id := range r.known {
		if failed, ran := r.seen[id]; !ran || !failed {
			r.tally.unneeded = append(r.tally.unneeded, id)
		}
	}
	sort.Strings(r.tally.unneeded)
}

func scripts(list []queries.ScriptTest) func(*engineRun) {
	return func(r *engineRun) {
		for _, s := range list {
			r.runScript(s)
		}
	}
}

func (r *engineRun) runScript(s queries.ScriptTest) {
	if s.Skip || r.prepared && s.SkipPrepared || s.Dialect != "" && s.Dialect != "mysql" {
		r.tally.off++
		return
	}
	if !r.restart() {
		return
	}
	r.script = s.Name
	defer func() { r.script = "" }()
	preparing := r.prepared
	r.prepared = false
	ok := r.setUp(s.SetUpScript)
	r.prepared = preparing
	if !ok {
		return
	}
	list := s.Assertions
	if len(list) == 0 {
		list = []queries.ScriptTestAssertion{{Query: s.Query, Expected: s.Expected, ExpectedErr: s.ExpectedErr}}
	}
	for _, a := range list {
		r.runAssertion(a)
	}
}

func (r *engineRun) runAssertion(a queries.ScriptTestAssertion) {
	if a.NewSession {
		c, err := r.server.login(r.t, "root", "localhost")
		if err == nil {
			err = c.Use(context.Background(), "mydb")
		}
		if err != nil {
			r.book(r.id(a.Query), err.Error())
			return
		}
		r.session = c
	}
	if a.Skip || a.Dialect != "" && a.Dialect != "mysql" {
		r.tally.off++
		return
	}
	r.check(r.session, a.Query, expectation{
		rows: a.Expected, columns: a.ExpectedColumns, kind: a.ExpectedErr, text: a.ExpectedErrStr,
		warning: a.ExpectedWarning, warnings: a.ExpectedWarningsCount, substring: a.ExpectedWarningMessageSubstring,
		anyRows: a.SkipResultsCheck, bindings: a.Bindings,
	})
}

// reads runs read-only queries on one engine.
func reads(lists ...[]queries.QueryTest) func(*engineRun) {
	return func(r *engineRun) {
		if !r.restart() {
			return
		}
		for _, list := range lists {
			for _, q := range list {
				if q.Skip || r.prepared && q.SkipPrepared || q.Dialect != "" && q.Dialect != "mysql" {
					r.tally.off++
					continue
				}
				r.check(r.session, q.Query, expectation{
					rows: q.Expected, columns: q.ExpectedColumns, kind: q.ExpectedErr, text: q.ExpectedErrStr,
					warning: q.ExpectedWarning, warnings: q.ExpectedWarningsCount, substring: q.ExpectedWarningMessageSubstring,
					bindings: q.Bindings, hash: q.WrapBehavior == queries.WrapBehavior_Hash,
				})
			}
		}
	}
}

// writes runs statements that write, each on an engine of its own, and looks at what
// they left.
func writes(list []queries.WriteQueryTest) func(*engineRun) {
	return func(r *engineRun) {
		for _, q := range list {
			if q.Skip || q.Dialect != "" && q.Dialect != "mysql" {
				r.tally.off++
				continue
			}
			if !r.restart() {
				return
			}
			r.script = q.WriteQuery
			hash := q.WrapBehavior == queries.WrapBehavior_Hash
			wrote := expectation{rows: q.ExpectedWriteResult, bindings: q.Bindings}
			r.book(r.id(""), wrote.mismatch(r.session, q.WriteQuery, r.query(r.session, q.WriteQuery, q.Bindings)))
			r.check(r.session, q.SelectQuery, expectation{rows: q.ExpectedSelect, bindings: q.Bindings, hash: hash})
			r.script = ""
		}
	}
}

// errorTests runs statements that must fail.
func errorTests(list []queries.QueryErrorTest) func(*engineRun) {
	return func(r *engineRun) {
		for _, q := range list {
			if !r.restart() {
				return
			}
			r.check(r.session, q.Query, expectation{kind: q.ExpectedErr, text: q.ExpectedErrStr, anyError: true})
		}
	}
}

func genericErrors(list []queries.GenericErrorQueryTest) func(*engineRun) {
	return func(r *engineRun) {
		for _, q := range list {
			if !r.restart() {
				return
			}
			r.check(r.session, q.Query, expectation{anyError: true})
		}
	}
}

// continued runs scripts on one engine, each where the one before ended, as the planner
// itself does with them.
func continued(list []queries.ScriptTest) func(*engineRun) {
	return func(r *engineRun) {
		if !r.restart() {
			return
		}
		r.goesOn = true
		scripts(list)(r)
		r.goesOn = false
	}
}

// on runs a table with other data than its suite's.
func on(data [][]setup.SetupScript, run func(*engineRun)) func(*engineRun) {
	return func(r *engineRun) {
		was := r.suite.setup
		r.suite.setup = data
		run(r)
		r.suite.setup = was
	}
}

// both runs several tables as one suite.
func both(runs ...func(*engineRun)) func(*engineRun) {
	return func(r *engineRun) {
		for _, run := range runs {
			run(r)
		}
	}
}

func prepared(run func(*engineRun)) func(*engineRun) {
	return func(r *engineRun) {
		r.prepared = true
		run(r)
		r.prepared = false
	}
}
