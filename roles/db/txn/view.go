package txn

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/binlog"
	"stack/roles/db/store"
)

// Position is how far a server has executed: its UUID and the sequence number of the
// last transaction. As text it is a GTID set.
type Position struct {
	Server string
	Seq    uint64
}

// view is a consistent state of the store: a snapshot, the catalog, the executed
// position and the end of the log that belong together. It lives as long as somebody holds it.
type view struct {
	snap    *pebble.Snapshot
	catalog *store.Catalog
	done    executed
	log     binlog.Position
	applied uint64 // number of the last applied transaction since the start, logged or not
	taken   time.Time
	refs    atomic.Int64
}

// tryRef takes a reference unless the last one is gone.
func (v *view) tryRef() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// currentView returns the published view with a reference for the caller, nil once
// the engine is closed.
func (e *Engine) currentView() *view {
	for !e.closed.Load() {
		if v := e.current.Load(); v.tryRef() {
			return v
		}
	}
	return nil
}

func (e *Engine) newView(catalog *store.Catalog, done executed, applied uint64) *view {
	v := &view{
		snap: e.store.DB.NewSnapshot(), catalog: catalog, done: done, log: e.binlog.Written(), applied: applied, taken: time.Now(),
	}
	v.refs.Store(1)
	e.viewsMu.Lock()
	e.views[v] = struct{}{}
	e.viewsMu.Unlock()
	return v
}

// publish makes v what new readers see.
func (e *Engine) publish(v *view) {
	if old := e.current.Swap(v); old != nil {
		e.releaseView(old)
	}
}

func (e *Engine) releaseView(v *view) {
	if v.refs.Add(-1) > 0 {
		return
	}
	if err := v.snap.Close(); err != nil {
		e.log.Error("close a view: " + err.Error())
	}
	e.viewsMu.Lock()
	delete(e.views, v)
	e.viewsMu.Unlock()
	e.sweeper.wake()
}

// oldestView is the smallest number of an applied transaction that an open view stands at.
func (e *Engine) oldestView() (applied uint64, taken time.Time) {
	e.viewsMu.Lock()
	defer e.viewsMu.Unlock()
	applied, taken = ^uint64(0), time.Now()
	for v := range e.views {
		applied = min(applied, v.applied)
		if v.taken.Before(taken) && v != e.current.Load() {
			taken = v.taken
		}
	}
	return applied, taken
}
