package db

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/roles/db/replica"
	"stack/roles/db/store"
)

// metrics collects stack_db_*. Everything is read when asked for; counting costs an
// atomic where it happens.
type metrics struct {
	role *Role
	last []prometheus.Metric // once the database is closed: what it counted until then
}

// keep holds what there is for whoever asks when the database is closed: its counters go on in the next process.
func (m *metrics) keep() {
	ch := make(chan prometheus.Metric)
	go func() {
		defer close(ch)
		m.Collect(ch)
	}()
	var last []prometheus.Metric
	for x := range ch {
		last = append(last, x)
	}
	m.last = last
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("stack_db_"+name, help, labels, nil)
}

var (
	descConnections    = desc("connections", "Client connections that are open.")
	descMaxConn        = desc("max_connections", "Client connections allowed.")
	descOpened         = desc("connections_opened_total", "Client connections accepted.")
	descAborted        = desc("connections_aborted_total", "Client connections that ended before or without a proper end, by when.", "when")
	descAuthFailures   = desc("authentication_failures_total", "Logins refused for a wrong name or password.")
	descCommands       = desc("commands_total", "Protocol commands, by name.", "command")
	descStatements     = desc("statements_total", "SQL statements, of clients and of routines, by kind and by who answered them: direct, or the planner.", "kind", "path")
	descLatency        = desc("statement_seconds", "Time of a client's statement, from its arrival to its last row, by who answered it.", "path")
	descSlow           = desc("slow_statements_total", "Statements that took long_query_time, or read a whole index while log_queries_not_using_indexes is on.")
	descSlowLog        = desc("slow_log_statements_total", "Statements for the slow log, by what became of them.", "result")
	descRowsSent       = desc("rows_sent_total", "Rows sent to clients.")
	descRowsRead       = desc("rows_read_total", "Rows looked at by statements.")
	descRowsWritten    = desc("rows_written_total", "Rows written by statements, those that were rolled back included, by what was done.", "change")
	descDirect         = desc("direct_statements_total", "Statements answered without the planner.")
	descLeft           = desc("direct_refused_total", "Statements left to the planner, by why.", "reason")
	descErrors         = desc("errors_total", "Errors sent to clients, by MySQL error number.", "code")
	descTransactions   = desc("transactions", "Transactions that are open.")
	descCommits        = desc("commits_total", "Transactions that wrote and were committed.")
	descCommitTime     = desc("commit_seconds", "Time of a commit, from the client's request to the answer.")
	descGroups         = desc("commit_groups_total", "Batches that commits were written in.")
	descGroupSize      = desc("commit_group_size", "Transactions in a batch.")
	descLockWaits      = desc("lock_waits_total", "Times that a transaction had to wait for a lock.")
	descLockWaiting    = desc("lock_waiting", "Transactions that wait for a lock.")
	descLockSeconds    = desc("lock_wait_seconds_total", "Time that transactions have waited for locks, by what is locked: rows, or the definition of a table.", "lock")
	descDeadlocks      = desc("deadlocks_total", "Transactions that were rolled back because they and others waited for each other.")
	descViews          = desc("views", "Views that readers hold.")
	descOldestView     = desc("oldest_view_seconds", "Age of the oldest view; while it lives nothing newer is cleaned up.")
	descVersionFlushes = desc("version_flushes_total", "Flushes of memory because old versions and deletions in it slowed down reads.")
	descFsync          = desc("fsync_seconds", "Time of a sync of the store's log.")
	descLevelFiles     = desc("level_files", "Files of the store, by level.", "level")
	descLevelBytes     = desc("level_bytes", "Bytes of the store's files, by level.", "level")
	descReadAmp        = desc("read_amplification", "Places where a read of the store may have to look.")
	descCompactions    = desc("compactions_total", "Compactions of the store.")
	descCompacting     = desc("compactions_running", "Compactions that run.")
	descCompactDebt    = desc("compaction_debt_bytes", "Bytes that wait for a compaction.")
	descFlushes        = desc("flushes_total", "Memtables that became files.")
	descStalls         = desc("write_stalls_total", "Times that writes were held up because memtables or the first level were full.")
	descStallSeconds   = desc("write_stall_seconds_total", "Time that writes were held up.")
	descCache          = desc("block_cache_reads_total", "Blocks of the store that were asked for, by whether they were in the cache.", "result")
	descMemory         = desc("memory_bytes", "Memory, by what holds it: the block cache, memtables, the write sets of transactions.", "part")
	descDisk           = desc("disk_bytes", "Bytes that the data takes on disk.")
	descFree           = desc("disk_free_bytes", "Bytes free on the data directory's file system, and those that are held for a full one.")
	descSpare          = desc("disk_spare_bytes", "Bytes that are held for a full file system: where no more are free, it is full.")
	descReserve        = desc("disk_reserve_bytes", "Bytes kept free: with fewer, writes are refused.")
	descNetwork        = desc("network_bytes_total", "Bytes of the protocol, by direction.", "direction")
	descPosition       = desc("position", "Number of the last transaction that was executed.")
	descEpoch          = desc("epoch", "Epoch that the server has accepted.")
	descWritable       = desc("writable", "1 where the server takes writes.")
	descAckNeed        = desc("acks_needed", "Other servers that must have a commit on disk before it is answered.")
	descAckRefusing    = desc("acks_refusing", "1 while new writes are refused because replicas do not acknowledge.")
	descAckDegraded    = desc("acks_degraded", "1 while commits are answered without the acknowledgements that they should have.")
	descAckBehind      = desc("acks_behind", "Transactions of this server that a replica has not acknowledged.", "replica")
	descTurnedAway     = desc("clients_turned_away", "1 while clients are turned away because the end of the log may be on no other server.")
	descSeeding        = desc("seed_needed", "1 while the data cannot follow the primary's and a copy of that is fetched or waited for.")
	descSeedFailures   = desc("seed_failures", "Attempts in a row to fetch a copy of the primary's data that have failed.")
	descLogFiles       = desc("binlog_files", "Files of the binary log.")
	descFollows        = desc("replica_running", "Whether the log of the source comes and is applied: 1, else 0. Only where a source is configured.")
	descLag            = desc("replica_lag_seconds", "Age of the oldest transaction of the source that is not durable here, by the source's clock. Absent where the source is not heard.")
	descBinlogTrouble  = desc("binlog_in_trouble", "1 while the binary log cannot be moved to its files or its archive, and grows.")
	descRelayBytes     = desc("replica_relay_bytes", "Size of the relay log.")
	descBehind         = desc("replica_behind_transactions", "Transactions of the source, as far as it has told, that are not durable here.")
	descApplied        = desc("replica_applied_total", "Transactions of the source that were applied.")
	descReconnects     = desc("replica_reconnects_total", "Times that the source was connected to again.")
	descDiverged       = desc("replica_diverged", "1 where the data was found to be another than the source's.")
	descReaders        = desc("binlog_readers", "Connections that read the binary log.")
	descReadersSent    = desc("binlog_sent_bytes_total", "Bytes of the binary log sent to readers.")
	descReadersEvents  = desc("binlog_sent_events_total", "Events of the binary log sent to readers.")
	descDumps          = desc("binlog_dumps_total", "Times that a reader of the binary log began.")
	descReaderFile     = desc("binlog_reader_file", "Number of the file of the binary log that a reader is in.", "server_id", "host")
	descReaderOffset   = desc("binlog_reader_offset_bytes", "Offset in the file up to which a reader was sent the binary log.", "server_id", "host")
	descLogBytes       = desc("binlog_bytes", "Bytes of the binary log, by where they are: file or tail, the part that is in the store.", "part")
)

// Describe sends nothing: what is collected depends on whether the database is open.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { ch <- descConnections }

// Collect reads everything once.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	r := m.role
	r.asked.RLock()
	defer r.asked.RUnlock()
	st := r.current.Load()
	if st == nil {
		for _, x := range m.last {
			ch <- x
		}
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
	for _, s := range c.Statements {
		counter(descStatements, s.N, s.Kind, s.Path)
	}
	for _, l := range c.Latency {
		ch <- prometheus.MustNewConstHistogram(descLatency, l.Count, l.Seconds, l.Buckets, l.Path)
	}
	counter(descSlow, c.Slow)
	written, dropped := r.slow.Counts()
	counter(descSlowLog, written, "written")
	counter(descSlowLog, dropped, "dropped")
	counter(descRowsSent, c.RowsSent)
	counter(descRowsRead, c.RowsRead)
	counter(descRowsWritten, c.RowsInserted, "insert")
	counter(descRowsWritten, c.RowsUpdated, "update")
	counter(descRowsWritten, c.RowsDeleted, "delete")
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
	seconds := func(d *prometheus.Desc, v time.Duration, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v.Seconds(), labels...)
	}
	seconds(descLockSeconds, s.RowLockWait, "row")
	seconds(descLockSeconds, s.TableLockWait, "definition")
	counter(descDeadlocks, s.Deadlocks)
	gauge(descViews, float64(s.Views))
	gauge(descOldestView, s.OldestViewAge.Seconds())
	counter(descVersionFlushes, s.Flushes)
	gauge(descPosition, float64(r.data.db.Executed().Seq))
	flag := func(d *prometheus.Desc, on bool) {
		v := 0.0
		if on {
			v = 1
		}
		gauge(d, v)
	}
	gauge(descEpoch, float64(r.data.db.Epoch()))
	flag(descWritable, !r.data.db.ReadOnly())
	a := r.data.db.AckStatus()
	gauge(descAckNeed, float64(a.Need))
	flag(descAckRefusing, a.Stalled)
	flag(descAckDegraded, a.Degraded)
	for _, m := range a.States {
		ch <- prometheus.MustNewConstMetric(descAckBehind, prometheus.GaugeValue, float64(a.Logged-m.Seq), m.Member)
	}
	if m := r.data.member; m != nil {
		x := m.seeder.status()
		flag(descTurnedAway, m.turnsAway())
		flag(descSeeding, x != nil)
		if x == nil {
			x = &Rejoin{}
		}
		gauge(descSeedFailures, float64(x.Failures))
	}
	flag(descBinlogTrouble, r.data.db.Binlog().Trouble() != "")
	files := r.data.db.Binlog().Files()
	var sealed, tail uint64
	for _, f := range files {
		sealed += f.Sealed
		tail += f.Size - f.Sealed
	}
	gauge(descLogFiles, float64(len(files)))
	m.collectReaders(ch)
	for part, n := range map[string]uint64{"file": sealed, "tail": tail} {
		ch <- prometheus.MustNewConstMetric(descLogBytes, prometheus.GaugeValue, float64(n), part)
	}
	if s, ok := r.data.replica.Status(); ok {
		gauge(descFollows, oneOf(s.State == replica.StateStreaming))
		gauge(descDiverged, oneOf(s.Diverged != ""))
		gauge(descBehind, float64(s.Behind))
		if r.data.relay != nil {
			gauge(descRelayBytes, float64(r.data.relay.Bytes()))
		}
		if s.State == replica.StateStreaming && s.LagKnown {
			gauge(descLag, s.Lag.Seconds())
		}
		counter(descApplied, s.AppliedTotal)
		counter(descReconnects, s.Reconnects)
	}
	count, sum, buckets := r.data.groups.read()
	ch <- prometheus.MustNewConstHistogram(descGroupSize, count, sum, buckets)

	free, reserve := r.data.store.FreeSpace()
	gauge(descFree, float64(free))
	gauge(descSpare, float64(r.data.store.SpareBytes()))
	gauge(descReserve, float64(reserve))
	m.collectStore(ch)
}

func oneOf(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// collectReaders tells of the readers of the binary log. Two with the same server id on
// the same host are told of once.
func (m *metrics) collectReaders(ch chan<- prometheus.Metric) {
	source := m.role.data.engine.Source()
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	type key struct{ id, host string }
	seen, reading := map[key]bool{}, 0
	for _, x := range source.Replicas() {
		if !x.Reading {
			continue
		}
		reading++
		k := key{strconv.FormatUint(uint64(x.Server), 10), x.Host}
		if !seen[k] {
			seen[k] = true
			send(descReaderFile, prometheus.GaugeValue, float64(x.Position.File), k.id, k.host)
			send(descReaderOffset, prometheus.GaugeValue, float64(x.Position.Offset), k.id, k.host)
		}
	}
	t := source.Totals()
	send(descReaders, prometheus.GaugeValue, float64(reading))
	send(descReadersSent, prometheus.CounterValue, float64(t.Bytes))
	send(descReadersEvents, prometheus.CounterValue, float64(t.Events))
	send(descDumps, prometheus.CounterValue, float64(t.Dumps))
}

// collectStore tells of the files and the memory of the store.
func (m *metrics) collectStore(ch chan<- prometheus.Metric) {
	r := m.role
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	p := r.data.store.DB.Metrics()
	send(descDisk, prometheus.GaugeValue, float64(p.DiskSpaceUsage()))
	if f := store.Fsyncs(p); f != nil {
		ch <- prometheus.MustNewConstHistogram(descFsync, f.Count, f.Seconds, f.Buckets)
	}
	for i, l := range p.Levels {
		send(descLevelFiles, prometheus.GaugeValue, float64(l.TablesCount), strconv.Itoa(i))
		send(descLevelBytes, prometheus.GaugeValue, float64(l.TablesSize), strconv.Itoa(i))
	}
	send(descReadAmp, prometheus.GaugeValue, float64(p.ReadAmp()))
	send(descCompactions, prometheus.CounterValue, float64(p.Compact.Count))
	send(descCompacting, prometheus.GaugeValue, float64(p.Compact.NumInProgress))
	send(descCompactDebt, prometheus.GaugeValue, float64(p.Compact.EstimatedDebt))
	send(descFlushes, prometheus.CounterValue, float64(p.Flush.Count))
	stalls, stalled := r.data.store.Stalls()
	send(descStalls, prometheus.CounterValue, float64(stalls))
	send(descStallSeconds, prometheus.CounterValue, stalled.Seconds())
	send(descCache, prometheus.CounterValue, float64(p.BlockCache.Hits), "hit")
	send(descCache, prometheus.CounterValue, float64(p.BlockCache.Misses), "miss")
	send(descMemory, prometheus.GaugeValue, float64(p.BlockCache.Size), "block_cache")
	send(descMemory, prometheus.GaugeValue, float64(p.MemTable.Size), "memtables")
	send(descMemory, prometheus.GaugeValue, float64(r.data.db.Stats().WriteSetBytes), "write_sets")
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
