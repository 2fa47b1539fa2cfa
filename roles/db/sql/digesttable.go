package sql

import (
	"encoding/hex"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

func digestColumns(table string) gms.Schema {
	schema := virtualColumns(table, types.LongText, "SCHEMA_NAME", "DIGEST", "DIGEST_TEXT", "#COUNT_STAR", "#SUM_TIMER_WAIT", "#MIN_TIMER_WAIT",
		"#AVG_TIMER_WAIT", "#MAX_TIMER_WAIT", "#SUM_LOCK_TIME", "#SUM_ERRORS", "#SUM_WARNINGS", "#SUM_ROWS_AFFECTED", "#SUM_ROWS_SENT",
		"#SUM_ROWS_EXAMINED", "#SUM_CREATED_TMP_DISK_TABLES", "#SUM_CREATED_TMP_TABLES", "#SUM_SORT_MERGE_PASSES", "#SUM_SORT_ROWS", "#SUM_NO_INDEX_USED")
	return append(schema, virtualColumn(table, "FIRST_SEEN", types.DatetimeMaxPrecision), virtualColumn(table, "LAST_SEEN", types.DatetimeMaxPrecision))
}

// picoseconds is the unit of performance_schema's timers, in nanoseconds.
const picoseconds = 1000

// digestRows is performance_schema.events_statements_summary_by_digest. Temporary tables and merge
// passes are none: sorts and groups stay in memory.
func digestRows(ctx *gms.Context) ([]gms.Row, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	all := s.seesProcesses(ctx)
	var rows []gms.Row
	for _, d := range s.engine.digests.all() {
		n := d.count.Load()
		if n == 0 || !all {
			continue
		}
		var database, hash, text any
		if d != &s.engine.digests.rest {
			hash, text = hex.EncodeToString(d.hash[:]), d.text
			if d.database != "" {
				database = d.database
			}
		}
		sum := d.nanos.Load()
		rows = append(rows, gms.Row{
			database, hash, text, n, sum * picoseconds, d.least.Load() * picoseconds, sum / n * picoseconds, d.most.Load() * picoseconds,
			d.lockNanos.Load() * picoseconds, d.errors.Load(), d.warnings.Load(), d.affected.Load(), d.sent.Load(), d.examined.Load(),
			uint64(0), uint64(0), uint64(0), d.sorted.Load(), d.scans.Load(), d.first.Local(), time.Unix(0, d.last.Load()),
		})
	}
	return rows, nil
}
