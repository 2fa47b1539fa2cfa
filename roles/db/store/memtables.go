package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// memtableEntry is the room that Pebble reserves in a memtable for the deletion of a key of two
	// bytes, whatever it takes then (a sixth), less a few bytes.
	memtableEntry = 190
	// grownMemtable is the size from which memtables are worth growing ahead.
	grownMemtable = 4 << 20
)

// GrowMemtables brings the memtables of a server that starts to their full size. Pebble begins with
// small ones and doubles each next one, later in a heap whose memory was used before: to clear
// 32 MiB of it then holds up all commits for 90 ms. A full-sized one is used again after its flush.
//
// Each batch reserves a little less than half of the full size, from which on Pebble would keep it
// beside the memtables: the first needs a memtable of half the size, and one of the next, for which
// that one has not enough left, a full one.
func (s *Store) GrowMemtables() error {
	// The work is for those who commit later. A nearly full disk has none of them.
	n := s.opts.MemtableSize * 15 / 32 / memtableEntry
	if s.opts.MemtableSize < grownMemtable || s.CheckSpace(s.opts.MemtableSize) != nil {
		return nil
	}
	for s.DB.Metrics().MemTable.Size < s.opts.MemtableSize {
		b := s.DB.NewBatch()
		for range n {
			if err := b.Delete([]byte{byte(SpaceMeta), metaNothing}, nil); err != nil {
				return fmt.Errorf("make room for writes in the store in %s: %w", s.dir, err)
			}
		}
		if err := b.Commit(pebble.NoSync); err != nil {
			return fmt.Errorf("make room for writes in the store in %s: %w", s.dir, err)
		}
	}
	// Another one of that size takes its place, and Pebble keeps the memory of the first for the next one.
	if err := s.DB.Flush(); err != nil {
		return fmt.Errorf("make room for writes in the store in %s: %w", s.dir, err)
	}
	return nil
}
