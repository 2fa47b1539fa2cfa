package vip

import (
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

// TestBusyMachine keeps every processor busy twice over and asks the master for its metrics
// without a pause, so that it collects garbage all the time: its adverts stay on time, and
// neither a reload nor an upgrade moves the addresses.
func TestBusyMachine(t *testing.T) {
	c := newCluster(t, 2, fast, together(fast, stays))
	master := c.settled()
	for range 2 * runtime.NumCPU() {
		busy := exec.Command("sh", "-c", "while :; do :; done")
		c.must(busy.Start())
		t.Cleanup(func() { busy.Process.Kill(); busy.Wait() })
	}
	since := time.Now()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for time.Since(since) < 10*time.Second {
			c.nodes[master].State()
		}
	}()
	for _, command := range []string{"reload", "upgrade"} {
		_, err := c.site.Command(master, command)
		c.must(err)
	}
	<-asked
	adverts := c.recorder.Since(since, vrid)
	var gaps []time.Duration
	for i := 1; i < len(adverts); i++ {
		gaps = append(gaps, adverts[i].At.Sub(adverts[i-1].At))
		if adverts[i].Host != master {
			c.complain(since, "%s took over from %s:%s", adverts[i].Host, master, c.trace(since))
			break
		}
	}
	slices.Sort(gaps)
	t.Logf("%d adverts, between two of them p99 %v, max %v; a real-time process was late by at most %v",
		len(adverts), gaps[len(gaps)*99/100], gaps[len(gaps)-1], c.machine.Worst(since))
}
