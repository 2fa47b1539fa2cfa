package lb

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"stack/roles/internal/exchange"
	"stack/roles/internal/upstream"
)

// collector gives the role's metrics. The loops keep plain counters; they are summed
// when scraped.
type collector struct {
	r *Role

	memory exchange.MemoryDescs

	open, accepted, refused, proxies, starved, requests, bytes, handshakes, errors, log *prometheus.Desc
}

func newCollector(r *Role) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("stack_lb_"+name, help, labels, nil)
	}
	return &collector{
		r:          r,
		memory:     exchange.NewMemoryDescs("stack_lb"),
		open:       desc("frontend_connections", "Client connections now.", "frontend"),
		accepted:   desc("frontend_connections_total", "Client connections accepted.", "frontend"),
		refused:    desc("frontend_connections_refused_total", "Client connections closed as soon as they came, by the bound that was reached: total (lb.limits.connections), frontend (its connections), source (lb.limits.connections_per_source), memory (lb.limits.memory).", "frontend", "reason"),
		proxies:    desc("frontend_proxy_refused_total", "Client connections refused because proxy_from asks for a PROXY header from a proxy: peer, the peer is not one; header, it sent something else; timeout, nothing complete came within timeouts.request_head.", "frontend", "reason"),
		starved:    desc("frontend_accepts_starved_total", "Times that connections had to wait because no file descriptor was left (LimitNOFILE).", "frontend"),
		requests:   desc("frontend_requests_total", "Requests by status class of the answer; code \"none\" had no answer.", "frontend", "code"),
		bytes:      desc("frontend_bytes_total", "Bytes received from (in) and sent to (out) clients.", "frontend", "direction"),
		handshakes: desc("frontend_tls_handshakes_total", "TLS handshakes by result; refused: lb.limits.handshakes was reached.", "frontend", "result"),
		errors:     desc("frontend_errors_total", "Requests and sessions that did not end in order, by cause.", "frontend", "cause"),
		log:        desc("access_log_lines_total", "Access log lines: accepted, dropped because the disk was too slow, failed because the file gave an error.", "result"),
	}
}

// Describe implements prometheus.Collector. The upstream collector's descriptions are
// the same in every configuration, so they can be given before there is one.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.open, c.accepted, c.refused, c.proxies, c.starved, c.requests, c.bytes, c.handshakes, c.errors, c.log} {
		ch <- d
	}
	c.memory.Describe(ch)
	upstream.NewCollector(nil, "stack_lb").Describe(ch)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	if c.r.current.Load() == nil {
		return
	}
	upstream.NewCollector(c.r.pools, "stack_lb").Collect(ch)
	c.memory.Collect(ch, c.r.set.Memory())
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	l := c.r.log.Counters()
	counter(c.log, l.Lines, "accepted")
	counter(c.log, l.Dropped, "dropped")
	counter(c.log, l.Failed, "failed")
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	for name, f := range c.r.frontends {
		n := f.counters()
		ch <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, float64(n.Open), name)
		counter(c.accepted, n.Accepted, name)
		for r := range exchange.NumRefusals {
			counter(c.refused, n.Refused[r], name, r.String())
		}
		for i, reason := range exchange.ProxyRefusals {
			counter(c.proxies, n.ProxyRefused[i], name, reason)
		}
		counter(c.starved, n.Starved, name)
		for i, v := range n.Status {
			code := "none"
			if i > 0 {
				code = strconv.Itoa(i) + "xx"
			}
			counter(c.requests, v, name, code)
		}
		counter(c.bytes, n.BytesIn, name, "in")
		counter(c.bytes, n.BytesOut, name, "out")
		counter(c.handshakes, n.Handshakes, name, "ok")
		counter(c.handshakes, n.HandshakesFailed, name, "failed")
		counter(c.handshakes, n.HandshakesRefused, name, "refused")
		for cause := exchange.None + 1; cause < exchange.NumCauses; cause++ {
			counter(c.errors, f.errors(cause), name, cause.String())
		}
	}
}
