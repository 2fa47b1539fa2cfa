package sql

import (
	"context"
	"errors"
	"sync"
	"time"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

const (
	// gatherTick is how often the gatherer looks which tables have changed.
	gatherTick = 10 * time.Second
	// gatherChange is the part of a table's rows after whose change its statistics are
	// gathered again: one in 10.
	gatherChange = 10
	// gatherRest is how many times as long as it reads the gatherer rests.
	gatherRest = 9
	// gatherBytes bounds the tables that are read unasked, bytes on disk: ANALYZE TABLE reads
	// larger ones.
	gatherBytes = 1 << 30
)

// gatherer keeps statistics up to date in the background: of one table at a time, with
// pauses, so that statements do not notice.
type gatherer struct {
	engine *Engine
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startGatherer(e *Engine) *gatherer {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gatherer{engine: e, cancel: cancel}
	g.done.Go(func() { g.loop(ctx) })
	return g
}

// stop ends what is being read and waits for it.
func (g *gatherer) stop() {
	g.cancel()
	g.done.Wait()
}

func (g *gatherer) loop(ctx context.Context) {
	tick := time.NewTicker(gatherTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.engine.gatherDue(ctx)
		}
	}
}

// gatherDue gathers the statistics of the tables that have changed enough, and of those
// that the planner has asked for and has none of.
func (e *Engine) gatherDue(ctx context.Context) {
	changed, wanted := e.db.ChangedRows(), e.statistics.takeWanted()
	if len(changed) == 0 && len(wanted) == 0 {
		return
	}
	catalog := e.db.Catalog()
	for _, d := range catalog.Databases() {
		if store.Internal(d.Name) {
			continue
		}
		for _, t := range catalog.Tables(d.Name) {
			if ctx.Err() != nil {
				return
			}
			if !e.due(t, changed[t.Primary.Desc.ID], wanted[t.Primary.Desc.ID]) {
				continue
			}
			if err := e.gatherSlowly(ctx, t); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, txn.ErrTableChanged) && !errors.Is(err, txn.ErrClosed) {
				e.log.Warn("statistics of a table were not gathered; ANALYZE TABLE tries again", "table", d.Name+"."+t.Desc.Name, "error", err)
			}
		}
	}
}

// due says whether a table has changed enough, or lacks statistics that are wanted.
func (e *Engine) due(t *store.Table, n txn.RowChanges, wanted bool) bool {
	if n.Rows == 0 && !wanted || e.sizes.bytes(t) > gatherBytes {
		return false
	}
	if wanted {
		return true
	}
	known := e.statistics.of(t.Primary)
	return known == nil || n.Rows*gatherChange >= known.Rows
}

func (e *Engine) gatherSlowly(ctx context.Context, t *store.Table) (err error) {
	defer recovered(&err)
	return e.gather(ctx, t, false, func(took time.Duration) error {
		rest := time.NewTimer(gatherRest * took)
		defer rest.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest.C:
			return nil
		}
	})
}
