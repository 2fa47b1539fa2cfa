// Package metrics collects what describes the machine rather than a role: CPU, memory,
// load, disks and network, so that a node needs no exporter beside it. Roles register
// their own metrics; the supervisor merges them.
package metrics

import (
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

var (
	cpuSeconds  = desc("cpu_seconds_total", "CPU time of all CPUs since boot.", "mode")
	load        = desc("load_average", "Runnable and waiting processes, averaged.", "window")
	memory      = desc("memory_bytes", "Memory of the machine: total, available, free, buffers, cached, swap_total, swap_free.", "kind")
	netBytes    = desc("network_bytes_total", "Bytes through a network device.", "device", "direction")
	netErrors   = desc("network_errors_total", "Errors and drops of a network device.", "device", "direction")
	diskBytes   = desc("filesystem_bytes", "Size of the file systems that stack writes to: size, available.", "path", "kind")
	bootSeconds = desc("boot_time_seconds", "When the machine was booted, as Unix time.")
	fileHandles = desc("file_handles", "Open file handles of the machine: allocated, maximum.", "kind")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("stack_host_"+name, help, labels, nil)
}

// Host is a prometheus.Collector of the machine. What /proc does not tell is left out.
type Host struct {
	paths []string
}

// NewHost collects the machine and the file systems that hold paths.
func NewHost(paths []string) *Host { return &Host{paths: paths} }

// Paths returns the directories that a node writes to.
func Paths(node *config.Node) []string {
	paths := []string{"/"}
	if node.DB != nil {
		paths = append(paths, node.DB.DataDir)
	}
	for _, log := range accessLogs(node) {
		paths = append(paths, filepath.Dir(log))
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func accessLogs(node *config.Node) (files []string) {
	if node.LB != nil && node.LB.AccessLog.Path != "" {
		files = append(files, node.LB.AccessLog.Path)
	}
	if node.Web != nil && node.Web.AccessLog.Path != "" {
		files = append(files, node.Web.AccessLog.Path)
	}
	return files
}

// Describe implements prometheus.Collector.
func (h *Host) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cpuSeconds, load, memory, netBytes, netErrors, diskBytes, bootSeconds, fileHandles} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (h *Host) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, path := range h.paths {
		var st unix.Statfs_t
		if unix.Statfs(path, &st) == nil {
			gauge(diskBytes, float64(st.Blocks)*float64(st.Bsize), path, "size")
			gauge(diskBytes, float64(st.Bavail)*float64(st.Bsize), path, "available")
		}
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return
	}
	if stat, err := fs.Stat(); err == nil {
		c := stat.CPUTotal
		for mode, v := range map[string]float64{"user": c.User, "nice": c.Nice, "system": c.System, "idle": c.Idle,
			"iowait": c.Iowait, "irq": c.IRQ, "softirq": c.SoftIRQ, "steal": c.Steal} {
			counter(cpuSeconds, v, mode)
		}
		gauge(bootSeconds, float64(stat.BootTime))
	}
	if avg, err := fs.LoadAvg(); err == nil {
		gauge(load, avg.Load1, "1m")
		gauge(load, avg.Load5, "5m")
		gauge(load, avg.Load15, "15m")
	}
	if m, err := fs.Meminfo(); err == nil {
		for kind, v := range map[string]*uint64{"total": m.MemTotalBytes, "available": m.MemAvailableBytes, "free": m.MemFreeBytes,
			"buffers": m.BuffersBytes, "cached": m.CachedBytes, "swap_total": m.SwapTotalBytes, "swap_free": m.SwapFreeBytes} {
			if v != nil {
				gauge(memory, float64(*v), kind)
			}
		}
	}
	if devices, err := fs.NetDev(); err == nil {
		for name, d := range devices {
			counter(netBytes, float64(d.RxBytes), name, "receive")
			counter(netBytes, float64(d.TxBytes), name, "transmit")
			counter(netErrors, float64(d.RxErrors+d.RxDropped), name, "receive")
			counter(netErrors, float64(d.TxErrors+d.TxDropped), name, "transmit")
		}
	}
	h.collectHandles(gauge)
}
