package txn

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/db/store"
)

// BenchmarkLargeTransaction changes a million rows and their entries in one transaction on
// the disk while another client commits: how long that takes, how much the resident memory
// grows at most, and how the commits of the other fare. Run it with -benchtime=1x.
func BenchmarkLargeTransaction(b *testing.B) {
	const rows = 1_000_000
	st, err := store.Open(store.Options{Dir: b.TempDir(), CacheBytes: 64 << 20})
	must(b, err)
	var group atomic.Int64 // longest time of the leader with a group
	e, err := Open(st, Options{Locks: rowLocks{}, Observe: func(_ int, took time.Duration) {
		group.Store(max(group.Load(), int64(took)))
	}})
	must(b, err)
	defer func() { must(b, errors.Join(e.Close(), st.Close())) }()
	table := createTable(b, e, people(b))
	note := strings.Repeat("n", 150)
	row := func(id int64, age int32) []any { return person(id, "mail"+strconv.FormatInt(id, 10), age, note) }
	tx := e.Begin(RepeatableRead)
	for id := range int64(rows) {
		must(b, tx.InsertRow(ctx, table, row(id, 1)))
	}
	must(b, tx.Commit(ctx))
	var stop atomic.Bool
	var wait sync.WaitGroup
	var most atomic.Int64
	took := []time.Duration{}
	before := resident(b)
	group.Store(0)
	wait.Go(func() {
		for !stop.Load() {
			most.Store(max(most.Load(), resident(b)))
			time.Sleep(20 * time.Millisecond)
		}
	})
	wait.Go(func() {
		for id := int64(rows); !stop.Load(); id++ {
			start := time.Now()
			tx := e.Begin(RepeatableRead)
			if err := errors.Join(tx.InsertRow(ctx, table, row(id, 3)), tx.Commit(ctx)); err != nil {
				b.Error(err)
				return
			}
			took = append(took, time.Since(start))
			time.Sleep(time.Millisecond)
		}
	})
	b.ResetTimer()
	for n := range b.N {
		tx := e.Begin(RepeatableRead)
		for id := range int64(rows) {
			must(b, tx.UpdateRow(ctx, table, row(id, int32(n+1)), row(id, int32(n+2))))
		}
		start := time.Now()
		must(b, tx.Commit(ctx))
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/commit")
	}
	b.StopTimer()
	stop.Store(true)
	wait.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(most.Load()-before)/1e6, "MB-more")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "ms-slowest-other")
	b.ReportMetric(float64(group.Load())/1e6, "ms-slowest-group")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "ms-median-other")
}

// resident is the memory of the process, bytes.
func resident(t testing.TB) int64 {
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
