package vip

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRealtime looks at how the kernel schedules the threads of the net child: before all
// ordinary processes, also where no unit allows it, and the adverts' before its others. What
// it runs for the operator is an ordinary process.
func TestRealtime(t *testing.T) {
	told := filepath.Join(t.TempDir(), "told")
	script := filepath.Join(t.TempDir(), "hook")
	c := newCluster(t, 1, slow, together(slow, fmt.Sprintf(", notify: [{command: [%s]}]", script)))
	c.must(os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\ncat /proc/self/stat >%[1]s.new && mv %[1]s.new %[1]s\n", told), 0o755))
	c.settled()
	const other, fifo, roundRobin = "0", "1", "2"
	// The thread that runs the hook is an ordinary one until that has ended.
	c.await("two threads are FIFO and the rest round robin", 10*time.Second, func() bool {
		tasks, err := filepath.Glob("/proc/" + strconv.Itoa(c.nodes["lb1"].Net()) + "/task/*/stat")
		c.must(err)
		count := map[string]int{}
		for _, file := range tasks {
			text, err := os.ReadFile(file)
			if err != nil {
				return false // it has ended
			}
			count[policy(string(text))]++
		}
		return count[fifo] == 2 && count[roundRobin] == len(tasks)-2
	})
	c.nodes["lb1"].Kill() // the hook came before its file was there, perhaps
	c.must(c.nodes["lb1"].Start())
	c.await("the hook tells its policy", 20*time.Second, func() bool { _, err := os.Stat(told); return err == nil })
	text, err := os.ReadFile(told)
	c.must(err)
	if got := policy(string(text)); got != other {
		t.Errorf("a hook runs under policy %s, want %s", got, other)
	}
}

// policy is that of a thread, out of its stat file: proc(5), field 41; the name, field 2, is
// in parentheses.
func policy(stat string) string {
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])[41-3]
}
