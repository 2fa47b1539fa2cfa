package web

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"stack/roles/internal/exchange"
)

// buckets are the upper bounds of the duration histogram, in seconds.
var buckets = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// loopStats are one loop's counters of one site. Only that loop adds to them, so the
// additions are never contended.
type loopStats struct {
	status   [6]atomic.Uint64 // by hundreds; [0] = nothing was sent
	in, out  atomic.Uint64
	bucket   [len(buckets) + 1]atomic.Uint64
	duration atomic.Uint64 // nanoseconds
	_        [64]byte
}

// siteStats are the counters of a site by name; they outlive reloads.
type siteStats struct {
	name  string
	loops []loopStats
}

func (s *siteStats) add(loop int, r *exchange.Record) {
	l := &s.loops[loop]
	class := r.Status / 100
	if class < 0 || class > 5 {
		class = 0
	}
	l.status[class].Add(1)
	l.in.Add(uint64(max(r.BytesIn, 0)))
	l.out.Add(uint64(max(r.BytesOut, 0)))
	total := max(r.TotalTime, 0)
	l.duration.Add(uint64(total))
	i := 0
	for i < len(buckets) && float64(total) > buckets[i]*1e9 {
		i++
	}
	l.bucket[i].Add(1)
}

// collector gives the role's metrics. Everything is summed when scraped. Label values
// are configured names only, never what a client sent.
type collector struct {
	role   *Role
	memory exchange.MemoryDescs

	requests, in, out, seconds, accepted, open, refused, proxies *prometheus.Desc
	handshakes, fcgiRequests, fcgiErrors                         *prometheus.Desc
	cacheEntries, cacheBytes, cacheFiles, logLost                *prometheus.Desc
}

func newCollector(r *Role) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("stack_web_"+name, help, labels, nil)
	}
	return &collector{
		role:         r,
		memory:       exchange.NewMemoryDescs("stack_web"),
		requests:     desc("requests_total", "Requests by site and class of status; code 0 = nothing was sent.", "site", "code"),
		in:           desc("received_bytes_total", "Bytes of requests.", "site"),
		out:          desc("sent_bytes_total", "Bytes of answers.", "site"),
		seconds:      desc("request_seconds", "Time from the first byte of a request to the last of its answer.", "site"),
		accepted:     desc("connections_total", "Connections accepted, by listener.", "listener"),
		open:         desc("connections_open", "Connections open now, by listener.", "listener"),
		refused:      desc("connections_refused_total", "Connections closed as soon as they came, by the bound that was reached: total (web.limits.connections), source (web.limits.connections_per_source), memory (web.limits.memory).", "listener", "reason"),
		proxies:      desc("proxy_refused_total", "Connections refused because web.proxy_from asks for a PROXY header from a proxy, by listener and reason: peer, header, timeout.", "listener", "reason"),
		handshakes:   desc("tls_handshakes_total", "TLS handshakes, by listener and result.", "listener", "result"),
		fcgiRequests: desc("fastcgi_requests_total", "Requests handed to an application server.", "address"),
		fcgiErrors:   desc("fastcgi_errors_total", "Requests that an application server did not answer well: connect, protocol, timeout.", "address", "cause"),
		cacheEntries: desc("file_cache_entries", "Paths in the open-file cache."),
		cacheBytes:   desc("file_cache_bytes", "Content of small files in memory."),
		cacheFiles:   desc("file_cache_open_files", "Large files held open."),
		logLost:      desc("access_log_lost_total", "Lines of the access log that were dropped."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.in, c.out, c.seconds, c.accepted, c.open, c.refused, c.handshakes,
		c.fcgiRequests, c.fcgiErrors, c.cacheEntries, c.cacheBytes, c.cacheFiles, c.logLost} {
		ch <- d
	}
	c.memory.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for _, s := range c.role.allStats() {
		c.site(ch, counter, s)
	}
	for _, l := range c.role.allPoints() {
		n := l.point.Counters()
		counter(c.accepted, n.Accepted, l.name)
		for _, r := range []exchange.Refusal{exchange.RefusedTotal, exchange.RefusedSource, exchange.RefusedMemory} {
			counter(c.refused, n.Refused[r], l.name, r.String())
		}
		for i, reason := range exchange.ProxyRefusals {
			counter(c.proxies, n.ProxyRefused[i], l.name, reason)
		}
		gauge(c.open, n.Open, l.name)
		if l.tls {
			counter(c.handshakes, n.Handshakes, l.name, "done")
			counter(c.handshakes, n.HandshakesFailed, l.name, "failed")
			counter(c.handshakes, n.HandshakesRefused, l.name, "refused")
		}
	}
	g := c.role.current.Load()
	if g == nil {
		return
	}
	c.memory.Collect(ch, c.role.set.Memory())
	for _, a := range g.apps {
		counter(c.fcgiRequests, a.Requests.Load(), a.Address)
		counter(c.fcgiErrors, a.ConnectErrors.Load(), a.Address, "connect")
		counter(c.fcgiErrors, a.Errors.Load(), a.Address, "protocol")
		counter(c.fcgiErrors, a.Timeouts.Load(), a.Address, "timeout")
	}
	var entries, bytes, files int64
	for _, ls := range c.role.loops {
		entries += ls.entries.Load()
		bytes += ls.bytes.Load()
		files += ls.files.Load()
	}
	gauge(c.cacheEntries, entries)
	gauge(c.cacheBytes, bytes)
	gauge(c.cacheFiles, files)
	lines := c.role.access.Counters()
	counter(c.logLost, lines.Dropped+lines.Failed)
}

func (c *collector) site(ch chan<- prometheus.Metric, counter func(*prometheus.Desc, uint64, ...string), s *siteStats) {
	var status [6]uint64
	var in, out, duration, count uint64
	var bucket [len(buckets) + 1]uint64
	for i := range s.loops {
		l := &s.loops[i]
		for k := range status {
			status[k] += l.status[k].Load()
		}
		for k := range bucket {
			bucket[k] += l.bucket[k].Load()
		}
		in, out, duration = in+l.in.Load(), out+l.out.Load(), duration+l.duration.Load()
	}
	for k, n := range status {
		code := "0"
		if k > 0 {
			code = strconv.Itoa(k) + "xx"
		}
		counter(c.requests, n, s.name, code)
	}
	counter(c.in, in, s.name)
	counter(c.out, out, s.name)
	cumulative := map[float64]uint64{}
	for k, bound := range buckets {
		count += bucket[k]
		cumulative[bound] = count
	}
	count += bucket[len(buckets)]
	ch <- prometheus.MustNewConstHistogram(c.seconds, count, float64(duration)/1e9, cumulative, s.name)
}
