package db

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics collects stack_db_*. Everything is read when asked for; counting costs an
// atomic where it happens.
type metrics struct{ role *Role }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("stack_db_"+name, help, labels, nil)
}

var (
	descConnections  = desc("connections", "Client connections that are open.")
	descMaxConn      = desc("max_connections", "Client connections allowed.")
	descOpened       = desc("connections_opened_total", "Client connections accepted.")
	descAborted      = desc("connections_aborted_total", "Client connections that ended before or without a proper end, by when.", "when")
	descAuthFailures = desc("authentication_failures_total", "Logins refused for a wrong name or password.")
	descCommands     = desc("commands_total", "Protocol commands, by name.", "command")
	descStatements   = desc("statements_total", "SQL statements, by kind.", "kind")
	descDirect       = desc("direct_statements_total", "Statements answered without the planner.")
	descLeft         = desc("direct_refused_total", "Statements left to the planner, by why.", "reason")
	descErrors       = desc("errors_total", "Errors sent to clients, by MySQL error number.", "code")
	descTransactions = desc("transactions", "Transactions that are open.")
	descCommits      = desc("commits_total", "Transactions that wrote and were committed.")
	descCommitTime   = desc("commit_seconds", "Time of a commit, from the client's request to the answer.")
	descGroups       = desc("commit_groups_total", "Batches that commits were written in.")
	descGroupSize    = desc("commit_group_size", "Transactions in a batch.")
	descLockWaits    = desc("lock_waits_total", "Times that a transaction had to wait for a lock.")
	descLockWaiting  = desc("lock_waiting", "Transactions that wait for a lock.")
	descDeadlocks    = desc("deadlocks_total", "Transactions that were rolled back because they and others waited for each other.")
	descViews        = desc("views", "Views that readers hold.")
	descOldestView   = desc("oldest_view_seconds", "Age of the oldest view; while it lives nothing newer is cleaned up.")
	descDisk         = desc("disk_bytes", "Bytes that the data takes on disk.")
	descFree         = desc("disk_free_bytes", "Bytes free on the data directory's file system.")
	descReserve      = desc("disk_reserve_bytes", "Bytes kept free: with fewer, writes are refused.")
	descNetwork      = desc("network_bytes_total", "Bytes of the protocol, by direction.", "direction")
	descPosition     = desc("position", "Number of the last transaction that was executed.")
	descLogFiles     = desc("binlog_files", "Files of the binary log.")
	descLogBytes     = desc("binlog_bytes", "Bytes of the binary log, by where they are: file or tail, the part that is in the store.", "part")
)

// Describe sends nothing: what is collected depends on whether the database is open.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { ch <- descConnections }

// Collect reads everything once.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	r := m.role
	st := r.current.Load()
	if st == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	front := r.server.Stats()
	gauge(descConnections, float64(front.Connections))
	gauge(descMaxConn, float64(st.node.DB.MaxConnections))
	counter(descOpened, front.Opened)
	counter(descAborted, front.AbortedConnects, "login")
	counter(descAborted, front.AbortedClients, "session")
	counter(descAuthFailures, front.AuthFailures)
	for name, n := range front.Commands {
		counter(descCommands, n, name)
	}
	for code, n := range front.Errors {
		counter(descErrors, n, strconv.Itoa(int(code)))
	}
	counter(descNetwork, front.BytesIn, "in")
	counter(descNetwork, front.BytesOut, "out")

	c := r.data.engine.Counters()
	for kind, n := range c.Statements {
		counter(descStatements, n, kind)
	}
	counter(descDirect, c.Direct)
	for reason, n := range c.Left {
		counter(descLeft, n, reason)
	}
	ch <- prometheus.MustNewConstHistogram(descCommitTime, c.Commits, c.CommitSeconds, c.CommitBuckets)
	gauge(descTransactions, float64(r.data.engine.Transactions()))

	s := r.data.db.Stats()
	counter(descCommits, s.Commits)
	counter(descGroups, s.Groups)
	counter(descLockWaits, s.LockWaits)
	gauge(descLockWaiting, float64(s.LockWaiting))
	counter(descDeadlocks, s.Deadlocks)
	gauge(descViews, float64(s.Views))
	gauge(descOldestView, s.OldestViewAge.Seconds())
	gauge(descPosition, float64(r.data.db.Executed().Seq))
	files := r.data.db.Binlog().Files()
	var sealed, tail uint64
	for _, f := range files {
		sealed += f.Sealed
		tail += f.Size - f.Sealed
	}
	gauge(descLogFiles, float64(len(files)))
	for part, n := range map[string]uint64{"file": sealed, "tail": tail} {
		ch <- prometheus.MustNewConstMetric(descLogBytes, prometheus.GaugeValue, float64(n), part)
	}
	count, sum, buckets := r.data.groups.read()
	ch <- prometheus.MustNewConstHistogram(descGroupSize, count, sum, buckets)

	free, reserve := r.data.store.FreeSpace()
	gauge(descFree, float64(free))
	gauge(descReserve, float64(reserve))
	gauge(descDisk, float64(r.data.store.DB.Metrics().DiskSpaceUsage()))
}

// groups counts how many transactions share a batch.
type groups struct {
	mu     sync.Mutex
	counts [9]uint64 // up to 1, 2, 4 … 256 transactions
	sum    uint64
}

func (g *groups) observe(transactions int, _ time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sum += uint64(transactions)
	for i := range g.counts {
		if transactions <= 1<<i {
			g.counts[i]++
			return
		}
	}
	g.counts[len(g.counts)-1]++
}

func (g *groups) read() (count uint64, sum float64, buckets map[float64]uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	buckets = map[float64]uint64{}
	for i, n := range g.counts {
		count += n
		buckets[float64(int(1)<<i)] = count
	}
	return count, float64(g.sum), buckets
}
