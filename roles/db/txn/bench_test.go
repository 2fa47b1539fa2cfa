package txn

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/db/store"
)

// BenchmarkCommitGroups commits one row of about 190 bytes with an index entry per
// transaction, on a real directory with a sync per group.
func BenchmarkCommitGroups(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			st, err := store.Open(store.Options{Dir: b.TempDir()})
			must(b, err)
			e, err := Open(st, Options{})
			must(b, err)
			desc := people(b)
			desc.Indexes = desc.Indexes[1:2]
			table := createTable(b, e, desc)
			note := strings.Repeat("n", 150)
			var id atomic.Int64
			b.SetParallelism(writers) // times GOMAXPROCS goroutines share the work
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					tx := e.Begin(RepeatableRead)
					n := id.Add(1)
					if err := tx.InsertRow(ctx, table, person(n, fmt.Sprint(n), int32(n), note)); err != nil {
						b.Error(err)
					}
					if err := tx.Commit(ctx); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			s := e.Stats()
			b.ReportMetric(float64(s.Commits)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(s.Commits)/float64(s.Groups), "commits/group")
			must(b, e.Close())
			must(b, st.Close())
		})
	}
}

// BenchmarkCommitAcknowledged is BenchmarkCommitGroups with 64 writers whose commits wait for a
// member that acknowledges what it reads in the log after so long, and with nobody to wait for.
func BenchmarkCommitAcknowledged(b *testing.B) {
	for _, delay := range []time.Duration{-1, 0, time.Millisecond} {
		name := "none"
		if delay >= 0 {
			name = fmt.Sprintf("after=%v", delay)
		}
		b.Run(name, func(b *testing.B) {
			st, err := store.Open(store.Options{Dir: b.TempDir()})
			must(b, err)
			e, err := Open(st, Options{})
			must(b, err)
			desc := people(b)
			desc.Indexes = desc.Indexes[1:2]
			table := createTable(b, e, desc)
			end := make(chan struct{})
			var member sync.WaitGroup
			if delay >= 0 {
				must(b, e.SetAckPolicy(AckPolicy{Need: 1, Members: []string{"a"}, Strict: true}))
				member.Go(func() {
					for {
						// Several are on their way at once, as on a network.
						seq := e.acks.logged.Load()
						time.AfterFunc(delay, func() { _ = e.Acknowledge("a", 0, seq) })
						select {
						case <-end:
							return
						case <-time.After(50 * time.Microsecond):
						}
					}
				})
			}
			note := strings.Repeat("n", 150)
			var id atomic.Int64
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					tx := e.Begin(RepeatableRead)
					n := id.Add(1)
					if err := tx.InsertRow(ctx, table, person(n, fmt.Sprint(n), int32(n), note)); err != nil {
						b.Error(err)
					}
					if err := tx.Commit(ctx); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(e.Stats().Commits)/b.Elapsed().Seconds(), "commits/s")
			close(end)
			member.Wait()
			must(b, e.Close())
			must(b, st.Close())
		})
	}
}
