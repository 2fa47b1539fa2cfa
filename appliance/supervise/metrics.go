package supervise

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"
)

// maxFamilies bounds what one child may report.
const maxFamilies = 10_000

var protoFormat = expfmt.NewFormat(expfmt.TypeProtoDelim)

// encodeMetrics gathers a registry as delimited protobuf. What one collector cannot
// tell is left out; the rest stands.
func encodeMetrics(g prometheus.Gatherer) []byte {
	families, _ := g.Gather()
	return encodeFamilies(families)
}

func encodeFamilies(families []*dto.MetricFamily) []byte {
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, protoFormat)
	for _, f := range families {
		// A bytes.Buffer takes every write.
		_ = enc.Encode(f)
	}
	return b.Bytes()
}

// decodeFamilies reads what encodeFamilies wrote.
func decodeFamilies(b []byte) ([]*dto.MetricFamily, error) {
	dec := expfmt.NewDecoder(bytes.NewReader(b), protoFormat)
	var out []*dto.MetricFamily
	for {
		f := new(dto.MetricFamily)
		err := dec.Decode(f)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, f); len(out) > maxFamilies {
			return nil, errors.New("metrics: too many families")
		}
	}
}

// totals adds up families over the generations of a role. Counters, histograms and the
// count and sum of summaries add; everything else is the newest generation's.
type totals struct {
	families map[string]*totalFamily
}

type totalFamily struct {
	proto   *dto.MetricFamily // name, help, type
	metrics map[string]*dto.Metric
}

func newTotals() *totals { return &totals{families: map[string]*totalFamily{}} }

func accumulates(t dto.MetricType) bool {
	return t == dto.MetricType_COUNTER || t == dto.MetricType_HISTOGRAM || t == dto.MetricType_SUMMARY
}

// add adds families. newest is set for the generation that serves: only its gauges and
// quantiles count.
func (t *totals) add(families []*dto.MetricFamily, newest bool) {
	for _, f := range families {
		if !newest && !accumulates(f.GetType()) {
			continue
		}
		tf := t.families[f.GetName()]
		if tf == nil || tf.proto.GetType() != f.GetType() {
			if tf != nil && !newest {
				continue // a metric changed its type between two versions
			}
			tf = &totalFamily{
				proto:   &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type, Unit: f.Unit},
				metrics: map[string]*dto.Metric{},
			}
			t.families[f.GetName()] = tf
		}
		for _, m := range f.Metric {
			key := labelKey(m.Label)
			have := tf.metrics[key]
			if have == nil {
				have = proto.Clone(m).(*dto.Metric)
				if !newest && have.Summary != nil {
					have.Summary.Quantile = nil
				}
				tf.metrics[key] = have
				continue
			}
			addMetric(have, m, newest)
		}
	}
}

func addMetric(to, m *dto.Metric, newest bool) {
	switch {
	case to.Counter != nil && m.Counter != nil:
		to.Counter.Value = proto.Float64(to.Counter.GetValue() + m.Counter.GetValue())
	case to.Histogram != nil && m.Histogram != nil:
		addHistogram(to.Histogram, m.Histogram)
	case to.Summary != nil && m.Summary != nil:
		to.Summary.SampleCount = proto.Uint64(to.Summary.GetSampleCount() + m.Summary.GetSampleCount())
		to.Summary.SampleSum = proto.Float64(to.Summary.GetSampleSum() + m.Summary.GetSampleSum())
		if newest {
			to.Summary.Quantile = m.Summary.Quantile
		}
	case newest:
		proto.Reset(to)
		proto.Merge(to, m)
	}
}

// addHistogram adds cumulative buckets by their bound. A version that changed its
// bounds makes the union of both: an observation counts in each bucket at or above the
// bound that its own version knew.
func addHistogram(to, h *dto.Histogram) {
	to.SampleCount = proto.Uint64(to.GetSampleCount() + h.GetSampleCount())
	to.SampleSum = proto.Float64(to.GetSampleSum() + h.GetSampleSum())
	sum := map[float64]uint64{}
	for _, b := range slices.Concat(to.Bucket, h.Bucket) {
		sum[b.GetUpperBound()] = 0
	}
	for bound := range sum {
		sum[bound] = below(to.Bucket, bound) + below(h.Bucket, bound)
	}
	to.Bucket = to.Bucket[:0:0]
	for _, bound := range slices.Sorted(maps.Keys(sum)) {
		to.Bucket = append(to.Bucket, &dto.Bucket{UpperBound: proto.Float64(bound), CumulativeCount: proto.Uint64(sum[bound])})
	}
}

// below returns how many observations are known to be at most bound.
func below(buckets []*dto.Bucket, bound float64) uint64 {
	var n uint64
	for _, b := range buckets {
		if b.GetUpperBound() <= bound {
			n = max(n, b.GetCumulativeCount())
		}
	}
	return n
}

// labelKey orders and joins labels with a byte that cannot be in UTF-8.
func labelKey(labels []*dto.LabelPair) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = l.GetName() + "\xff" + l.GetValue()
	}
	slices.Sort(parts)
	return strings.Join(parts, "\xfe")
}

// list returns the families with extra labels on every metric.
func (t *totals) list(extra ...*dto.LabelPair) []*dto.MetricFamily {
	var out []*dto.MetricFamily
	for _, name := range slices.Sorted(maps.Keys(t.families)) {
		tf := t.families[name]
		f := proto.Clone(tf.proto).(*dto.MetricFamily)
		for _, key := range slices.Sorted(maps.Keys(tf.metrics)) {
			m := proto.Clone(tf.metrics[key]).(*dto.Metric)
			m.Label = append(m.Label, extra...)
			slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
			f.Metric = append(f.Metric, m)
		}
		out = append(out, f)
	}
	return out
}

func label(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: proto.String(name), Value: proto.String(value)}
}

// mergeFamilies joins lists that differ in their labels.
func mergeFamilies(lists ...[]*dto.MetricFamily) []*dto.MetricFamily {
	byName := map[string]*dto.MetricFamily{}
	for _, l := range lists {
		for _, f := range l {
			have := byName[f.GetName()]
			if have == nil {
				byName[f.GetName()] = f
			} else if have.GetType() == f.GetType() {
				have.Metric = append(have.Metric, f.Metric...)
			}
		}
	}
	out := make([]*dto.MetricFamily, 0, len(byName))
	for _, n := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[n])
	}
	return out
}

// Gather returns the metrics of every role of the node: what living generations report
// now, with the counters of all that have ended, so that no counter ever falls. Each
// has the label role, and node where the supervisor runs several. A child that does not
// answer until ctx is done counts as it last did.
func (n *Node) Gather(ctx context.Context) ([]*dto.MetricFamily, error) {
	var lists [][]*dto.MetricFamily
	for _, sl := range n.slotList() {
		sl.scrape(ctx)
		extra := []*dto.LabelPair{label("role", sl.spec.Name)}
		if n.sup.several() {
			extra = append([]*dto.LabelPair{label("node", n.name)}, extra...)
		}
		lists = append(lists, sl.total().list(extra...), sl.own(extra))
	}
	return mergeFamilies(lists...), nil
}
