package exchange

import (
	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
)

// MemoryDescs are the metrics of a Set's memory, for the collector of a role.
type MemoryDescs struct{ held, limit, ended *prometheus.Desc }

// NewMemoryDescs names them after the role, such as "stack_lb".
func NewMemoryDescs(prefix string) MemoryDescs {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(prefix+name, help, nil, nil) }
	return MemoryDescs{
		held:  desc("_memory_held_bytes", "What all connections hold in buffers, heads and TLS states; at limits.memory new ones are refused and the largest holders ended."),
		limit: desc("_memory_limit_bytes", "limits.memory, or what it is by default on this machine."),
		ended: desc("_memory_ended_connections_total", "Connections that were ended because limits.memory was reached."),
	}
}

// Describe is part of prometheus.Collector.
func (d MemoryDescs) Describe(ch chan<- *prometheus.Desc) {
	ch <- d.held
	ch <- d.limit
	ch <- d.ended
}

// Collect gives the values of m.
func (d MemoryDescs) Collect(ch chan<- prometheus.Metric, m Memory) {
	ch <- prometheus.MustNewConstMetric(d.held, prometheus.GaugeValue, float64(m.Held))
	ch <- prometheus.MustNewConstMetric(d.limit, prometheus.GaugeValue, float64(m.Limit))
	ch <- prometheus.MustNewConstMetric(d.ended, prometheus.CounterValue, float64(m.Ended))
}

// ProcessMemory is the soft limit of the Go heap (GOMEMLIMIT) that fits a bound of what
// connections hold: half as much again for garbage, and a fixed part for all the rest.
// Near it the collector works harder; nothing fails.
func ProcessMemory(l config.Limits) int64 {
	if l.Memory == 0 {
		return 0
	}
	return l.Memory/2*3 + 256<<20
}
