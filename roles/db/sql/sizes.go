package sql

import (
	"sync"
	"time"

	"stack/roles/db/store"
)

// sizes estimates how big tables are, for the planner and information_schema. What has
// not been written from memory to disk yet is not in it.
type sizes struct {
	store *store.Store

	mu    sync.Mutex
	known map[uint32]size // by index id
}

type size struct {
	bytes uint64
	at    time.Time
}

const (
	sizeAge = 10 * time.Second // how long an estimate is kept
	// sizesKept bounds the estimates kept.
	sizesKept = 10_000
	// rowBytes is what a row is taken to need on disk, compressed.
	rowBytes = 100
	// rowsAtLeast is the planner's idea of a table that is in memory still.
	rowsAtLeast = 1000
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
	z.known[id] = size{n, time.Now()}
	return n
}

func (z *sizes) rows(t *store.Table) uint64 {
	return max(rowsAtLeast, z.index(t.Primary.Desc.ID)/rowBytes)
}

func (z *sizes) bytes(t *store.Table) uint64 {
	total := z.index(t.Primary.Desc.ID)
	for _, ix := range t.Indexes {
		total += z.index(ix.Desc.ID)
	}
	return total
}
