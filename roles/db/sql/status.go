package sql

import (
	"crypto/tls"
	"sort"

	"sync"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/wire"
)

// uncounted makes the planner count nothing: its counters are the process's, some of them stand
// for nothing here, and every session would have a copy of all.
var uncounted sync.Once

// noStatus is the planner's registry of status variables, with none.
type noStatus struct{}

var _ gms.StatusVariableRegistry = noStatus{}

// NewSessionMap is empty.
func (noStatus) NewSessionMap() map[string]gms.StatusVarValue { return nil }

// NewGlobalMap is empty.
func (noStatus) NewGlobalMap() map[string]gms.StatusVarValue { return nil }

// GetGlobal finds nothing.
func (noStatus) GetGlobal(string) (gms.StatusVariable, any, bool) { return nil, nil, false }

// SetGlobal keeps nothing.
func (noStatus) SetGlobal(string, any) error { return nil }

// IncrementGlobal counts nothing.
func (noStatus) IncrementGlobal(string, int) {}

// SetFront says who knows about connections.
func (e *Engine) SetFront(stats func() wire.Stats) { e.front.Store(&stats) }

// showStatus is SHOW STATUS, without its condition.
func showStatus(ctx *gms.Context) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	show, ok := s.running.st.(*sqlparser.Show)
	return gms.RowsToRowIter(s.statusRows(ok && show.Scope == sqlparser.GlobalStr)...), nil
}

// statusRows are the status variables in order. Of those that MySQL keeps by session, a session
// sees its own unless it asks for all of them.
func (s *Session) statusRows(global bool) []gms.Row {
	values := map[string]any{}
	s.engine.serverStatus(values)
	s.engine.frontStatus(values)
	if global {
		s.engine.totals().status(values)
	} else {
		s.tally.status(values)
		s.trafficStatus(values)
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	rows := make([]gms.Row, len(names))
	for i, name := range names {
		rows[i] = gms.Row{name, values[name]}
	}
	return rows
}

// number is a status variable's value.
type number interface{ ~int | ~int64 | ~uint64 }

func put[T number](values map[string]any, name string, n T) {
	values[name] = uint64(max(n, 0))
}

// status are the variables that are counted by session.
func (t *tally) status(values map[string]any) {
	for c := commandNone + 1; c < commands; c++ {
		put(values, "Com_"+commandNames[c], t.commands[c].Load())
	}
	n := func(list ...item) (sum uint64) {
		for _, i := range list {
			sum += t.items[i].Load()
		}
		return sum
	}
	put(values, "Questions", n(itemQuestions))
	put(values, "Queries", n(itemQueries))
	put(values, "Slow_queries", n(itemSlow))
	put(values, "Select_scan", n(itemSelectScan))
	put(values, "Sort_rows", n(itemSorted))
	put(values, "Handler_commit", n(itemCommits))
	put(values, "Handler_rollback", n(itemRollbacks))
	put(values, "Handler_read_key", n(itemKeyReads, itemRangeReads))
	put(values, "Handler_read_first", n(itemScans))
	put(values, "Handler_read_next", n(itemRangeRows))
	put(values, "Handler_read_rnd_next", n(itemScanRows))
	put(values, "Handler_write", n(itemInserted))
	put(values, "Handler_update", n(itemUpdated))
	put(values, "Handler_delete", n(itemDeleted))
}

// serverStatus are the variables of the server.
func (e *Engine) serverStatus(values map[string]any) {
	st := e.db.Stats()
	m := e.sizes.store.DB.Metrics()
	t := e.totals()
	up := time.Since(e.start) / time.Second
	put(values, "Uptime", up)
	put(values, "Uptime_since_flush_status", up)
	put(values, "Threads_running", e.running())
	e.mu.Lock()
	put(values, "Threads_connected", len(e.sessions))
	e.mu.Unlock()

	put(values, "Innodb_row_lock_waits", st.RowLockWaits)
	put(values, "Innodb_row_lock_current_waits", st.LockWaiting)
	put(values, "Innodb_row_lock_time", st.RowLockWait.Milliseconds())
	put(values, "Innodb_row_lock_time_max", st.RowLockWaitMost.Milliseconds())
	put(values, "Innodb_row_lock_time_avg", st.RowLockWait.Milliseconds()/int64(max(st.RowLockWaits, 1)))
	put(values, "Innodb_deadlocks", st.Deadlocks)
	put(values, "Innodb_rows_read", t.items[itemKeyRows].Load()+t.items[itemRangeRows].Load()+t.items[itemScanRows].Load())
	put(values, "Innodb_rows_inserted", t.items[itemInserted].Load())
	put(values, "Innodb_rows_updated", t.items[itemUpdated].Load())
	put(values, "Innodb_rows_deleted", t.items[itemDeleted].Load())

	put(values, "Innodb_buffer_pool_bytes_data", m.BlockCache.Size)
	put(values, "Innodb_buffer_pool_read_requests", m.BlockCache.Hits+m.BlockCache.Misses)
	put(values, "Innodb_buffer_pool_reads", m.BlockCache.Misses)
	put(values, "Innodb_os_log_written", m.WAL.BytesWritten)
	written := m.WAL.BytesWritten
	for i := range m.Levels {
		written += m.Levels[i].TableBytesFlushed + m.Levels[i].TableBytesCompacted
	}
	put(values, "Innodb_data_written", written)
	if fsyncs := store.Fsyncs(m); fsyncs != nil {
		put(values, "Innodb_os_log_fsyncs", fsyncs.Count)
	}
}

// running is how many connections run a statement.
func (e *Engine) running() (n int) {
	for _, p := range e.gms.ProcessList.Processes() {
		if p.Command == gms.ProcessCommandQuery {
			n++
		}
	}
	return n
}

// frontStatus are the variables about connections.
func (e *Engine) frontStatus(values map[string]any) {
	f := wire.Stats{}
	if stats := e.front.Load(); stats != nil {
		f = (*stats)()
	}
	put(values, "Connections", f.Opened)
	put(values, "Max_used_connections", f.MaxConnections)
	put(values, "Aborted_clients", f.AbortedClients)
	put(values, "Aborted_connects", f.AbortedConnects)
	put(values, "Connection_errors_max_connections", f.Refused[1040])
	put(values, "Bytes_received", f.BytesIn)
	put(values, "Bytes_sent", f.BytesOut)
	put(values, "Prepared_stmt_count", f.Statements)
	preparedStatus(values, func(command string) uint64 { return f.Commands[command] })
}

// trafficStatus are the variables about the session's connection.
func (s *Session) trafficStatus(values map[string]any) {
	t := s.client.Traffic
	if t == nil {
		t = &wire.Traffic{}
	}
	put(values, "Bytes_received", t.In.Load())
	put(values, "Bytes_sent", t.Out.Load())
	preparedStatus(values, t.Command)
	values["Ssl_cipher"], values["Ssl_version"] = "", ""
	if c := s.client.TLS; c != nil {
		values["Ssl_cipher"], values["Ssl_version"] = tls.CipherSuiteName(c.CipherSuite), tls.VersionName(c.Version)
	}
}

// preparedStatus are the variables about prepared statements of the binary protocol. They are
// planned at each execution: none is ever prepared again.
func preparedStatus(values map[string]any, count func(command string) uint64) {
	for name, command := range map[string]string{
		"prepare": "stmt_prepare", "execute": "stmt_execute", "close": "stmt_close", "fetch": "stmt_fetch", "reset": "stmt_reset",
		"send_long_data": "stmt_send_long_data",
	} {
		put(values, "Com_stmt_"+name, count(command))
	}
	put(values, "Com_stmt_reprepare", 0)
}
