package vip

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRealtime looks at how the kernel schedules the threads of the net child: the adverts'
// runs before all ordinary ones, also where no unit allows it.
func TestRealtime(t *testing.T) {
	c := newCluster(t, 1, slow, together(slow, ""))
	c.settled()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(c.nodes["lb1"].Net()) + "/task/*/stat")
	c.must(err)
	const fifo = "1"
	realtime := 0
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		c.must(err)
		// proc(5): policy is field 41; the name, field 2, is in parentheses.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if fields[41-3] == fifo {
			realtime++
		}
	}
	if realtime == 0 || realtime == len(tasks) {
		t.Errorf("%d of %d threads have real-time priority", realtime, len(tasks))
	}
}
