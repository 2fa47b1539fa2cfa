package txn

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store/crashfs"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the randomised tests; 0 takes the time")

func seeded(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 2))
}

// Writers commit pairs of rows while copies of the file system are taken that lose
// what was not synced, in part or whole. In each copy every commit that had been
// answered is there, none is half there, and the position is that of the rows.
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	r := seeded(t)
	for round := range 4 {
		fs := crashfs.New()
		e, stop := openMem(t, fs, Options{})
		table := createTable(t, e, people(t))
		const writers = 8
		var acked [writers]atomic.Int64
		var wait sync.WaitGroup
		budget := make(chan struct{}, 1000)
		for w := range writers {
			wait.Go(func() {
				n := int64(0)
				for range budget {
					n++
					tx := e.Begin(RepeatableRead)
					id := n*2*writers + int64(w)*2
					note := strings.Repeat(strconv.FormatInt(id, 10)+" ", int(n%5/4)*2000+1)
					err := errors.Join(
						tx.InsertRow(ctx, table, person(id, fmt.Sprint(id), int32(w), note)),
						tx.InsertRow(ctx, table, person(id+1, fmt.Sprint(id+1), int32(w), note)))
					if err == nil {
						err = tx.Commit(ctx)
					}
					if err != nil {
						t.Error(err)
						return
					}
					acked[w].Store(n)
				}
			})
		}
		for range 5 {
			target := e.Executed().Seq + uint64(10+r.IntN(40))
			for range 60 {
				budget <- struct{}{}
			}
			must(t, waitFor(func() bool { return e.Executed().Seq >= target }))
			var before [writers]int64
			for w := range before {
				before[w] = acked[w].Load()
			}
			clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: round * 33, RNG: rand.New(rand.NewPCG(r.Uint64(), 3))})
			checkAfterCrash(t, clone, before[:])
		}
		close(budget)
		wait.Wait()
		stop()
	}
}

func checkAfterCrash(t *testing.T, fs vfs.FS, acked []int64) {
	t.Helper()
	e, stop := openMem(t, fs, Options{})
	defer stop()
	checkClean(t, e)
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	rows, err := tx.Scan(ctx, e.Catalog().Table("site", "people"), Scan{})
	must(t, err)
	defer rows.Close()
	have := map[int64]bool{}
	for rows.Next() {
		row := rows.Row()
		id := row[0].(int64)
		if !strings.HasPrefix(row[3].(string), strconv.FormatInt(id&^1, 10)+" ") {
			t.Fatalf("row %d has the note of another", id)
		}
		have[id] = true
	}
	must(t, rows.Err())
	for id := range have {
		if !have[id^1] {
			t.Fatalf("row %d is there, the other of its transaction is not", id)
		}
	}
	for w, n := range acked {
		for i := int64(1); i <= n; i++ {
			if id := i*2*int64(len(acked)) + int64(w)*2; !have[id] {
				t.Fatalf("writer %d: acknowledged commit %d of %d is lost", w, i, n)
			}
		}
	}
	if want := uint64(len(have)/2 + 1); e.Executed().Seq != want {
		t.Fatalf("position %d, %d transactions are there", e.Executed().Seq, want)
	}
	// The store goes on where it stands.
	write(t, e, func(tx *Txn) error {
		return tx.InsertRow(ctx, e.Catalog().Table("site", "people"), sql.Row{int64(1), nil, nil, nil})
	})
}

// In relaxed durability a commit may be lost in a crash, but only after it has been
// answered for less than about a second, and never half.
func TestRelaxedDurabilitySyncsEachSecond(t *testing.T) {
	fs := crashfs.New()
	e, stop := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	e.SetDurability(SyncSecond)
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })
	read := e.Begin(RepeatableRead)
	expect(t, all(t, read, table, Scan{}), "[1 a 1 ]")
	read.Rollback()
	kept := func() bool {
		after, stop := openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
		defer stop()
		return after.Executed().Seq == 2
	}
	if kept() {
		t.Fatal("the commit was synced at once: the mode has no effect")
	}
	started := time.Now()
	must(t, waitFor(kept))
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("the log was synced after %v", took)
	}
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(2, "b", 1, "")) })
	stop() // an orderly end loses nothing
	after, _ := openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if after.Executed().Seq != 3 {
		t.Error("a commit was lost by an orderly end")
	}
}
