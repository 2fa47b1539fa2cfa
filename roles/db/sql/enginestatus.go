package sql

import (
	"fmt"
	"sort"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
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
	var b strings.Builder
	section := func(name string) {
		fmt.Fprintf(&b, "%s\n%s\n%s\n", strings.Repeat("-", len(name)), name, strings.Repeat("-", len(name)))
	}
	st := e.db.Stats()
	fmt.Fprintf(&b, "\n=====================================\n%s STACK MONITOR OUTPUT\n=====================================\n", now.Format("2006-01-02 15:04:05"))
	section("TRANSACTIONS")
	fmt.Fprintf(&b, "Executed %v\nTransactions open %d\nLock waits %d\n", e.db.Executed(), e.Transactions(), st.LockWaits)
	e.mu.Lock()
	ids := make([]int, 0, len(e.sessions))
	for id := range e.sessions {
		ids = append(ids, int(id))
	}
	e.mu.Unlock()
	sort.Ints(ids)
	fmt.Fprintf(&b, "Sessions %v\n", ids)
	section("LOG")
	c := e.Counters()
	fmt.Fprintf(&b, "Commits %d, %.6f s on average\n", c.Commits, average(c.CommitSeconds, c.Commits))
	section("FILE I/O")
	m := e.sizes.store.DB.Metrics()
	fmt.Fprintf(&b, "Flushes %d, compactions %d, running %d\nWrite-ahead log %d bytes in %d files\nStore %d bytes on disk\n",
		m.Flush.Count, m.Compact.Count, m.Compact.NumInProgress, m.WAL.Size, m.WAL.Files, m.DiskSpaceUsage())
	section("BUFFER POOL AND MEMORY")
	fmt.Fprintf(&b, "Block cache %d bytes, hits %d, misses %d\nMemtables %d bytes\n", m.BlockCache.Size, m.BlockCache.Hits, m.BlockCache.Misses, m.MemTable.Size)
	section("ROW OPERATIONS")
	kinds := make([]string, 0, len(c.Statements))
	for k := range c.Statements {
		kinds = append(kinds, k)
	}
	sort.Strings(kinds)
	for _, k := range kinds {
		fmt.Fprintf(&b, "Statements of kind %s %d\n", k, c.Statements[k])
	}
	b.WriteString("----------------------------\nEND OF STACK MONITOR OUTPUT\n============================\n")
	return b.String()
}

func average(sum float64, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
