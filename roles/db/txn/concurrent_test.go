package txn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("TXN_TEST_WRITE_UNTIL_KILLED"); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// Money moves between accounts while readers add it up: every view has the same sum,
// a view repeats itself, and no increment is lost.
func TestReadersSeeWholeCommits(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	const accounts, each, writers, moves = 10, 100, 4, 150
	write(t, e, func(tx *Txn) error {
		for i := range int64(accounts) {
			if err := tx.InsertRow(ctx, table, person(i, fmt.Sprint(i), each, "")); err != nil {
				return err
			}
		}
		return nil
	})
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	var reads atomic.Int64
	for w := range writers {
		writing.Go(func() {
			for n := range moves {
				err := ErrDeadlock
				for errors.Is(err, ErrDeadlock) {
					err = move(e, table, int64((w+n)%accounts), int64((w*3+n*7+1)%accounts), n%5 == 0)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		reading.Go(func() {
			for !done.Load() {
				tx := e.Begin(RepeatableRead)
				one, err1 := total(tx, table, nil)
				two, err2 := total(tx, table, table.Index("age"))
				if err := errors.Join(err1, err2); err != nil || one != accounts*each || two != one {
					t.Errorf("sums %d and %d, want %d (%v)", one, two, accounts*each, err)
					done.Store(true)
				}
				tx.Rollback()
				reads.Add(1)
			}
		})
	}
	writing.Wait()
	must(t, waitFor(func() bool { return reads.Load() > 3 }))
	done.Store(true)
	reading.Wait()
	if s := e.Stats(); s.Commits != 2+writers*moves*4/5 || s.Active != 0 || s.Views != 1 {
		t.Errorf("stats %+v", s)
	}
	checkClean(t, e)
}

// move takes 1 from one account and gives it to another; undo rolls it back instead.
func move(e *Engine, table *store.Table, from, to int64, undo bool) error {
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	for _, step := range []struct {
		id int64
		by int32
	}{{from, -1}, {to, 1}} {
		old, err := tx.Get(ctx, table, []any{step.id}, nil, LockExclusive)
		if err != nil {
			return err
		}
		row := append(sql.Row(nil), old...)
		row[2] = old[2].(int32) + step.by
		if err := tx.UpdateRow(ctx, table, old, row); err != nil {
			return err
		}
	}
	if undo {
		return nil
	}
	return tx.Commit(ctx)
}

func total(tx *Txn, table *store.Table, ix *store.Index) (sum int, err error) {
	rows, err := tx.Scan(ctx, table, Scan{Index: ix, Columns: []int{2}})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		sum += int(rows.Row()[2].(int32))
	}
	return sum, rows.Err()
}

// Tables come and go while others write and read.
func TestDDLBesideWriters(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 0, 30)
	var wait sync.WaitGroup
	for w := range 3 {
		wait.Go(func() {
			for n := range 40 {
				tx := e.Begin(RepeatableRead)
				now := tx.Catalog().Table("site", "people")
				err := tx.InsertRow(ctx, now, person(int64(1000+w*1000+n), fmt.Sprint("w", w, n), 1, ""))
				if err == nil {
					err = tx.Commit(ctx)
				}
				tx.Rollback()
				if err != nil && !errors.Is(err, ErrTableChanged) {
					t.Error(err)
				}
			}
		})
	}
	wait.Go(func() {
		for n := range 15 {
			tx := e.Begin(RepeatableRead)
			err := tx.LockCatalog(ctx)
			now := tx.Catalog().Table("site", "people")
			switch {
			case err != nil:
			case n%3 == 0:
				_, err = tx.TruncateTable(ctx, now)
			case n%3 == 1:
				_, err = tx.Rebuild(ctx, now, now.Desc, true, nil)
			default:
				err = tx.PutObject(ctx, store.Object{Kind: "view", Database: "site", Name: fmt.Sprint(n)})
			}
			tx.LogStatement(event.Query{Text: "the statement"})
			if err := errors.Join(err, tx.Commit(ctx)); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Wait()
	checkClean(t, e)
	must(t, waitFor(func() bool { return e.Stats().PendingDrops == 0 }))
	checkClean(t, e)
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// Opening, working and closing leaves no goroutine and no descriptor behind.
func TestNothingIsLeftOpen(t *testing.T) {
	round := func(dir string) {
		st, err := store.Open(store.Options{Dir: dir})
		must(t, err)
		e, err := Open(st, Options{})
		must(t, err)
		table := createTable(t, e, people(t))
		fill(t, e, table, 0, 50)
		tx := e.Begin(RepeatableRead)
		_, err = tx.Scan(ctx, table, Scan{}) // left open: the end of the transaction closes it
		must(t, err)
		_, err = tx.Scan(ctx, table, Scan{Mode: Latest})
		must(t, err)
		tx.Rollback()
		if err := errors.Join(e.Close(), st.Close()); err != nil {
			t.Fatal(err)
		}
	}
	round(t.TempDir())
	goroutines, open := runtime.NumGoroutine(), descriptors(t)
	for range 5 {
		round(t.TempDir())
	}
	if err := waitFor(func() bool { return runtime.NumGoroutine() <= goroutines && descriptors(t) <= open }); err != nil {
		t.Fatalf("goroutines %d, were %d; descriptors %d, were %d", runtime.NumGoroutine(), goroutines, descriptors(t), open)
	}
}

// writeUntilKilled runs in a process of its own: commits pairs of rows and prints
// each number once it is acknowledged.
func writeUntilKilled(dir string) {
	st, err := store.Open(store.Options{Dir: dir, MemtableSize: 256 << 10})
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	e, err := Open(st, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	table := e.Catalog().Table("site", "people")
	for {
		tx := e.Begin(RepeatableRead)
		id, err := tx.NextAutoIncrement(table)
		note := strings.Repeat("n", int(id%8/7)*9000)
		err = errors.Join(err,
			tx.InsertRow(ctx, table, person(int64(id), fmt.Sprint(id), 1, note)),
			tx.InsertRow(ctx, table, person(-int64(id), fmt.Sprint(-int64(id)), 2, note)))
		if err = errors.Join(err, tx.Commit(ctx)); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println(id)
	}
}

// kill -9 again and again on a real directory: what was printed is there, nothing is
// half, numbers do not come again.
func TestKilledProcessLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	st, err := store.Open(store.Options{Dir: dir})
	must(t, err)
	e, err := Open(st, Options{})
	must(t, err)
	createTable(t, e, people(t))
	must(t, errors.Join(e.Close(), st.Close()))
	r := seeded(t)
	last := int64(0)
	var seen []int64
	for range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TXN_TEST_WRITE_UNTIL_KILLED="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		stopAt := 20 + r.IntN(100)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			id, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("%s %s", lines.Text(), stderr.String())
			}
			if id <= last {
				t.Fatalf("number %d came again after %d", id, last)
			}
			last, seen = id, append(seen, id)
			if n == stopAt {
				must(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait() // killed: reports the signal
		checkAfterKill(t, dir, seen)
	}
	if len(seen) < 6*20 {
		t.Fatalf("only %d commits", len(seen))
	}
}

func checkAfterKill(t *testing.T, dir string, seen []int64) {
	t.Helper()
	started := time.Now()
	st, err := store.Open(store.Options{Dir: dir})
	must(t, err)
	e, err := Open(st, Options{})
	must(t, err)
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("open took %v", took)
	}
	checkClean(t, e)
	table := e.Catalog().Table("site", "people")
	tx := e.Begin(RepeatableRead)
	rows, err := tx.Scan(ctx, table, Scan{Columns: []int{0}})
	must(t, err)
	have := map[int64]bool{}
	for rows.Next() {
		have[rows.Row()[0].(int64)] = true
	}
	must(t, errors.Join(rows.Err(), rows.Close()))
	tx.Rollback()
	for _, id := range seen {
		if !have[id] {
			t.Fatalf("acknowledged row %d is lost", id)
		}
	}
	for id := range have {
		if !have[-id] {
			t.Fatalf("transaction of row %d is half there", id)
		}
	}
	must(t, errors.Join(e.Close(), st.Close()))
}
