package supervise

import (
	"math"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func sampleFamilies() []*dto.MetricFamily {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total", Help: "C."}, []string{"code"})
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h_seconds", Help: "H.", Buckets: []float64{1, 2}})
	s := prometheus.NewSummary(prometheus.SummaryOpts{Name: "s", Help: "S.", Objectives: map[float64]float64{0.5: 0.1}})
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "G."})
	r.MustRegister(c, h, s, g)
	c.WithLabelValues("200").Add(3)
	c.WithLabelValues("404").Add(1)
	h.Observe(0.5)
	h.Observe(1.5)
	h.Observe(9)
	s.Observe(4)
	g.Set(7)
	f, _ := r.Gather()
	return f
}

func TestTotalsOverGenerations(t *testing.T) {
	decoded, err := decodeFamilies(encodeFamilies(sampleFamilies()))
	if err != nil {
		t.Fatal(err)
	}
	total := newTotals()
	total.add(decoded, false) // ended
	total.add(decoded, false) // drains
	total.add(decoded, true)  // serves
	got := map[string]*dto.MetricFamily{}
	for _, f := range total.list(label("role", "lb")) {
		got[f.GetName()] = f
	}
	if c := got["c_total"].Metric[0]; c.Counter.GetValue() != 9 || !hasLabel(c, "role", "lb") || !hasLabel(c, "code", "200") {
		t.Errorf("counter %v", c)
	}
	h := got["h_seconds"].Metric[0].Histogram
	if h.GetSampleCount() != 9 || h.GetSampleSum() != 33 || h.Bucket[0].GetCumulativeCount() != 3 || h.Bucket[1].GetCumulativeCount() != 6 {
		t.Errorf("histogram %v", h)
	}
	if s := got["s"].Metric[0].Summary; s.GetSampleCount() != 3 || s.GetSampleSum() != 12 || len(s.Quantile) != 1 || s.Quantile[0].GetValue() != 4 {
		t.Errorf("summary %v", s)
	}
	if g := got["g"].Metric[0].Gauge.GetValue(); g != 7 {
		t.Errorf("gauge %v", g)
	}
	// What was added is not changed: it is scraped and added again and again.
	if v := decoded[0].Metric[0].Counter.GetValue(); v != 3 {
		t.Errorf("the source became %v", v)
	}
	ended := newTotals()
	ended.add(decoded, false)
	for _, f := range ended.list() {
		if f.GetName() == "g" {
			t.Error("an ended generation has a gauge")
		}
	}
}

func TestHistogramsWithOtherBounds(t *testing.T) {
	bucket := func(b float64, n uint64) *dto.Bucket { return &dto.Bucket{UpperBound: &b, CumulativeCount: &n} }
	five, sum := uint64(5), 2.0
	a := &dto.Histogram{SampleCount: &five, SampleSum: &sum, Bucket: []*dto.Bucket{bucket(1, 2), bucket(4, 5)}}
	b := &dto.Histogram{SampleCount: &five, SampleSum: &sum, Bucket: []*dto.Bucket{bucket(2, 3), bucket(math.Inf(1), 5)}}
	addHistogram(a, b)
	want := []struct {
		b float64
		n uint64
	}{{1, 2}, {2, 5}, {4, 8}, {math.Inf(1), 10}}
	for i, w := range want {
		if a.Bucket[i].GetUpperBound() != w.b || a.Bucket[i].GetCumulativeCount() != w.n {
			t.Errorf("bucket %d: %v, want %v", i, a.Bucket[i], w)
		}
	}
}
