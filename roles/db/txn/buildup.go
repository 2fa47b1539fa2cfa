package txn

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// A read is slowed down where it passes more entries of the store than slowSteps, and more than
// slowPerRow for each that it asks for. An entry is a version of a row or the mark of a
// deletion.
const (
	slowSteps  = 1000
	slowPerRow = 10
)

// flushPause lies between two flushes: each makes a table, and work for compactions.
const flushPause = time.Second

// buildup keeps reads fast where versions and marks of deletions pile up in memory: of a row
// that is changed all the time, of a queue that is filled at one end and emptied at the other.
// Reads report what they had to pass, and a flush drops what no view needs. On disk old versions
// cost nothing, for Pebble passes over their blocks, and it compacts where marks are dense.
type buildup struct {
	e       *Engine
	reports chan store.KeyRange
	ctx     context.Context
	cancel  context.CancelFunc
	wait    sync.WaitGroup
	flushes atomic.Uint64
}

func newBuildup(e *Engine) *buildup {
	b := &buildup{e: e, reports: make(chan store.KeyRange, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.wait.Go(b.run)
	return b
}

func (b *buildup) close() {
	b.cancel()
	b.wait.Wait()
}

// slow says whether a read was slowed down, by what its iterator has counted.
func slow(s pebble.IteratorStats) bool {
	n := s.InternalStats.PointCount
	return n > slowSteps && n > slowPerRow*uint64(
		s.ForwardSeekCount[pebble.InterfaceCall]+s.ForwardStepCount[pebble.InterfaceCall]+
			s.ReverseSeekCount[pebble.InterfaceCall]+s.ReverseStepCount[pebble.InterfaceCall])
}

// report takes note of a range that was slow to read. It never blocks: while one waits
// others are dropped, and the reads that follow bring them again.
func (b *buildup) report(r store.KeyRange) {
	select {
	case b.reports <- r:
	default:
	}
}

// busy says that a report would be dropped.
func (b *buildup) busy() bool { return len(b.reports) == cap(b.reports) }

func (b *buildup) run() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case r := <-b.reports:
			if err := b.clear(r); err != nil {
				b.e.log.Error(err.Error())
			}
		}
	}
}

// clear flushes if the range is still slow to read and most of what is in the way is in
// memory, and then waits until another flush may come.
func (b *buildup) clear(r store.KeyRange) error {
	all, err := b.look(r, false)
	if err != nil || !slow(all) {
		return err
	}
	onDisk, err := b.look(r, true)
	if err != nil || !flushHelps(all, onDisk) {
		return err
	}
	done, err := b.e.store.DB.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush versions that slow down reads: %w", err)
	}
	select {
	case <-done:
		b.flushes.Add(1)
	case <-b.ctx.Done():
	}
	select {
	case <-time.After(flushPause):
	case <-b.ctx.Done():
	}
	return nil
}

// flushHelps says whether most of what is in the way is in memory. all is a slow read, onDisk
// the same of the tables on disk alone.
func flushHelps(all, onDisk pebble.IteratorStats) bool {
	return !slow(onDisk) || onDisk.InternalStats.PointCount < all.InternalStats.PointCount/2
}

// lookLimit bounds the entries that look passes, but for those in front of one row.
const lookLimit = 200_000

// look reads a range as it is now, all of it or what is in tables on disk alone.
func (b *buildup) look(r store.KeyRange, onDisk bool) (s pebble.IteratorStats, err error) {
	it, err := b.e.store.DB.NewIter(&pebble.IterOptions{
		LowerBound: r.Start, UpperBound: r.End, OnlyReadGuaranteedDurable: onDisk,
	})
	if err != nil {
		return s, fmt.Errorf("look for what slows down reads: %w", err)
	}
	for ok := it.First(); ok && b.ctx.Err() == nil && it.Stats().InternalStats.PointCount < lookLimit; {
		ok = it.Next()
	}
	s = it.Stats()
	if err := it.Close(); err != nil {
		return s, fmt.Errorf("look for what slows down reads: %w", err)
	}
	return s, nil
}
