package metrics

import (
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
)

// collectHandles reads /proc/sys/fs/file-nr (proc(5)): allocated, 0, maximum.
func (h *Host) collectHandles(gauge func(*prometheus.Desc, float64, ...string)) {
	text, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return
	}
	var allocated, free, maximum float64
	if _, err := fmt.Sscan(string(text), &allocated, &free, &maximum); err != nil {
		return
	}
	gauge(fileHandles, allocated, "allocated")
	gauge(fileHandles, maximum, "maximum")
}
