package txn

import (
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// sweeper deletes the keys of dropped indexes once no view is old enough to need
// them. What it has not done when the process ends, the next Open does.
type sweeper struct {
	e    *Engine
	mu   sync.Mutex
	todo []dropped
	kick chan struct{}
	done chan struct{}
	wait sync.WaitGroup
}

// sweepRetry is when the sweeper looks again whether there is space.
const sweepRetry = time.Second

// dropped are indexes that applied transaction number by removed from the catalog.
type dropped struct {
	by      uint64
	indexes []uint32
}

func newSweeper(e *Engine) *sweeper {
	s := &sweeper{e: e, kick: make(chan struct{}, 1), done: make(chan struct{})}
	s.wait.Go(s.run)
	return s
}

func (s *sweeper) add(by uint64, indexes []uint32) {
	s.mu.Lock()
	s.todo = append(s.todo, dropped{by, indexes})
	s.mu.Unlock()
}

func (s *sweeper) pending() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.todo {
		n += len(d.indexes)
	}
	return n
}

// wake lets the sweeper look again; it never blocks.
func (s *sweeper) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *sweeper) close() {
	close(s.done)
	s.wait.Wait()
}

func (s *sweeper) run() {
	for {
		select {
		case <-s.done:
			return
		case <-s.kick:
			s.sweep()
		}
	}
}

// sweep deletes what no open view can see: views that stand at the dropping
// transaction, or later, have a catalog without the index.
func (s *sweeper) sweep() {
	s.mu.Lock()
	empty := len(s.todo) == 0
	s.mu.Unlock()
	if empty {
		return
	}
	if s.e.store.CheckLastSpace() != nil {
		time.AfterFunc(sweepRetry, s.wake)
		return
	}
	oldest, _ := s.e.oldestView()
	s.mu.Lock()
	var ready []uint32
	rest := s.todo[:0]
	for _, d := range s.todo {
		if d.by <= oldest {
			ready = append(ready, d.indexes...)
		} else {
			rest = append(rest, d)
		}
	}
	s.todo = rest
	s.mu.Unlock()
	if len(ready) == 0 {
		return
	}
	for _, id := range ready {
		s.e.counters.forget(id)
		s.e.changed.forget(id)
		s.e.locks.forget(indexSpace(id))
	}
	err := deleteIndexes(s.e.store.DB, ready)
	if err == nil {
		// The published view was taken before the deletion and keeps the keys on disk.
		// On a full disk no commit follows that would replace it: an empty one does.
		err = s.e.queue.commit(&commitRequest{})
	}
	if err != nil && err != ErrClosed {
		s.e.log.Error(err.Error())
	}
}

// deleteIndexes removes every key of the indexes and the marks that asked for it.
// It needs no sync: where it is lost, the marks are still there.
func deleteIndexes(db *pebble.DB, indexes []uint32) error {
	if len(indexes) == 0 {
		return nil
	}
	b := db.NewBatch()
	defer b.Close()
	for _, id := range indexes {
		for _, space := range []store.Space{store.SpaceRows, store.SpaceLarge, store.SpaceStatistics} {
			span := store.IndexSpan(space, id)
			if err := b.DeleteRange(span.Start, span.End, nil); err != nil {
				return fmt.Errorf("delete index %d: %w", id, err)
			}
		}
		for _, key := range [][]byte{
			store.MetaPendingDropKey(id), store.MetaBuildingKey(id),
			store.MetaAutoIncrementKey(id), store.MetaRowIDKey(id),
		} {
			if err := b.Delete(key, nil); err != nil {
				return fmt.Errorf("delete index %d: %w", id, err)
			}
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("delete dropped indexes: %w", err)
	}
	return nil
}

// recover finishes what a crash left behind and reads the id counter.
func (e *Engine) recover() error {
	db := e.store.DB
	b, err := store.Get(db, store.MetaNextIDKey())
	if err != nil {
		return err
	}
	next, ok := store.U32(b)
	if !ok {
		return fmt.Errorf("the store in %s has no id counter: %w", e.store.Dir(), store.ErrCorrupt)
	}
	e.nextID.Store(next)
	var left []uint32
	for _, mark := range [][]byte{store.MetaPendingDropKey(0), store.MetaBuildingKey(0)} {
		prefix := mark[:len(mark)-4]
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: store.PrefixEnd(prefix)})
		if err != nil {
			return fmt.Errorf("read unfinished work: %w", err)
		}
		for ok := it.First(); ok; ok = it.Next() {
			if id, ok := store.U32(it.Key()[len(prefix):]); ok {
				left = append(left, id)
			}
		}
		if err := it.Close(); err != nil {
			return fmt.Errorf("read unfinished work: %w", err)
		}
	}
	return deleteIndexes(db, left)
}
