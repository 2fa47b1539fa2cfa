package vip

import "github.com/prometheus/client_golang/prometheus"

// counts are the metrics of the virtual addresses.
type counts struct {
	transitions, sent, received, invalid, masters, restored, errors *prometheus.CounterVec
	state, since                                                    *prometheus.GaugeVec
}

func newCounts(r prometheus.Registerer) *counts {
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stack_vip_" + name, Help: help}, append([]string{"vip", "family"}, more...))
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stack_vip_" + name, Help: help}, []string{"vip", "family"})
		r.MustRegister(g)
		return g
	}
	return &counts{
		transitions: counter("transitions_total", "Changes of the VRRP state.", "to", "reason"),
		sent:        counter("adverts_sent_total", "VRRP adverts sent."),
		received:    counter("adverts_received_total", "VRRP adverts received from the other balancers."),
		invalid:     counter("adverts_invalid_total", "VRRP packets that were dropped or differ from the config, by cause.", "cause"),
		masters:     counter("two_masters_total", "Adverts of another master received while this node was master."),
		restored:    counter("addresses_restored_total", "Virtual addresses put back after another program removed them."),
		errors:      counter("errors_total", "Failures to set, remove or announce an address, or to send an advert."),
		state:       gauge("state", "VRRP state: 0 fault, 1 backup, 2 master."),
		since:       gauge("state_since_seconds", "When the VRRP state was entered, as Unix time."),
	}
}

// forget drops the state of a group that is no more; its counters stay.
func (c *counts) forget(g *group) {
	c.state.DeleteLabelValues(g.name, g.family())
	c.since.DeleteLabelValues(g.name, g.family())
}
