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
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(c.nodes["lb1"].Net()) + "/task/*/stat")
	c.must(err)
	const other, fifo, roundRobin = "0", "1", "2"
	count := map[string]int{}
	for _, file := range tasks {
		count[policy(t, file)]++
	}
	if count[fifo] != 2 || count[roundRobin] != len(tasks)-2 {
		t.Errorf("threads by policy: %v; want two %s and the rest %s", count, fifo, roundRobin)
	}
	c.nodes["lb1"].Kill() // the hook came before its file was there, perhaps
	c.must(c.nodes["lb1"].Start())
	c.await("the hook tells its policy", 20*time.Second, func() bool { _, err := os.Stat(told); return err == nil })
	if got := policy(t, told); got != other {
		t.Errorf("a hook runs under policy %s, want %s", got, other)
	}
}

// policy is that of a thread: proc(5), field 41; the name, field 2, is in parentheses.
func policy(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return fields[41-3]
}
