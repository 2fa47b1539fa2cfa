package vip

import "github.com/prometheus/client_golang/prometheus"

// counts are the metrics of the virtual addresses.
type counts struct {
	transitions, sent, received, invalid, masters, strangers, restored, errors *prometheus.CounterVec
	state, since, present, lastSent, lastHeard                                 *prometheus.GaugeVec
	late                                                                       *prometheus.HistogramVec
	dropped                                                                    prometheus.Counter
}

func newCounts(r prometheus.Registerer) *counts {
	labels := []string{"vip", "family"}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stack_vip_" + name, Help: help}, append(labels[:2:2], more...))
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string, more ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stack_vip_" + name, Help: help}, append(labels[:2:2], more...))
		r.MustRegister(g)
		return g
	}
	late := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "stack_vip_advert_late_seconds", Help: "How long after their time adverts were sent.",
		Buckets: []float64{0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3}}, labels)
	dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "stack_vip_transitions_dropped_total", Help: "Transitions that hooks were not told of because too many waited."})
	r.MustRegister(late, dropped)
	return &counts{
		transitions: counter("transitions_total", "Changes of the VRRP state.", "to", "reason"),
		sent:        counter("adverts_sent_total", "VRRP adverts sent."),
		received:    counter("adverts_received_total", "VRRP adverts received from the other balancers."),
		invalid:     counter("adverts_invalid_total", "VRRP packets that were dropped or differ from the config, by cause.", "cause"),
		masters:     counter("two_masters_total", "Adverts of another master received while this node was master."),
		strangers:   counter("strangers_total", "Times that another machine claimed an address that this node holds, at most one a second and family."),
		restored:    counter("addresses_restored_total", "Virtual addresses put back after another program removed them."),
		errors:      counter("errors_total", "Failures to set, remove or announce an address, or to send an advert."),
		state:       gauge("state", "VRRP state: 0 fault, 1 backup, 2 master."),
		since:       gauge("state_since_seconds", "When the VRRP state was entered, as Unix time."),
		present:     gauge("address_present", "Whether the address is set on this node: 1 or 0.", "address"),
		lastSent:    gauge("advert_sent_seconds", "When the last advert was sent, as Unix time; 0: never."),
		lastHeard:   gauge("advert_heard_seconds", "When the last advert of another balancer was received, as Unix time; 0: never."),
		late:        late,
		dropped:     dropped,
	}
}

// counters are those of one group, looked up once: an advert costs no allocation.
type counters struct {
	sent, received, masters, strangers, restored, errors prometheus.Counter
	state, since, lastSent, lastHeard                    prometheus.Gauge
	late                                                 prometheus.Observer
	invalid                                              map[string]prometheus.Counter // by cause; the causes are a fixed set
}

func (c *counts) of(name, family string) *counters {
	return &counters{
		sent: c.sent.WithLabelValues(name, family), received: c.received.WithLabelValues(name, family),
		masters: c.masters.WithLabelValues(name, family), strangers: c.strangers.WithLabelValues(name, family), restored: c.restored.WithLabelValues(name, family),
		errors: c.errors.WithLabelValues(name, family), state: c.state.WithLabelValues(name, family),
		since: c.since.WithLabelValues(name, family), lastSent: c.lastSent.WithLabelValues(name, family),
		lastHeard: c.lastHeard.WithLabelValues(name, family), late: c.late.WithLabelValues(name, family),
		invalid: map[string]prometheus.Counter{},
	}
}

// forget drops the state of a group that is no more; its counters stay.
func (c *counts) forget(g *group) {
	labels := prometheus.Labels{"vip": g.name, "family": g.family()}
	for _, gauge := range []*prometheus.GaugeVec{c.state, c.since, c.present, c.lastSent, c.lastHeard} {
		gauge.DeletePartialMatch(labels)
	}
}
