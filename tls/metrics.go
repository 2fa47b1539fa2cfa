package tls

import "github.com/prometheus/client_golang/prometheus"

var notAfter = prometheus.NewDesc("stack_tls_certificate_not_after_seconds",
	"When a certificate that is served ends, as Unix time.", []string{"subject", "serial"}, nil)

type collector struct{ list func() []Info }

// NewCollector shows the end of each certificate that list returns at the time of a scrape.
func NewCollector(list func() []Info) prometheus.Collector { return collector{list} }

func (c collector) Describe(out chan<- *prometheus.Desc) { out <- notAfter }

func (c collector) Collect(out chan<- prometheus.Metric) {
	seen := make(map[string]bool) // one certificate may be served by several listeners
	for _, info := range c.list() {
		if seen[info.Serial] {
			continue
		}
		seen[info.Serial] = true
		out <- prometheus.MustNewConstMetric(notAfter, prometheus.GaugeValue, float64(info.NotAfter.Unix()), info.Subject, info.Serial)
	}
}
