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
	statements [kinds_]atomic.Uint64
	direct     [direct.Reasons]atomic.Uint64 // those answered without the planner, and the others by why not
	commitSum  atomic.Int64                  // nanoseconds
	commits    [len(commitBounds) + 1]atomic.Uint64

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

// Counters are the engine's counters at one moment.
type Counters struct {
	Statements map[string]uint64 // by kind
	Errors     map[uint16]uint64 // by MySQL error number
	Direct     uint64            // statements answered without the planner
	Left       map[string]uint64 // statements left to it, by reason
	// Commits are the transactions that wrote and were committed; their time in
	// the commit queue up to the answer, in seconds, by upper bound (cumulative).
	Commits       uint64
	CommitSeconds float64
	CommitBuckets map[float64]uint64
}

// Counters reads the counters.
func (e *Engine) Counters() Counters {
	c := Counters{Statements: map[string]uint64{}, Errors: map[uint16]uint64{}, Left: map[string]uint64{}, CommitBuckets: map[float64]uint64{}}
	for r := range e.stats.direct {
		if n := e.stats.direct[r].Load(); r == int(direct.None) {
			c.Direct = n
		} else {
			c.Left[direct.Reason(r).String()] = n
		}
	}
	for k := range e.stats.statements {
		c.Statements[kindNames[k]] = e.stats.statements[k].Load()
	}
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
