package sql

import (
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
)

func init() {
	addSessionFunction("wait_for_executed_gtid_set", 1, 1, types.Int64, waitForGTIDs)
}

// waitsForGTIDs is the state of who waits in WAIT_FOR_EXECUTED_GTID_SET().
var waitsForGTIDs = "Waiting for the executed set"

// gtidsEvery is how often the executed set is looked at.
const gtidsEvery = 2 * time.Millisecond

// waitForGTIDs is WAIT_FOR_EXECUTED_GTID_SET(set[, seconds]): 0 once this server shows all of the set, 1 if it does not within that
// time; without it, or with 0, there is none. MySQL 8 Reference Manual, "Functions Used with Global Transaction Identifiers".
func waitForGTIDs(ctx *gms.Context, s *Session, f *sessionFunction, row gms.Row) (any, error) {
	var values [2]any
	for i, a := range f.args {
		v, err := a.Eval(ctx, row)
		if err == nil {
			v, err = gms.UnwrapAny(ctx, v)
		}
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	if values[0] == nil {
		return nil, nil
	}
	v, _, err := types.LongText.Convert(ctx, values[0])
	if err != nil {
		return nil, err
	}
	text, _ := v.(string)
	want, err := event.ParseGTIDs(text)
	if err != nil {
		return nil, mysqlError(1772, "Malformed GTID set specification '%s'.", text)
	}
	var over <-chan time.Time
	if values[1] != nil {
		v, _, err := types.Float64.Convert(ctx, values[1])
		if err != nil {
			return nil, err
		}
		seconds, _ := v.(float64)
		if seconds < 0 {
			return nil, mysqlError(1210, "Incorrect arguments to WAIT_FOR_EXECUTED_GTID_SET.")
		}
		if seconds > 0 {
			timer := time.NewTimer(time.Duration(min(seconds, 1e9) * float64(time.Second)))
			defer timer.Stop()
			over = timer.C
		}
	}
	if s.state.CompareAndSwap(nil, &waitsForGTIDs) {
		defer s.state.Store(nil)
	}
	look := time.NewTicker(gtidsEvery)
	defer look.Stop()
	for {
		have, err := event.ParseGTIDs(s.engine.db.ExecutedSet())
		if err != nil {
			return nil, err
		}
		if have.Contains(mysql.GTIDSet(want)) {
			return int64(0), nil
		}
		select {
		case <-over:
			return int64(1), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-look.C:
		}
	}
}
