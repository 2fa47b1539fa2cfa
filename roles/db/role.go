package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
	"stack/roles/db/binlog"
	"stack/roles/db/slowlog"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/wire"
	"stack/tls"
)

// drainTransactions is how long running transactions get at a stop or upgrade.
const drainTransactions = 5 * time.Second

// Role is the database of one node.
type Role struct {
	env supervise.Env

	data    *data // opened by the first Prepare, until Close
	server  *wire.Server
	current atomic.Pointer[state]
	metrics *metrics
	slow    *slowlog.Log

	mu        sync.Mutex
	listeners map[string]net.Listener // by address or socket path
	serving   sync.WaitGroup
	drained   bool

	jobs *jobs

	asked sync.RWMutex // held by who asks for figures; data is closed under it

	site     sync.WaitGroup     // what works with the other database servers
	stopSite context.CancelFunc // nil: nothing does
}

// state is one configuration in force.
type state struct {
	node  *config.Node
	certs *tls.Certificates
	stop  context.CancelFunc // of the certificates' upkeep
	users []user
}

var _ supervise.Role = (*Role)(nil)

// New makes the role; Prepare opens it.
func New(env supervise.Env) (supervise.Role, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	r := &Role{env: env, listeners: map[string]net.Listener{}, jobs: newJobs()}
	r.metrics = &metrics{role: r}
	r.slow = slowlog.New(os.Stdout, env.Log)
	if env.Metrics != nil {
		if err := env.Metrics.Register(r.metrics); err != nil {
			return nil, fmt.Errorf("register the metrics of db: %w", err)
		}
		if err := env.Metrics.Register(tls.NewCollector(r.certificates)); err != nil {
			return nil, fmt.Errorf("register the metrics of db: %w", err)
		}
	}
	return r, nil
}

// timerSlack is how late threads may wake from sleeps. The Go runtime's monitor sleeps for 20 µs at a time while there
// are statements, for which the kernel's own 50 µs make it wake thousands of times a second.
const timerSlack = 200 * time.Microsecond

// Process is what the child process of a node gets.
func Process(node *config.Node) supervise.Process {
	return supervise.Process{MemoryLimit: node.DB.Memory, Drain: drainTransactions, TimerSlack: timerSlack}
}

// Probe checks, read-only, that this binary could run the node's database: the
// configuration, its secrets and the format of the data.
func Probe(node *config.Node) error {
	if err := supported(node.DB); err != nil {
		return err
	}
	if err := store.Probe(node.DB.DataDir); err != nil {
		return err
	}
	if _, err := tls.New(node.DB.TLS, node); err != nil {
		return err
	}
	_, _, err := passwords(node, false)
	return err
}

func supported(c *config.DB) error {
	if c.Role != "" && c.Role != "primary" {
		return fmt.Errorf("db.role %s is not available in this version: only primary", c.Role)
	}
	return nil
}

// Prepare opens the database the first time. Later it checks what a reload asks for,
// and makes databases and accounts that are new.
func (r *Role) Prepare(ctx context.Context, node *config.Node, listeners *sockets.Set) (supervise.Change, error) {
	if err := supported(node.DB); err != nil {
		return supervise.Change{}, err
	}
	old := r.current.Load()
	if old != nil {
		if err := errors.Join(needsRestart(old.node.DB, node.DB), sameSite(old.node, node)); err != nil {
			return supervise.Change{}, err
		}
	}
	certs, err := tls.New(node.DB.TLS, node)
	if err != nil {
		return supervise.Change{}, err
	}
	wcfg, err := r.front(node, certs)
	if err != nil {
		return supervise.Change{}, err
	}
	root, users, err := passwords(node, true)
	if err != nil {
		return supervise.Change{}, err
	}
	if err := r.checkArchive(old, node); err != nil {
		return supervise.Change{}, err
	}
	slow, err := r.slow.Prepare(node.DB.SlowLog)
	if err != nil {
		return supervise.Change{}, err
	}
	opened, err := r.listen(node, listeners)
	if err != nil {
		slow.Abort()
		return supervise.Change{}, err
	}
	undo := joinUndo(closeAll(opened), slow.Abort)
	first := r.data == nil
	if first {
		if err := r.open(node, wcfg); err != nil {
			undo()
			return supervise.Change{}, err
		}
		undo = joinUndo(undo, r.closeData)
	}
	made, err := r.ensure(ctx, node, root, users)
	if errors.Is(err, errAnew) {
		// Before a client sees what the primary lacks.
		r.closeData()
		if err = r.open(node, wcfg); err == nil {
			made, err = r.ensure(ctx, node, root, users)
		}
	}
	undo = joinUndo(made, undo)
	if err != nil {
		undo()
		return supervise.Change{}, err
	}
	next := &state{node: node, certs: certs, users: users}
	return supervise.Change{
		Commit: func() {
			slow.Commit()
			r.commit(old, next, wcfg, opened)
			if old != nil {
				r.setRoot(root)
			}
		},
		Abort: undo,
	}, nil
}

// open opens the database and readies the front for it.
func (r *Role) open(node *config.Node, wcfg wire.Config) (err error) {
	if r.data, err = openData(node, r.env, r.kill); err != nil {
		return err
	}
	if r.server, err = wire.New(wcfg, r.data.engine); err != nil {
		r.closeData()
		return err
	}
	r.data.engine.SetFront(r.server.Stats)
	r.data.engine.SetSlowLog(r.logSlow)
	return nil
}

// checkArchive refuses an archive of the binary log that cannot be written. A node that starts with one
// serves all the same: the log keeps its files.
func (r *Role) checkArchive(old *state, node *config.Node) error {
	dir := node.DB.Binlog.Archive
	if dir == "" || old != nil && old.node.DB.Binlog.Archive == dir {
		return nil
	}
	err := binlog.CheckArchive(dir)
	if err != nil && old == nil {
		r.env.Log.Error("the binary log will keep all of its files: " + err.Error())
		return nil
	}
	return err
}

// needsRestart refuses changes that a running database cannot take.
func needsRestart(old, next *config.DB) error {
	switch {
	case old.DataDir != next.DataDir:
		return fmt.Errorf("db.data_dir cannot change from %s to %s while the database runs: restart the node", old.DataDir, next.DataDir)
	case old.Memory != next.Memory:
		return fmt.Errorf("db.memory cannot change from %s to %s while the database runs: restart the node",
			config.FormatSize(old.Memory), config.FormatSize(next.Memory))
	}
	return nil
}

// listen makes listeners for the addresses that are not served yet.
func (r *Role) listen(node *config.Node, set *sockets.Set) (map[string]net.Listener, error) {
	opened := map[string]net.Listener{}
	fail := func(err error) (map[string]net.Listener, error) {
		closeAll(opened)()
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range node.Binds {
		if b.Role != "db" || r.listeners[b.Addr.String()] != nil {
			continue
		}
		for i, fd := range set.Get(b.Addr) {
			l, err := sockets.Listener(fd)
			if err != nil {
				return fail(err)
			}
			opened[listenerKey(b.Addr, i)] = l
		}
	}
	if path := node.DB.Socket; path != "" && r.listeners[path] == nil {
		l, err := listenUnix(path)
		if err != nil {
			return fail(err)
		}
		opened[path] = l
	}
	return opened, nil
}

// listenerKey names the i-th socket of an address.
func listenerKey(addr netip.AddrPort, i int) string {
	if i == 0 {
		return addr.String()
	}
	return fmt.Sprintf("%s#%d", addr, i)
}

// commit puts a prepared configuration in force.
func (r *Role) commit(old, next *state, wcfg wire.Config, opened map[string]net.Listener) {
	ctx, stop := context.WithCancel(context.Background())
	next.stop = stop
	go next.certs.Maintain(ctx, r.env.Log)
	if old != nil {
		old.stop()
		if err := r.server.Reconfigure(wcfg); err != nil {
			// front made this from a checked configuration.
			r.env.Log.Error("the protocol front keeps its old settings", "error", err)
		}
	}
	r.data.engine.SetQueryMemory(next.node.DB.QueryMemory)
	r.data.donor.SetRate(next.node.DB.SeedRate)
	r.data.db.Binlog().SetBounds(next.node.DB.Binlog.Keep, next.node.DB.Binlog.MaxSize)
	r.data.db.Binlog().SetArchive(next.node.DB.Binlog.Archive)
	if err := sql.SetBinlogFiles(next.node.DB.Binlog.Keep, r.data.db.Binlog().FileSize()); err != nil {
		r.env.Log.Error("the variables of the binary log are shown with their old values", "error", err)
	}
	if err := sql.SetMaxConnections(next.node.DB.MaxConnections); err != nil {
		r.env.Log.Error("max_connections is shown with its old value", "error", err)
	}
	// SET GLOBAL stays where the file has not changed.
	if old == nil || old.node.DB.LockWaitTimeout != next.node.DB.LockWaitTimeout {
		r.data.db.SetLockWaitTimeout(next.node.DB.LockWaitTimeout)
		if err := sql.SetLockWaitTimeout(next.node.DB.LockWaitTimeout); err != nil {
			r.env.Log.Error("innodb_lock_wait_timeout keeps its old value", "error", err)
		}
	}
	if old == nil || old.node.DB.SlowLog != next.node.DB.SlowLog {
		s := next.node.DB.SlowLog
		if err := sql.SetSlow(s.Enabled, s.Time, s.NotUsingIndexes); err != nil {
			r.env.Log.Error("the variables of the slow log keep their old values", "error", err)
		}
	}
	r.current.Store(next)
	r.joinSite(old == nil, next)
	if old == nil && r.data.member == nil {
		r.data.replica.Resume()
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	for key, l := range r.listeners {
		if !wanted(next.node, key) {
			l.Close()
			delete(r.listeners, key)
		}
	}
	for key, l := range opened {
		r.listeners[key] = l
		r.serving.Add(1)
		go r.serve(key, l)
	}
}

func wanted(node *config.Node, key string) bool {
	if key == node.DB.Socket {
		return true
	}
	for _, b := range node.Binds {
		if b.Role != "db" {
			continue
		}
		name := b.Addr.String()
		if key == name || len(key) > len(name) && key[:len(name)+1] == name+"#" {
			return true
		}
	}
	return false
}

func (r *Role) serve(key string, l net.Listener) {
	defer r.serving.Done()
	if err := r.server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		r.env.Log.Error("the database no longer accepts connections here", "address", key, "error", err)
	}
}

// kill is KILL of a connection.
func (r *Role) kill(id uint32) error {
	r.server.Kill(id, false)
	return nil
}

// Drain lets running transactions end, for 5 s at most, then closes every session with
// error 1053.
func (r *Role) Drain(ctx context.Context, _ *sockets.Passage) error {
	if r.server == nil {
		return nil
	}
	r.mu.Lock()
	r.drained = true
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, drainTransactions)
	defer cancel()
	if err := r.server.Drain(ctx); err != nil {
		r.env.Log.Info("sessions with an open transaction were closed", "after", drainTransactions)
	}
	return nil
}

// Adopt refuses: only one process has the database open, and its connections end with
// it.
func (r *Role) Adopt(fd int, _ []byte) { closeFD(fd) }

// Close ends everything at once.
func (r *Role) Close() error {
	if st := r.current.Load(); st != nil {
		st.stop()
	}
	var errs []error
	r.leaveSite()
	if r.server != nil {
		errs = append(errs, r.server.Close())
	}
	r.mu.Lock()
	for key, l := range r.listeners {
		l.Close()
		delete(r.listeners, key)
	}
	r.mu.Unlock()
	r.serving.Wait()
	r.jobs.end()
	if r.data != nil {
		// The supervisor asks until the end of the process, and once more then.
		r.metrics.keep()
		r.asked.Lock()
		r.current.Store(nil)
		r.asked.Unlock()
		errs = append(errs, r.data.close())
		r.data = nil
	}
	r.slow.Close()
	return errors.Join(errs...)
}

// logSlow puts a statement into the slow log.
func (r *Role) logSlow(s sql.SlowStatement) { r.slow.Add(slowlog.Entry(s)) }

func (r *Role) closeData() {
	if r.server != nil {
		r.server.Close()
		r.server = nil
	}
	if r.data == nil {
		return // it was not opened
	}
	if err := r.data.close(); err != nil {
		r.env.Log.Error("close the database again", "error", err)
	}
	r.data = nil
}

// Control serves /v1/db/.
func (r *Role) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/db/status", r.showStatus)
	mux.HandleFunc("POST /v1/db/backup", r.backUp)
	mux.HandleFunc("POST /v1/db/check", r.check)
	mux.HandleFunc("POST /v1/db/promote", r.promote)
	mux.HandleFunc("POST /v1/db/switchover", r.switchOver)
	return mux
}

// front is the configuration of the protocol front.
func (r *Role) front(node *config.Node, certs *tls.Certificates) (wire.Config, error) {
	tc := certs.Config()
	if err := verifyClients(tc, node); err != nil {
		return wire.Config{}, err
	}
	return wire.Config{
		Version:        sql.Version,
		TLS:            tc,
		ProxyFrom:      node.DB.ProxyFrom,
		MaxConnections: node.DB.MaxConnections,
		CursorDir:      cursorDir(node),
		Log:            r.env.Log,
	}, nil
}

func (r *Role) certificates() []tls.Info {
	if st := r.current.Load(); st != nil {
		return st.certs.List()
	}
	return nil
}

func closeAll(listeners map[string]net.Listener) func() {
	return func() {
		for _, l := range listeners {
			l.Close()
		}
	}
}

func joinUndo(first, then func()) func() {
	return func() {
		first()
		then()
	}
}
