package sql

import (
	"sync/atomic"
	"time"

	"stack/roles/db/txn"
)

// path says who answered a statement.
type path uint8

const (
	byPlanner path = iota
	byDirect
	paths
)

// pathNames name the paths in metrics.
var pathNames = [paths]string{"planner", "direct"}

// item is something that sessions count.
type item uint8

const (
	itemQuestions  item = iota // statements of clients
	itemQueries                // those and the statements of routines
	itemSlow                   // see Session.noteSlow
	itemSelectScan             // SELECTs that read an index or a table as a whole
	itemRowsSent
	itemKeyReads
	itemRangeReads
	itemScans
	itemKeyRows
	itemRangeRows
	itemScanRows
	itemInserted
	itemUpdated
	itemDeleted
	itemSorted // rows
	itemCommits
	itemRollbacks
	items
)

// latencyBounds are the upper bounds of the buckets of statements' times, in seconds.
var latencyBounds = [...]float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// tally counts what a session does. Only the session adds to it, so that sessions do not wait for
// one another's memory; anybody may read.
type tally struct {
	items      [items]atomic.Uint64
	commands   [commands]atomic.Uint64
	statements [kinds_][paths]atomic.Uint64
	latency    [paths][len(latencyBounds) + 1]atomic.Uint64
	nanos      [paths]atomic.Uint64
}

func (t *tally) add(i item, n uint64) {
	if n > 0 {
		t.items[i].Add(n)
	}
}

// took adds the time of a statement.
func (t *tally) took(p path, d time.Duration) {
	i, seconds := 0, d.Seconds()
	for i < len(latencyBounds) && seconds > latencyBounds[i] {
		i++
	}
	t.latency[p][i].Add(1)
	t.nanos[p].Add(uint64(max(d, 0)))
}

// work adds what a statement's transactions have done.
func (t *tally) work(w *txn.Work) {
	t.add(itemKeyReads, w.Keys)
	t.add(itemRangeReads, w.Ranges)
	t.add(itemScans, w.Scans)
	t.add(itemKeyRows, w.KeyRows)
	t.add(itemRangeRows, w.RangeRows)
	t.add(itemScanRows, w.ScanRows)
	t.add(itemInserted, w.Inserted)
	t.add(itemUpdated, w.Updated)
	t.add(itemDeleted, w.Deleted)
	t.add(itemSorted, w.Sorted)
}

// addTo adds the tally to another.
func (t *tally) addTo(sum *tally) {
	addAll(sum.items[:], t.items[:])
	addAll(sum.commands[:], t.commands[:])
	for k := range t.statements {
		addAll(sum.statements[k][:], t.statements[k][:])
	}
	for p := range t.latency {
		addAll(sum.latency[p][:], t.latency[p][:])
	}
	addAll(sum.nanos[:], t.nanos[:])
}

func addAll(sum, add []atomic.Uint64) {
	for i := range add {
		if n := add[i].Load(); n > 0 {
			sum[i].Add(n)
		}
	}
}

// totals adds up what all sessions have done, those that have ended too.
func (e *Engine) totals() *tally {
	sum := &tally{}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended.addTo(sum)
	for _, s := range e.sessions {
		s.tally.addTo(sum)
	}
	return sum
}
