package upstream

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector gives the pools' metrics. Everything is read when scraped; the loops keep
// plain counters only.
type Collector struct {
	set *Set

	usable, up, used, admin, weight, inflight, changes                         *prometheus.Desc
	picks, connectErrors, retries, responses, responseErrors, refused, latency *prometheus.Desc
	checks, checkSeconds, checkLast                                            *prometheus.Desc
}

// NewCollector makes the collector of set; names begin with prefix, e.g. "stack_lb".
func NewCollector(set *Set, prefix string) *Collector {
	server := []string{"backend", "server"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+"_"+name, help, labels, nil)
	}
	with := func(l string) []string { return append(append([]string(nil), server...), l) }
	return &Collector{
		set:            set,
		usable:         desc("backend_servers_in_rotation", "Servers of the backend that take new work.", "backend"),
		up:             desc("server_up", "1 if checks say that the server is up, or it is not checked. Where they ask for its role: if it answers.", server...),
		used:           desc("server_in_rotation", "1 if the server takes new work.", server...),
		admin:          desc("server_admin_state", "1 for the administrative state that the server is in.", with("state")...),
		weight:         desc("server_weight", "Weight in effect.", server...),
		inflight:       desc("server_in_flight", "Requests (HTTP) or sessions (TCP) on the server now.", server...),
		changes:        desc("server_state_changes_total", "Changes between up and down; where checks ask for the server's role, between used and not.", server...),
		picks:          desc("server_picks_total", "Times the server was chosen.", server...),
		connectErrors:  desc("server_connect_errors_total", "Connections to the server that could not be opened.", server...),
		retries:        desc("server_retries_total", "Requests sent elsewhere after a connection to this server could not be opened.", server...),
		responses:      desc("server_responses_total", "Answers of the server by status class.", with("code")...),
		responseErrors: desc("server_response_errors_total", "Answers of the server that broke off, made no sense or came too late.", server...),
		refused:        desc("backend_refused_total", "Requests or sessions for which no server could be chosen: none in rotation (down) or each at its maxconn (full).", "backend", "reason"),
		latency:        desc("server_response_seconds", "Time from the request sent to the head of the answer.", server...),
		checks:         desc("server_checks_total", "Health checks by result.", with("result")...),
		checkSeconds:   desc("server_check_seconds_total", "Time spent in health checks.", server...),
		checkLast:      desc("server_check_last_seconds", "Duration of the last health check.", server...),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.usable, c.up, c.used, c.admin, c.weight, c.inflight, c.changes, c.picks,
		c.connectErrors, c.retries, c.responses, c.responseErrors, c.refused, c.latency, c.checks, c.checkSeconds, c.checkLast} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.set.View() {
		n := 0
		for _, s := range p.Servers {
			if s.InRotation {
				n++
			}
			c.server(ch, p.Name, s)
		}
		ch <- prometheus.MustNewConstMetric(c.usable, prometheus.GaugeValue, float64(n), p.Name)
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(p.RefusedDown), p.Name, "down")
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(p.RefusedFull), p.Name, "full")
	}
}

func (c *Collector) server(ch chan<- prometheus.Metric, pool string, s ServerView) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{pool, s.Name}, labels...)...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, append([]string{pool, s.Name}, labels...)...)
	}
	gauge(c.up, flag(s.Up))
	gauge(c.used, flag(s.InRotation))
	for _, a := range []Admin{Ready, Drain, Maint} {
		gauge(c.admin, flag(s.Admin == a.String()), a.String())
	}
	gauge(c.weight, float64(s.Weight))
	gauge(c.inflight, float64(s.InFlight))
	counter(c.changes, float64(s.StateChanges))
	k := s.Counters
	counter(c.picks, float64(k.Picks))
	counter(c.connectErrors, float64(k.ConnectErrors))
	counter(c.retries, float64(k.Retries))
	for i := 1; i <= 5; i++ {
		counter(c.responses, float64(k.Responses[i]), strconv.Itoa(i)+"xx")
	}
	counter(c.responseErrors, float64(k.ResponseErrors))
	counter(c.checks, float64(s.checks.Passed), "passed")
	counter(c.checks, float64(s.checks.Failed), "failed")
	counter(c.checkSeconds, s.checks.Seconds)
	if s.LastCheck != nil {
		gauge(c.checkLast, s.LastCheck.Duration.Seconds())
	}
	buckets := make(map[float64]uint64, len(latencyBounds))
	total := uint64(0)
	for i, n := range k.latency {
		total += n
		if i < len(latencyBounds) {
			buckets[float64(latencyBounds[i])/1e6] = total
		}
	}
	ch <- prometheus.MustNewConstHistogram(c.latency, total, float64(k.latencySum)/1e6, buckets, pool, s.Name)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
