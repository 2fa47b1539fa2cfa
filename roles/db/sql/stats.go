package sql

import (
	"sync"
	"sync/atomic"
	"time"

	"stack/roles/db/direct"
)

// commitBounds are the upper bounds of the commit latency histogram's buckets, in
// seconds.
var commitBounds = [...]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}

// stats count what the engine does.
type stats struct {
	direct    [direct.Reasons]atomic.Uint64 // those answered without the planner, and the others by why not
	commitSum atomic.Int64                  // nanoseconds
	commits   [len(commitBounds) + 1]atomic.Uint64

	mu     sync.Mutex
	errors map[uint16]uint64
}

func (s *stats) committed(took time.Duration) {
	s.commitSum.Add(int64(took))
	i := 0
	for i < len(commitBounds) && took.Seconds() > commitBounds[i] {
		i++
	}
	s.commits[i].Add(1)
}

func (s *stats) failed(code uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errors == nil {
		s.errors = map[uint16]uint64{}
	}
	s.errors[code]++
}

// StatementCount is how many statements there were of a kind on a path.
type StatementCount struct {
	Kind, Path string
	N          uint64
}

// Latency is how long the statements of clients took that were answered on a path.
type Latency struct {
	Path    string
	Count   uint64
	Seconds float64            // of all
	Buckets map[float64]uint64 // by upper bound in seconds, cumulative
}

// Counters are the engine's counters at one moment.
type Counters struct {
	Statements []StatementCount
	Latency    []Latency         // of statements of clients
	Errors     map[uint16]uint64 // by MySQL error number
	Direct     uint64            // statements answered without the planner
	Left       map[string]uint64 // statements left to it, by reason
	// Commits are the transactions that wrote and were committed; their time in
	// the commit queue up to the answer, in seconds, by upper bound (cumulative).
	Slow     uint64 // slow statements
	RowsSent uint64 // to clients
	// Rows looked at, and written.
	RowsRead, RowsInserted, RowsUpdated, RowsDeleted uint64

	Commits       uint64
	CommitSeconds float64
	CommitBuckets map[float64]uint64
}

// Counters reads the counters.
func (e *Engine) Counters() Counters {
	c := Counters{Errors: map[uint16]uint64{}, Left: map[string]uint64{}, CommitBuckets: map[float64]uint64{}}
	for r := range e.stats.direct {
		if n := e.stats.direct[r].Load(); r == int(direct.None) {
			c.Direct = n
		} else {
			c.Left[direct.Reason(r).String()] = n
		}
	}
	t := e.totals()
	for k := range t.statements {
		for p := range t.statements[k] {
			c.Statements = append(c.Statements, StatementCount{kindNames[k], pathNames[p], t.statements[k][p].Load()})
		}
	}
	for p := range t.latency {
		l := Latency{Path: pathNames[p], Seconds: time.Duration(t.nanos[p].Load()).Seconds(), Buckets: map[float64]uint64{}}
		for i := range t.latency[p] {
			l.Count += t.latency[p][i].Load()
			if i < len(latencyBounds) {
				l.Buckets[latencyBounds[i]] = l.Count
			}
		}
		c.Latency = append(c.Latency, l)
	}
	c.Slow = t.items[itemSlow].Load()
	c.RowsSent = t.items[itemRowsSent].Load()
	c.RowsRead = t.items[itemKeyRows].Load() + t.items[itemRangeRows].Load() + t.items[itemScanRows].Load()
	c.RowsInserted, c.RowsUpdated, c.RowsDeleted = t.items[itemInserted].Load(), t.items[itemUpdated].Load(), t.items[itemDeleted].Load()
	for i := range e.stats.commits {
		c.Commits += e.stats.commits[i].Load()
		if i < len(commitBounds) {
			c.CommitBuckets[commitBounds[i]] = c.Commits
		}
	}
	c.CommitSeconds = time.Duration(e.stats.commitSum.Load()).Seconds()
	e.stats.mu.Lock()
	defer e.stats.mu.Unlock()
	for code, n := range e.stats.errors {
		c.Errors[code] = n
	}
	return c
}
