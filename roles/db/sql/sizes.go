package sql

import (
	"context"
	"sync"
	"time"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// sizes estimates how big tables are, for the planner and information_schema. What has
// not been written from memory to disk yet is not in it.
type sizes struct {
	store      *store.Store
	db         *txn.Engine
	statistics *statistics

	mu    sync.Mutex
	known map[uint32]size // by index id
}

type size struct {
	bytes   uint64
	rows    uint64
	counted time.Time // of rows
	at      time.Time // of bytes
}

const (
	sizeAge = 10 * time.Second // how long an estimate is kept
	// sizesKept bounds the estimates kept.
	sizesKept = 10_000
	// rowBytes is what a row is taken to need on disk, compressed.
	rowBytes = 100
	// rowsCounted is up to where rows are counted rather than estimated: that takes
	// less than a millisecond.
	rowsCounted = 2000
)

func (z *sizes) index(id uint32) uint64 {
	z.mu.Lock()
	s, ok := z.known[id]
	z.mu.Unlock()
	if ok && time.Since(s.at) < sizeAge {
		return s.bytes
	}
	n, err := z.store.DiskUsage(id)
	if err != nil {
		return s.bytes // an estimate: the last one is as good
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.known == nil || len(z.known) >= sizesKept {
		z.known = map[uint32]size{}
	}
	s = z.known[id]
	s.bytes, s.at = n, time.Now()
	z.known[id] = s
	return n
}

// rows counts the rows of a small table and estimates those of others, by the statistics if
// there are any.
func (z *sizes) rows(ctx context.Context, t *store.Table) uint64 {
	id := t.Primary.Desc.ID
	z.mu.Lock()
	s, ok := z.known[id]
	z.mu.Unlock()
	if ok && time.Since(s.counted) < sizeAge {
		return s.rows
	}
	n, err := z.count(ctx, t)
	if err != nil {
		return s.rows // an estimate: the last one is as good
	}
	if n == rowsCounted {
		if gathered, ok := z.statistics.rows(t); ok {
			n = max(n, gathered)
		} else {
			n = max(n, z.index(id)/rowBytes)
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.known == nil || len(z.known) >= sizesKept {
		z.known = map[uint32]size{}
	}
	s = z.known[id]
	s.rows, s.counted = n, time.Now()
	z.known[id] = s
	return n
}

func (z *sizes) count(ctx context.Context, t *store.Table) (uint64, error) {
	tx := z.db.Begin(txn.ReadCommitted)
	defer tx.Rollback()
	rows, err := tx.Scan(ctx, t, txn.Scan{Mode: txn.Consistent, Columns: []int{}})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var n uint64
	for n < rowsCounted && rows.Next() {
		n++
	}
	return n, rows.Err()
}

func (z *sizes) bytes(t *store.Table) uint64 {
	total := z.index(t.Primary.Desc.ID)
	for _, ix := range t.Indexes {
		total += z.index(ix.Desc.ID)
	}
	return total
}
