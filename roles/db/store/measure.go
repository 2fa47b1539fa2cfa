package store

import (
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/cockroachdb/pebble/v2"
)

// Histogram is a distribution of times: buckets by their upper bounds in seconds, cumulative.
type Histogram struct {
	Count   uint64
	Seconds float64 // of all
	Buckets map[float64]uint64
}

// fsyncBuckets are those of Pebble's hundred that are told: the first fifty are 0.1 ms apart,
// the others grow from 5 ms to 10 s.
var fsyncBuckets = []int{1, 2, 5, 10, 20, 50, 56, 62, 68, 74, 80, 86, 92, 99}

// Fsyncs is how long syncs of the write-ahead log took, since the store was opened; nil before
// the first log.
func Fsyncs(m *pebble.Metrics) *Histogram {
	var out dto.Metric
	if m.LogWriter.FsyncLatency == nil || m.LogWriter.FsyncLatency.Write(&out) != nil {
		return nil
	}
	h := &Histogram{Count: out.Histogram.GetSampleCount(), Seconds: out.Histogram.GetSampleSum(), Buckets: map[float64]uint64{}}
	for _, i := range fsyncBuckets {
		if i < len(out.Histogram.Bucket) {
			h.Buckets[out.Histogram.Bucket[i].GetUpperBound()] = out.Histogram.Bucket[i].GetCumulativeCount()
		}
	}
	return h
}

// stalls are the times at which Pebble has held writes up.
type stalls struct {
	count, nanos atomic.Int64
	since        atomic.Int64 // Unix nanoseconds; 0: not now
}

func (s *stalls) begin() {
	s.count.Add(1)
	s.since.Store(time.Now().UnixNano())
}

func (s *stalls) end() {
	if since := s.since.Swap(0); since != 0 {
		s.nanos.Add(time.Now().UnixNano() - since)
	}
}

// Stalls is how often, and how long, writes were held up because memtables or the first level of
// files were full; one that lasts is in it.
func (s *Store) Stalls() (n int64, took time.Duration) {
	took = time.Duration(s.stalls.nanos.Load())
	if since := s.stalls.since.Load(); since != 0 {
		took += time.Duration(time.Now().UnixNano() - since)
	}
	return s.stalls.count.Load(), took
}
