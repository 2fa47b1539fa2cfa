package sql

import (
	"fmt"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// parseShowEngine is SHOW ENGINE INNODB STATUS, and SHOW ENGINE … MUTEX, which has
// nothing to tell here.
func parseShowEngine(_ *Session, sc *scanner) (*ownStatement, error) {
	engine := strings.ToUpper(plainName(strings.Trim(sc.next(), "'")))
	what := strings.ToUpper(sc.next())
	if err := sc.end(); err != nil {
		return nil, err
	}
	if engine != "INNODB" && engine != "PERFORMANCE_SCHEMA" {
		return nil, mysqlError(1286, "Unknown storage engine '%s'", engine)
	}
	switch what {
	case "STATUS", "MUTEX":
	case "LOGS":
		return nil, notAvailable("SHOW ENGINE LOGS")
	default:
		return nil, sc.unexpected()
	}
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		if !s.seesProcesses(ctx) {
			return mysqlError(1227, "Access denied; you need (at least one of) the PROCESS privilege(s) for this operation")
		}
		var rows []gms.Row
		if engine == "INNODB" && what == "STATUS" {
			rows = append(rows, gms.Row{"InnoDB", "", s.engine.statusText(time.Now())})
		}
		return reply(ctx, out, textColumns("Type", "Name", "Status"), rows...)
	}), nil
}

// statusText says in the sections of InnoDB's monitor what there is to say here.
func (e *Engine) statusText(now time.Time) string {
	m := &monitor{now: now, names: namesOf(e.Catalog())}
	m.line("\n=====================================")
	m.line("%s STACK MONITOR OUTPUT", now.Format("2006-01-02 15:04:05"))
	m.line("=====================================")
	if d := e.db.LastDeadlock(); d != nil {
		m.deadlock(d)
	}
	st, t, c := e.db.Stats(), e.totals(), e.Counters()
	m.section("TRANSACTIONS")
	m.line("Executed %v", e.db.Executed())
	m.line("Lock waits of rows %d, %d ms; of definitions %d ms; deadlocks %d",
		st.RowLockWaits, st.RowLockWait.Milliseconds(), st.TableLockWait.Milliseconds(), st.Deadlocks)
	m.line("%d indexes dropped whose keys wait for old views", st.PendingDrops)
	for _, tx := range e.transactions() {
		m.transaction(&tx)
	}
	m.section("FILE I/O")
	p := e.sizes.store.DB.Metrics()
	m.line("Flushes %d, compactions %d, running %d, %d bytes to compact", p.Flush.Count, p.Compact.Count, p.Compact.NumInProgress, p.Compact.EstimatedDebt)
	stalls, stalled := e.sizes.store.Stalls()
	m.line("Writes held up %d times, %.3f s", stalls, stalled.Seconds())
	m.line("Store %d bytes on disk, read amplification %d", p.DiskSpaceUsage(), p.ReadAmp())
	for i, l := range p.Levels {
		if l.TablesCount > 0 {
			m.line("Level %d: %d files, %d bytes", i, l.TablesCount, l.TablesSize)
		}
	}
	m.section("LOG")
	m.line("Write-ahead log %d bytes in %d files, %d bytes written", p.WAL.Size, p.WAL.Files, p.WAL.BytesWritten)
	if f := store.Fsyncs(p); f != nil {
		m.line("Syncs of the log %d, %.6f s on average", f.Count, average(f.Seconds, f.Count))
	}
	m.line("Commits %d, %.6f s on average, in %d groups", c.Commits, average(c.CommitSeconds, c.Commits), st.Groups)
	m.section("BUFFER POOL AND MEMORY")
	m.line("Block cache %d bytes, hits %d, misses %d", p.BlockCache.Size, p.BlockCache.Hits, p.BlockCache.Misses)
	m.line("Memtables %d bytes in %d", p.MemTable.Size, p.MemTable.Count)
	m.line("Write sets %d bytes", st.WriteSetBytes)
	m.section("ROW OPERATIONS")
	m.line("%d queries inside InnoDB, 0 queries in queue", e.running())
	m.line("%d read views open inside InnoDB, the oldest %.3f s old", st.Views, st.OldestViewAge.Seconds())
	m.line("Number of rows inserted %d, updated %d, deleted %d, read %d", t.items[itemInserted].Load(), t.items[itemUpdated].Load(),
		t.items[itemDeleted].Load(), t.items[itemKeyRows].Load()+t.items[itemRangeRows].Load()+t.items[itemScanRows].Load())
	m.line("----------------------------\nEND OF STACK MONITOR OUTPUT\n============================")
	return m.text.String()
}

// monitorText bounds the text, bytes: InnoDB's is cut at 1 MB.
const monitorText = 1 << 20

// monitor collects the text.
type monitor struct {
	text  strings.Builder
	now   time.Time
	names *lockNames
}

func (m *monitor) line(format string, args ...any) {
	if m.text.Len() < monitorText {
		fmt.Fprintf(&m.text, format+"\n", args...)
	}
}

func (m *monitor) section(name string) {
	rule := strings.Repeat("-", len(name))
	m.line("%s\n%s\n%s", rule, name, rule)
}

func (m *monitor) transaction(t *openTransaction) {
	m.line("---TRANSACTION of connection %d, ACTIVE %d sec, %s", t.connection, int(m.now.Sub(t.begun)/time.Second), t.level)
	m.line("%d locks of rows and ranges, %d tables, %d rows written", t.locks, t.tables, t.writes)
	if t.statement != "" {
		m.line("%s", clipText(t.statement, 1024))
	}
	if !t.waitsSince.IsZero() {
		m.line("------- HAS BEEN WAITING %.3f SEC FOR THIS LOCK, WHICH CONNECTIONS %v HAVE OR ASKED FOR BEFORE:", m.now.Sub(t.waitsSince).Seconds(), t.waits.For)
		m.line("%s\n-------", m.names.lockText(&t.waits))
	}
}

func (m *monitor) deadlock(d *txn.Deadlock) {
	m.section("LATEST DETECTED DEADLOCK")
	m.line("%s", d.At.Format("2006-01-02 15:04:05"))
	for i := range d.Requests {
		r := &d.Requests[i]
		m.line("*** (%d) TRANSACTION of connection %d, %d rows written, waiting for %.6f sec", i+1, r.Client, r.Writes, r.Waited.Seconds())
		m.line("%s", r.Statement)
		m.line("*** (%d) WAITING FOR THIS LOCK, WHICH TRANSACTION (%d) HAS OR ASKED FOR BEFORE:\n%s", i+1, (i+1)%len(d.Requests)+1, m.names.lockText(&r.Lock))
	}
	m.line("*** WE ROLL BACK TRANSACTION (%d)", d.Victim+1)
}

func average(sum float64, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
