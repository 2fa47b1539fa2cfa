package store

import (
	"runtime/debug"
	"sync"
)

// holdGrowth is how much the block cache may grow while it is held, bytes.
const holdGrowth = 32 << 20

// holdGarbage is how much garbage there may be meanwhile, percent of what is in use. The usual is as
// much as is in use: the memory of a statement would count twice.
const holdGarbage = 30

// cacheHold keeps the block cache at about the size that it has while somebody works through more
// than memory holds: what one such statement has read would fill a cache that is not full yet, which
// nobody has asked for, and its own memory comes on top.
type cacheHold struct {
	mu      sync.Mutex
	holders int
	garbage int // what was allowed before
	release func()
}

func (s *Store) holdCache() {
	h := &s.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holders++; h.holders > 1 {
		return
	}
	h.garbage = debug.SetGCPercent(holdGarbage)
	// Memtables have their part of the cache's limit.
	taken := s.cache.Size() + int64(s.DB.Metrics().MemTable.Size)
	if rest := s.cache.MaxSize() - taken - holdGrowth; rest > 0 {
		h.release = s.cache.Reserve(int(rest))
	}
}

func (s *Store) letCache() {
	h := &s.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holders--; h.holders > 0 {
		return
	}
	debug.SetGCPercent(h.garbage)
	if h.release != nil {
		h.release()
		h.release = nil
	}
}
