package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	sqle "github.com/dolthub/go-mysql-server"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/sirupsen/logrus"

	"stack/roles/db/direct"
	"stack/roles/db/dump"
	"stack/roles/db/replica"
	"stack/roles/db/seed"
	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/db/userlock"
	"stack/roles/db/wire"
)

// Version is what @@version and the handshake say.
const Version = "8.0.40-stack"

// defaultCollation is that of databases made without one: MySQL and MariaDB both have
// it, and it ignores case.
const defaultCollation = gms.Collation_utf8mb4_unicode_520_ci

// Options of New.
type Options struct {
	Log *slog.Logger // default: discards
	// What @@datadir, @@server_uuid, @@hostname, @@max_connections and @@socket say.
	DataDir        string
	Server         string
	Hostname       string
	MaxConnections int
	// QueryMemory is what a sort, join or group of a statement may keep, bytes; more is
	// error 1038. 0: no bound.
	QueryMemory int64
	Socket      string
	// NoEvents keeps events from being run.
	NoEvents bool
	// NoStatistics keeps statistics from being gathered but by ANALYZE TABLE.
	NoStatistics bool
	// KillConnection closes a client's connection: KILL. nil: KILL ends the
	// running statement only.
	KillConnection func(id uint32) error
}

// Engine runs SQL on one store. Its methods may be called from many goroutines.
type Engine struct {
	db   *txn.Engine
	gms  *sqle.Engine
	log  *slog.Logger
	opts Options

	accounts    *accounts
	references  references
	locks       tableLocks
	userLocks   userlock.Locks
	triggers    triggerRights
	sizes       sizes
	statistics  statistics
	stats       stats
	plans       direct.Cache
	assigned    assignedTexts
	pid         atomic.Uint64
	open        atomic.Int64 // transactions of sessions
	queryMemory atomic.Int64 // bytes, 0: no bound
	scheduler   *scheduler
	gatherer    *gatherer
	start       time.Time
	digests     digests
	source      *dump.Source
	donor       *seed.Donor // nil: there is none
	slowLog     atomic.Pointer[func(SlowStatement)]
	front       atomic.Pointer[func() wire.Stats]
	replica     atomic.Pointer[replica.Replica]
	following   atomic.Bool // only another server's log changes this one
	site        atomic.Pointer[site]

	mu          sync.Mutex
	sessions    map[uint32]*Session
	ended       tally  // of sessions that have ended
	temporaries uint64 // number of the last temporary table
}

var _ wire.Engine = (*Engine)(nil)

// New makes an engine on st and its transactions, neither of which it owns. Grants are read from the catalog;
// tables of sessions that a crash ended are dropped.
func New(st *store.Store, db *txn.Engine, opts Options) (*Engine, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := setVariables(opts); err != nil {
		return nil, err
	}
	gms.SystemVariables.AddSystemVariables(logVariables(db, opts.DataDir))
	e := &Engine{db: db, start: time.Now(), log: opts.Log, opts: opts, sessions: map[uint32]*Session{}}
	e.statistics.engine = e
	e.sizes = sizes{store: st, db: db, statistics: &e.statistics}
	e.source = dump.New(db.Binlog(), db.LoggedSet)
	e.SetQueryMemory(opts.QueryMemory)
	// The planner logs on its own; what matters of it comes back as errors.
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.PanicLevel)
	p := &provider{engine: e}
	overrides := gms.EngineOverrides{Builder: gms.BuilderOverrides{Parser: parser{gms.NewMysqlParser()}}, SchemaFormatter: tableFormatter{&gms.MySqlSchemaFormatter{}}}
	a := analyzer.NewBuilder(p).AddOverrides(overrides).Build()
	a.ExecBuilder.PriorityBuilder = distinctBuilder{a.ExecBuilder}
	a.Catalog.StatsProvider = &e.statistics
	if err := errors.Join(readInfoSchema(a.Catalog.InfoSchema), readStatistics(e, a.Catalog.InfoSchema)); err != nil {
		return nil, err
	}
	info, err := newInfoSchema(a.Catalog.InfoSchema)
	if err != nil {
		return nil, err
	}
	a.Catalog.InfoSchema = info
	a.Catalog.AuthHandler = authorization{a.Catalog.AuthHandler}
	a.Catalog.BinlogPrimaryController = logController{e}
	uncounted.Do(func() { gms.StatusVariables = noStatus{} })
	e.gms = sqle.New(a, nil)
	a.Runner = &runner{e}
	a.ExecBuilder.Runner = a.Runner
	e.accounts = newAccounts(e)
	ctx := context.Background()
	if err := e.accounts.load(e.db.Catalog()); err != nil {
		return nil, err
	}
	if err := e.dropLeftTemporary(ctx); err != nil {
		return nil, err
	}
	if !opts.NoEvents {
		e.scheduler = startScheduler(e)
	}
	if !opts.NoStatistics {
		e.gatherer = startGatherer(e)
	}
	return e, nil
}

// Close stops what runs in the background. Sessions must have been closed.
func (e *Engine) Close() error {
	if e.scheduler != nil {
		e.scheduler.stop()
	}
	if e.gatherer != nil {
		e.gatherer.stop()
	}
	return e.gms.Close()
}

// Open starts the session of an authenticated client.
func (e *Engine) Open(ctx context.Context, c wire.Client) (wire.Session, error) {
	if _, v, _ := gms.SystemVariables.GetGlobal("require_secure_transport"); isOn(v) && c.TLS == nil && !c.Unix {
		return nil, mysqlError(3159, "Connections using insecure transport are prohibited while --require_secure_transport=ON.")
	}
	s, err := e.newSession(c)
	if err != nil {
		return nil, err
	}
	// Behind newSession: who closes all sessions because of what serves says finds this one.
	if err := s.served(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (e *Engine) newSession(c wire.Client) (*Session, error) {
	// The account's host stands for the client's in grants and CURRENT_USER().
	client := gms.Client{User: c.Account.User, Address: c.Account.Host, Capabilities: c.Capabilities}
	s := &Session{
		BaseSession: gms.NewBaseSessionWithClientServer("", client, c.ID),
		engine:      e,
		client:      c,
		temporary:   map[string]*temporaryTable{},
		userLocks:   e.userLocks.Owner(c.ID),
		roles:       startingRoles(),
	}
	s.doing.ID = c.ID
	if s.ofSite() != nil || s.ofBalancer() {
		e.ensureSiteUser(c.Account.User)
	}
	s.SetConnectionId(c.ID)
	s.packet = maxAllowedPacket()
	gctx := s.context(context.Background(), "")
	if c.Collation != 0 {
		name := c.Collation.CharacterSet().Name()
		for _, v := range []string{"character_set_client", "character_set_connection", "character_set_results"} {
			if err := s.SetSessionVariable(gctx, v, name); err != nil {
				return nil, clientError(err, "")
			}
		}
		if err := s.SetSessionVariable(gctx, "collation_connection", c.Collation.Name()); err != nil {
			return nil, clientError(err, "")
		}
	}
	if err := s.takeInteractiveTimeout(gctx); err != nil {
		return nil, clientError(err, "")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions[c.ID] != nil {
		return nil, fmt.Errorf("connection %d has a session already", c.ID)
	}
	e.sessions[c.ID] = s
	e.gms.ProcessList.AddConnection(c.ID, c.Addr.String())
	e.gms.ProcessList.ConnectionReady(processSession{s})
	return s, nil
}

func (e *Engine) closed(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions[s.ID()] == s {
		delete(e.sessions, s.ID())
		s.tally.addTo(&e.ended)
	}
}

// Transactions is the number of transactions that sessions have open.
func (e *Engine) Transactions() int64 { return e.open.Load() }

// Databases are the names of the databases, in order.
func (e *Engine) Databases() []string {
	var names []string
	for _, d := range e.db.Catalog().Databases() {
		if d.Name != temporaryDatabase {
			names = append(names, d.Name)
		}
	}
	sort.Strings(names)
	return names
}

// Catalog is the newest published catalog.
func (e *Engine) Catalog() *store.Catalog { return e.db.Catalog() }

// context makes the planner's context of one statement.
func (s *Session) context(ctx context.Context, query string) *gms.Context {
	e := s.engine
	gctx := gms.NewContext(ctx,
		gms.WithSession(s),
		gms.WithPid(e.pid.Add(1)),
		gms.WithQuery(query),
		gms.WithMemoryManager(e.gms.MemoryManager),
		gms.WithProcessList(e.gms.ProcessList),
		gms.WithServices(gms.Services{KillConnection: e.opts.KillConnection}),
	)
	at := gctx.QueryTime()
	if s.replay != nil {
		at = s.replay.query.Begun
	} else if now := s.settingsNow().now; !now.IsZero() {
		at = now
	}
	gctx.SetQueryTime(at.Truncate(time.Microsecond)) // as the binary log tells it
	return gctx
}
