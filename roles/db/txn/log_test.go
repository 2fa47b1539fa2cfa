package txn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/go-mysql-org/go-mysql/replication"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
)

// replica is what somebody who has only the log knows of the table people.
type replica struct {
	rows       map[int64]string
	statements []string
	last       int64 // number of the last transaction
	files      int
}

// replay reads the whole log with another implementation of the format and does what it
// says. Transactions must be numbered without a gap, before-images must be right.
func replay(t testing.TB, e *Engine) *replica {
	t.Helper()
	rd, err := e.Binlog().Open(binlog.Position{File: e.Binlog().Files()[0].Number})
	must(t, err)
	defer rd.Close()
	out := &replica{rows: map[int64]string{}}
	p := replication.NewBinlogParser()
	p.SetVerifyChecksum(true)
	open := false // within a transaction
	for {
		ev, err := rd.TryNext()
		must(t, err)
		if ev == nil {
			break
		}
		parsed, err := p.Parse(bytes.Clone(ev.Bytes)) // the parser keeps it
		must(t, err)
		if uint64(parsed.Header.LogPos) != ev.End {
			t.Fatalf("%s: the event says that it ends at %d, it ends at %d", ev.Position, parsed.Header.LogPos, ev.End)
		}
		switch x := parsed.Event.(type) {
		case *replication.FormatDescriptionEvent:
			out.files++
			if open {
				t.Fatalf("%s: a file begins within a transaction", ev.Position)
			}
		case *replication.GTIDEvent:
			if open || x.GNO != out.last+1 || x.LastCommitted >= x.SequenceNumber {
				t.Fatalf("%s: GTID %d after %d, clock %d %d, within a transaction: %v", ev.Position, x.GNO, out.last, x.LastCommitted, x.SequenceNumber, open)
			}
			out.last, open = x.GNO, true
		case *replication.QueryEvent:
			if text := string(x.Query); text != "BEGIN" {
				out.statements = append(out.statements, text)
				open = false
			}
		case *replication.XIDEvent:
			open = false
		case *replication.RowsEvent:
			out.apply(t, parsed.Header.EventType, x)
		}
	}
	if open {
		t.Fatal("the log ends within a transaction")
	}
	return out
}

func (r *replica) apply(t testing.TB, kind replication.EventType, e *replication.RowsEvent) {
	t.Helper()
	for i, row := range e.Rows {
		id, text := row[0].(int64), rowText(row)
		if kind == replication.UPDATE_ROWS_EVENTv2 && i%2 == 1 || kind == replication.WRITE_ROWS_EVENTv2 {
			if _, ok := r.rows[id]; ok {
				t.Fatalf("the log makes row %d, which is there", id)
			}
			r.rows[id] = text
			continue
		}
		if r.rows[id] != text {
			t.Fatalf("the log changes row %.80s, the replica has %.80s", text, r.rows[id])
		}
		delete(r.rows, id)
	}
}

// rowText writes a row the same way for both sides: TEXT comes as bytes from the log.
func rowText(row []any) string {
	var out strings.Builder
	for _, v := range row {
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		fmt.Fprintf(&out, "%v|", v)
	}
	return out.String()
}

// expectLog compares what the log says with what the table should hold.
func expectLog(t testing.TB, e *Engine, want model) {
	t.Helper()
	got := replay(t, e)
	rows := map[int64]string{}
	for id, row := range want {
		rows[id] = rowText(row)
	}
	if !maps.Equal(got.rows, rows) {
		t.Fatalf("the log makes %d rows, the table holds %d, or they differ", len(got.rows), len(rows))
	}
	if uint64(got.last) != e.Executed().Seq {
		t.Fatalf("the log ends with transaction %d, executed is %d", got.last, e.Executed().Seq)
	}
}

// tiny makes the log seal and rotate all the time.
var tiny = binlog.Options{SealSize: 4 << 10, FileSize: 16 << 10}

// A transaction that is rolled back, rows behind a mark that is rolled back to, rows of
// internal tables and unlogged transactions leave nothing in the log and take no GTID.
func TestLogHoldsWhatWasCommitted(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	internal := people(t)
	internal.Database, internal.Name = "#temporary", "1"
	hidden := e.Begin(RepeatableRead)
	must(t, hidden.PutDatabase(ctx, store.DatabaseDesc{Name: "#temporary"}))
	temporary, err := hidden.CreateTable(ctx, internal)
	must(t, err)
	if hidden.ChangesCatalog() {
		t.Error("an internal table counts as a change of the catalog")
	}
	must(t, hidden.InsertRow(ctx, temporary, person(1, "t", 1, "")))
	must(t, hidden.Commit(ctx))
	undone := e.Begin(RepeatableRead)
	must(t, undone.InsertRow(ctx, table, person(8, "u", 1, "")))
	undone.Rollback()
	write(t, e, func(tx *Txn) error {
		tx.Unlogged()
		return tx.InsertRow(ctx, table, person(9, "local", 1, ""))
	})
	write(t, e, func(tx *Txn) error { return tx.DeleteRow(ctx, temporary, person(1, "t", 1, "")) })
	if got := e.Executed().Seq; got != 1 {
		t.Fatalf("executed %d, want 1", got)
	}
	write(t, e, func(tx *Txn) error {
		err := tx.InsertRow(ctx, table, person(1, "a", 1, ""))
		m := tx.Mark()
		err = errors.Join(err, tx.InsertRow(ctx, table, person(2, "b", 1, "")), tx.DeleteRow(ctx, table, person(1, "a", 1, "")))
		tx.RollbackTo(m)
		tx.Savepoint("s")
		err = errors.Join(err, tx.UpdateRow(ctx, table, person(1, "a", 1, ""), person(3, "a", 1, "")))
		tx.RollbackToSavepoint("s")
		return errors.Join(err, tx.UpdateRow(ctx, table, person(1, "a", 1, ""), person(4, "a", 1, strings.Repeat("n", 9000))))
	})
	expectLog(t, e, model{4: person(4, "a", 1, strings.Repeat("n", 9000))})
	refused := e.Begin(RepeatableRead)
	must(t, refused.PutDatabase(ctx, store.DatabaseDesc{Name: "x"}))
	if err := refused.Commit(ctx); !errors.Is(err, errNoStatement) || e.Catalog().Database("x") != nil {
		t.Fatalf("a change of the catalog without its statement: %v", err)
	}
	if got := replay(t, e).statements; fmt.Sprint(got) != "[the statement]" {
		t.Fatal(got)
	}
	checkClean(t, e)
}

// Events leave memory beyond their part of the limit, and come back where a rollback needs
// them: what is logged is what was kept.
func TestLogLeavesMemory(t *testing.T) {
	const limit = 64 << 10
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: limit})
	table := createTable(t, e, people(t))
	want := model{}
	r := seeded(t)
	for range 6 {
		tx := e.Begin(RepeatableRead)
		type point struct {
			mark Mark
			rows model
		}
		rows := maps.Clone(want)
		var points []point
		for range 200 {
			if r.IntN(5) == 0 {
				points = append(points, point{tx.Mark(), maps.Clone(rows)})
			}
			id := int64(r.IntN(1 << 30))
			row := person(id, fmt.Sprint(id), 1, strings.Repeat("n", r.IntN(3000)))
			must(t, tx.InsertRow(ctx, table, row))
			rows[id] = row
			if held := tx.rowLog.InMemory(); held > limit/rowLogShare+16<<10 {
				t.Fatalf("%d bytes of events are in memory", held)
			}
			if r.IntN(30) == 0 && len(points) > 0 {
				i := r.IntN(len(points))
				tx.RollbackTo(points[i].mark)
				rows, points = maps.Clone(points[i].rows), points[:i]
			}
		}
		if tx.rowLog.file == nil {
			t.Fatal("all events are in memory: the test shows nothing")
		}
		if r.IntN(3) == 0 {
			tx.Rollback()
			continue
		}
		must(t, tx.Commit(ctx))
		want = rows
		write(t, e, func(tx *Txn) error {
			return tx.InsertRow(ctx, table, person(-int64(len(want)), fmt.Sprint(-len(want)), 1, ""))
		})
		want[-int64(len(want))] = person(-int64(len(want)), fmt.Sprint(-len(want)), 1, "")
	}
	expectLog(t, e, want)
	checkClean(t, e)
	if names, err := e.store.FS().List("db/binlog"); err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".part") }) {
		t.Errorf("files %q, %v", names, err)
	}
}

// Writers commit while files are sealed and rotated, and copies of the file
// system are taken that lose what was not synced. In each copy the log and the table say
// the same: nothing is lost or doubled by a crash between the parts of sealing.
func TestLogMatchesTheTableAfterCrashes(t *testing.T) {
	r := seeded(t)
	for round := range 3 {
		fs := crashfs.New()
		e, stop := openMem(t, fs, Options{Binlog: tiny})
		table := createTable(t, e, people(t))
		var wait sync.WaitGroup
		budget := make(chan struct{}, 1000)
		var acked [4]atomic.Int64
		for w := range acked {
			wait.Go(func() {
				n := int64(0)
				for range budget {
					n++
					id := n*8 + int64(w)
					tx := e.Begin(RepeatableRead)
					err := tx.InsertRow(ctx, table, person(id, fmt.Sprint(id), 1, strings.Repeat("n", int(n%7)*100)))
					if err == nil && n%3 == 0 {
						err = tx.DeleteRow(ctx, table, person(id, fmt.Sprint(id), 1, strings.Repeat("n", int(n%7)*100)))
					}
					if err = errors.Join(err, tx.Commit(ctx)); err != nil {
						t.Error(err)
						return
					}
					acked[w].Store(n)
				}
			})
		}
		for range 12 {
			target := e.Executed().Seq + uint64(20+r.IntN(60))
			for range 150 {
				budget <- struct{}{}
			}
			must(t, waitFor(func() bool { return e.Executed().Seq >= target }))
			var before [len(acked)]int64
			for w := range before {
				before[w] = acked[w].Load()
			}
			clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: round * 50, RNG: rand.New(rand.NewPCG(r.Uint64(), 4))})
			checkLogAfterCrash(t, clone, before[:])
		}
		close(budget)
		wait.Wait()
		stop()
	}
}

func checkLogAfterCrash(t *testing.T, fs *vfs.MemFS, acked []int64) {
	t.Helper()
	e, stop := openMem(t, fs, Options{Binlog: tiny})
	defer stop()
	checkClean(t, e)
	table := e.Catalog().Table("site", "people")
	want := model{}
	tx := e.Begin(RepeatableRead)
	rows, err := tx.Scan(ctx, table, Scan{})
	must(t, err)
	for rows.Next() {
		want[rows.Row()[0].(int64)] = slices.Clone(rows.Row())
	}
	must(t, rows.Close())
	tx.Rollback()
	expectLog(t, e, want)
	for w, n := range acked {
		for i := int64(1); i <= n; i++ {
			if _, ok := want[i*8+int64(w)]; ok != (i%3 != 0) {
				t.Fatalf("writer %d: acknowledged commit %d of %d is lost", w, i, n)
			}
		}
	}
	// It goes on where it stands, and all of it can become plain files.
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "after", 1, "")) })
	want[1] = person(1, "after", 1, "")
	must(t, e.RotateLog(ctx))
	expectLog(t, e, want)
	readFiles(t, fs, e)
}

// readFiles reads the plain files of the log as a program would that knows nothing of
// the store.
func readFiles(t testing.TB, fs vfs.FS, e *Engine) {
	t.Helper()
	next := int64(1)
	files := e.Binlog().Files()
	for _, f := range files[:len(files)-1] {
		file, err := fs.Open(filepath.Join("db", "binlog", binlog.FileName(f.Number)))
		must(t, err)
		info, err := file.Stat()
		must(t, err)
		if uint64(info.Size()) != f.Size || f.Sealed != f.Size {
			t.Fatalf("file %d has %d bytes, the log says %d, of which %d are sealed", f.Number, info.Size(), f.Size, f.Sealed)
		}
		b := make([]byte, info.Size())
		_, err = file.ReadAt(b, 0)
		must(t, err)
		must(t, file.Close())
		if string(b[:4]) != event.Magic {
			t.Fatalf("file %d begins with % x", f.Number, b[:4])
		}
		p := replication.NewBinlogParser()
		p.SetVerifyChecksum(true)
		must(t, p.ParseReader(strings.NewReader(string(b[4:])), func(ev *replication.BinlogEvent) error {
			if g, ok := ev.Event.(*replication.GTIDEvent); ok {
				if g.GNO != next {
					return fmt.Errorf("transaction %d where %d should be", g.GNO, next)
				}
				next++
			}
			return nil
		}))
	}
	if uint64(next) != e.Executed().Seq+1 {
		t.Fatalf("the files end with transaction %d, executed is %d", next-1, e.Executed().Seq)
	}
}

// In relaxed durability readers of the log see nothing that a crash could take back.
func TestLogReadersSeeWhatIsDurable(t *testing.T) {
	fs := crashfs.New()
	e, _ := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	e.SetDurability(SyncSecond)
	rd, err := e.Binlog().Open(e.Binlog().Position())
	must(t, err)
	defer rd.Close()
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })
	c, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ev, err := rd.Next(c)
	must(t, err)
	if event.Type(ev.Bytes[4]) != event.TypeGTID {
		t.Fatalf("the first event is % x", ev.Bytes)
	}
	after, _ := openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if after.Executed().Seq != 2 {
		t.Fatal("a reader saw a transaction that a crash took back")
	}
}

// A log that does not end where the data does is refused.
func TestLogMustMatchTheData(t *testing.T) {
	fs := vfs.NewMem()
	e, stop := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })
	stop()
	st, err := store.Open(store.Options{Dir: "db", FS: fs})
	must(t, err)
	must(t, st.DB.Set(store.MetaExecutedKey(), []byte(st.Server+":1-5"), nil))
	if _, err := Open(st, Options{}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	must(t, st.Close())
}

// A transaction of several megabytes, in memory and out of it, is whole in one file, which
// programs can read on a real disk.
func TestLargeTransactionInTheLog(t *testing.T) {
	for _, limit := range []int64{0, 1 << 20} {
		dir := t.TempDir()
		st, err := store.Open(store.Options{Dir: dir, Reserve: 1})
		must(t, err)
		e, err := Open(st, Options{WriteSetLimit: limit, Binlog: binlog.Options{FileSize: 1 << 20, SealSize: 1 << 20}})
		must(t, err)
		table := createTable(t, e, people(t))
		want := model{}
		write(t, e, func(tx *Txn) error {
			for i := range int64(600) {
				row := sql.Row{i, fmt.Sprint(i), nil, strings.Repeat("n", int(i)*10)}
				if i == 500 {
					row[3] = strings.Repeat("N", 3<<20)
				}
				want[i] = row
				if err := tx.InsertRow(ctx, table, row); err != nil {
					return err
				}
			}
			return nil
		})
		expectLog(t, e, want)
		must(t, e.RotateLog(ctx))
		expectLog(t, e, want)
		var largest int64
		for _, f := range e.Binlog().Files() {
			if info, err := os.Stat(filepath.Join(dir, "binlog", binlog.FileName(f.Number))); err == nil {
				largest = max(largest, info.Size())
			}
		}
		if largest < 4<<20 {
			t.Errorf("the largest file has %d bytes", largest)
		}
		must(t, errors.Join(e.Close(), st.Close()))
		st, err = store.Open(store.Options{Dir: dir, Reserve: 1})
		must(t, err)
		e, err = Open(st, Options{})
		must(t, err)
		expectLog(t, e, want)
		must(t, errors.Join(e.Close(), st.Close()))
	}
}
