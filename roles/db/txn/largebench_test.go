package txn

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/db/store"
)

// BenchmarkLargeTransaction changes rows and their entries in one transaction on the disk
// while another client commits: how long that takes, how much the resident memory grows at
// most, and for how long the commits of the other stand still, beside a control that syncs
// files as the leader has to, on the same disk at the same time. Run it with -benchtime=5x
// or so: each run is one transaction.
func BenchmarkLargeTransaction(b *testing.B) {
	for _, rows := range []int64{100_000, 1_000_000} {
		b.Run(fmt.Sprint("rows=", rows), func(b *testing.B) { benchmarkLarge(b, rows) })
	}
}

func benchmarkLarge(b *testing.B, rows int64) {
	dir := b.TempDir()
	st, err := store.Open(store.Options{Dir: dir, CacheBytes: 64 << 20})
	must(b, err)
	var longest atomic.Int64 // time of the leader with a group
	e, err := Open(st, Options{Observe: func(_ int, took time.Duration) {
		longest.Store(max(longest.Load(), int64(took)))
	}})
	must(b, err)
	defer func() { must(b, errors.Join(e.Close(), st.Close())) }()
	table := createTable(b, e, people(b))
	note := strings.Repeat("n", 150)
	row := func(id int64, age int32) []any { return person(id, "mail"+strconv.FormatInt(id, 10), age, note) }
	tx := e.Begin(RepeatableRead)
	for id := range rows {
		must(b, tx.InsertRow(ctx, table, row(id, 1)))
	}
	must(b, tx.Commit(ctx))
	var stop atomic.Bool
	var wait sync.WaitGroup
	var most, control atomic.Int64
	before := resident(b)
	wait.Go(func() {
		for !stop.Load() {
			most.Store(max(most.Load(), resident(b)))
			time.Sleep(20 * time.Millisecond)
		}
	})
	wait.Go(func() {
		for id := rows; !stop.Load(); id++ {
			tx := e.Begin(RepeatableRead)
			if err := errors.Join(tx.InsertRow(ctx, table, row(id, 3)), tx.Commit(ctx)); err != nil {
				b.Error(err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	wait.Go(func() {
		for !stop.Load() {
			start := time.Now()
			if err := syncFiles(dir); err != nil {
				b.Error(err)
				return
			}
			control.Store(max(control.Load(), int64(time.Since(start))))
			time.Sleep(10 * time.Millisecond)
		}
	})
	var commits, stalls, controls []float64
	b.ResetTimer()
	for n := range b.N {
		tx := e.Begin(RepeatableRead)
		for id := range rows {
			must(b, tx.UpdateRow(ctx, table, row(id, int32(n+1)), row(id, int32(n+2))))
		}
		longest.Store(0)
		control.Store(0)
		start := time.Now()
		must(b, tx.Commit(ctx))
		commits = append(commits, float64(time.Since(start).Milliseconds()))
		stalls = append(stalls, float64(longest.Load())/1e6)
		controls = append(controls, float64(control.Load())/1e6)
	}
	b.StopTimer()
	stop.Store(true)
	wait.Wait()
	b.ReportMetric(float64(most.Load()-before)/1e6, "MB-more")
	b.ReportMetric(median(commits), "ms-commit")
	b.ReportMetric(median(stalls), "ms-stall")
	b.ReportMetric(median(controls), "ms-control")
}

// syncFiles makes two small files and their directory durable, twice: about what taking
// table files into the store needs.
func syncFiles(dir string) error {
	for i := range 4 {
		path := filepath.Join(dir, fmt.Sprint("control", i))
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, 4096))
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		if i%2 == 0 {
			continue
		}
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
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
