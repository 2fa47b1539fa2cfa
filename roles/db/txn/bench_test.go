package txn

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

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
