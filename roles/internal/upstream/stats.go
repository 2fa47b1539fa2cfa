package upstream

import (
	"sync/atomic"
	"time"
)

// latencyBounds are the upper bounds of the latency buckets in microseconds; one more
// bucket takes what is slower.
var latencyBounds = [...]int64{500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000}

// loopStats are the counters of one server on one loop. Only that loop writes them, so
// the atomics are never contended; a scrape sums them over the loops.
type loopStats struct {
	picks          atomic.Uint64
	connectErrors  atomic.Uint64
	retries        atomic.Uint64
	responseErrors atomic.Uint64
	responses      [6]atomic.Uint64
	latency        [len(latencyBounds) + 1]atomic.Uint64
	latencySum     atomic.Uint64 // microseconds
	_              [cacheLine]byte
}

// Response counts an answer: status by its class (100..599, else it goes to class 0)
// and the time from the request sent to the head of the answer.
func (s *Server) Response(loop int, status int, latency time.Duration) {
	st := &s.stats[loop]
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	st.responses[class].Add(1)
	us := latency.Microseconds()
	i := 0
	for i < len(latencyBounds) && us > latencyBounds[i] {
		i++
	}
	st.latency[i].Add(1)
	st.latencySum.Add(uint64(max(us, 0)))
}

// refusals are the requests and sessions of one loop that a pool had no server for.
type refusals struct {
	down atomic.Uint64
	full atomic.Uint64
	_    [cacheLine]byte
}

func (r *refusals) count(err error) {
	if err == ErrFull {
		r.full.Add(1)
		return
	}
	r.down.Add(1)
}

// Refused returns how often no server could be chosen: none in rotation, or each one
// at its maxconn.
func (p *Pool) Refused() (down, full uint64) {
	for i := range p.refused {
		down += p.refused[i].down.Load()
		full += p.refused[i].full.Load()
	}
	return down, full
}

// Counters are a server's counters summed over the loops.
type Counters struct {
	Picks         uint64 `json:"picks"`
	ConnectErrors uint64 `json:"connect_errors"`
	Retries       uint64 `json:"retries"`
	// ResponseErrors are answers that broke off, made no sense or came too late.
	ResponseErrors uint64 `json:"response_errors"`
	// Responses by class: index 1..5 is 1xx..5xx, 0 anything else.
	Responses [6]uint64 `json:"responses"`

	latency    [len(latencyBounds) + 1]uint64
	latencySum uint64
}

// Counters sums what the loops counted.
func (s *Server) Counters() Counters {
	var c Counters
	for i := range s.stats {
		st := &s.stats[i]
		c.Picks += st.picks.Load()
		c.ConnectErrors += st.connectErrors.Load()
		c.Retries += st.retries.Load()
		c.ResponseErrors += st.responseErrors.Load()
		for j := range st.responses {
			c.Responses[j] += st.responses[j].Load()
		}
		for j := range st.latency {
			c.latency[j] += st.latency[j].Load()
		}
		c.latencySum += st.latencySum.Load()
	}
	return c
}
