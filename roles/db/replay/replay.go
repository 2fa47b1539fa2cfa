package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/apply"
	"stack/roles/db/binlog/event"
	"stack/roles/db/incarnation"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// Stop is where a replay ends: before the first transaction that was committed at Time or
// later, or before GTID. Both zero: at the end of the log.
type Stop struct {
	Time time.Time
	GTID event.ID
}

// here reports whether the replay ends before a transaction.
func (s Stop) here(g event.GTID) bool {
	if s.GTID.Number != 0 {
		return g.ID() == s.GTID
	}
	return !s.Time.IsZero() && committed(g).Compare(s.Time) >= 0
}

// committed is when a transaction was first committed.
func committed(g event.GTID) time.Time {
	if g.Original != 0 {
		return time.UnixMicro(g.Original)
	}
	return time.UnixMicro(g.Committed)
}

// Replay brings a restored database forward.
type Replay struct {
	Log  *Log
	Stop Stop
	// Memory is what a transaction may keep in memory, bytes.
	WriteSetLimit int64
	Slog          *slog.Logger // nil: nothing is logged

	Found Found // set by Check
}

// Found is what the log has for a backup.
type Found struct {
	Transactions int
	Last         event.ID  // zero: none
	At           time.Time // when Last was committed
	Next         event.ID  // the one that is left out; zero: the log ends
}

// String says how far the log went.
func (f Found) String() string {
	text := "The binary log had nothing newer."
	if f.Transactions > 0 {
		text = fmt.Sprintf("Replayed %d transactions of the binary log, the last of them %s of %s.", f.Transactions, f.Last, f.At.Local().Format("2006-01-02 15:04:05.000 -0700"))
	}
	if f.Next.Number > 0 {
		return text + fmt.Sprintf(" Stopped before %s.", f.Next)
	}
	return text + " That is the end of the log."
}

// ParseStop reads where to stop: a time, or a GTID, or neither.
func ParseStop(at, gtid string) (s Stop, err error) {
	if gtid != "" {
		s.GTID, err = event.ParseID(gtid)
		return s, err
	}
	if at == "" {
		return s, nil
	}
	if s.Time, err = time.Parse(time.RFC3339Nano, at); err == nil {
		return s, nil
	}
	if s.Time, err = time.ParseInLocation(time.DateTime, at, time.Local); err != nil {
		return s, fmt.Errorf("%q is no time: write 2026-11-29 14:30:00 (local time) or 2026-11-29T14:30:00Z", at)
	}
	return s, nil
}

// Check reads all of the log that is needed beyond what a backup made at made has
// executed, and sets Found. It fails, naming the file, where that is not whole, and where
// the log or the backup does not fit the stop.
func (r *Replay) Check(ctx context.Context, executed string, made time.Time) error {
	set, err := event.ParseGTIDs(executed)
	if err != nil {
		return err
	}
	switch s := r.Stop; {
	case s.GTID.Number != 0 && s.GTID.In(set):
		return fmt.Errorf("the backup holds transaction %s already: use an older backup", s.GTID)
	case !s.Time.IsZero() && made.After(s.Time):
		return fmt.Errorf("the backup was made on %s, after the moment to restore to: use an older backup", made.Local().Format(time.DateTime))
	}
	src, close, err := r.Log.from(set)
	if err != nil {
		return err
	}
	defer close()
	r.Found = Found{}
	for {
		ev, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if event.Type(ev[4]) != event.TypeGTID {
			continue
		}
		g, err := event.ParseGTID(ev)
		if err != nil {
			return err
		}
		if g.ID().In(set) { // files begin with some that the backup has
			if r.Stop.here(g) {
				return fmt.Errorf("the backup holds transaction %s already, which was committed on %s: use an older backup, or stop before a transaction instead (--before-gtid)",
					g.ID(), committed(g).Local().Format(time.DateTime))
			}
			continue
		}
		if r.Stop.here(g) {
			r.Found.Next = g.ID()
			return nil
		}
		r.Found.Transactions++
		r.Found.Last, r.Found.At = g.ID(), committed(g)
	}
	if r.Stop.GTID.Number != 0 {
		return fmt.Errorf("transaction %s is not in the binary log, which ends with %s", r.Stop.GTID, lastOf(r.Found, set))
	}
	return nil
}

func lastOf(f Found, set mysql.Mysql56GTIDSet) string {
	if f.Last.Number == 0 {
		return set.String()
	}
	return f.Last.String()
}

// Run applies what Check has found to a store that was restored from the backup.
func (r *Replay) Run(ctx context.Context, st *store.Store) (err error) {
	db, err := txn.Open(st, txn.Options{WriteSetLimit: r.WriteSetLimit, Log: r.Slog})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	engine, err := sql.New(st, db, sql.Options{Log: r.Slog, DataDir: st.Dir(), Server: st.Server, NoEvents: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if err := forgetStarts(st, db); err != nil {
		return err
	}
	set, err := event.ParseGTIDs(db.ExecutedSet())
	if err != nil {
		return err
	}
	src, close, err := r.Log.from(set)
	if err != nil {
		return err
	}
	defer close()
	a := apply.New(db, engine)
	defer a.Close()
	for n := 0; n < r.Found.Transactions; n++ {
		g, server, err := a.Next(ctx, src)
		if err == nil {
			err = a.Apply(ctx, src, g, server)
		}
		if err != nil {
			return fmt.Errorf("replay the binary log: %w", err)
		}
	}
	return a.Flush(ctx)
}

// forgetStarts: the backup knows in which incarnations servers have made what it has, and nothing of what the log has beyond that.
func forgetStarts(st *store.Store, db *txn.Engine) error {
	own := incarnation.Known{Server: st.Server, Executed: db.ExecutedSet()}
	var err error
	if own.Starts, err = incarnation.Read(st); err != nil {
		return err
	}
	return incarnation.Learn(st, own, incarnation.Known{})
}
