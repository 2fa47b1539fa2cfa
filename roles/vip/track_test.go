package vip

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
)

// verdicts is what a tracker has reported, as a text per source that is not well.
type verdicts struct {
	mu    sync.Mutex
	bad   map[string]string
	calls int
	ch    chan struct{} // has one after each report
}

func (v *verdicts) report(group, source, fault string, weight int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	key := group + "/" + source
	switch {
	case fault != "":
		v.bad[key] = fault
	case weight != 0:
		v.bad[key] = fmt.Sprint(weight)
	default:
		delete(v.bad, key)
	}
	select {
	case v.ch <- struct{}{}:
	default:
	}
}

func (v *verdicts) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []string
	for source, why := range v.bad {
		out = append(out, source+": "+why)
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

func holdsNothing(string) bool { return false }

// eventually waits until what is reported is want.
func (v *verdicts) eventually(t *testing.T, want string) {
	t.Helper()
	late := time.After(10 * time.Second)
	for v.String() != want {
		select {
		case <-v.ch:
		case <-late:
			t.Fatalf("reported %s, not %s", v, want)
		}
	}
}

func testTracker() (*tracker, *verdicts) {
	v := &verdicts{bad: map[string]string{}, ch: make(chan struct{}, 1)}
	return newTracker(slog.New(slog.NewTextHandler(io.Discard, nil)), verdict(v.report).counted(newTrackedMetric(prometheus.NewRegistry())), nil), v
}

func TestTrackCommand(t *testing.T) {
	dir := t.TempDir()
	sick := filepath.Join(dir, "sick")
	program := script(t, "echo >>"+dir+"/runs; test ! -e "+sick)
	tr, v := testTracker()
	defer tr.close()
	c := config.VIPTrackCommand{Name: "app", Command: []string{program}, Interval: 20 * time.Millisecond, Timeout: 5 * time.Second, Rise: 2, Fall: 3}
	group := []config.VIP{{Name: "www", Track: config.VIPTrack{Commands: []config.VIPTrackCommand{c}}}}
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tr.set(group, holdsNothing)
	v.eventually(t, "[www/command app: command app fails]") // by the first run
	if b, err := os.ReadFile(dir + "/runs"); err != nil || len(b) > 2 {
		t.Errorf("%d runs before the first verdict, %v", len(b), err)
	}
	os.Remove(sick)
	v.eventually(t, "[]")
	before, _ := os.ReadFile(dir + "/runs")
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v.eventually(t, "[www/command app: command app fails]")
	if after, _ := os.ReadFile(dir + "/runs"); len(after)-len(before) < c.Fall {
		t.Errorf("failed after %d runs, not %d", len(after)-len(before), c.Fall)
	}
	// The same as a weight: what was reported before does not stay.
	group[0].Track.Commands = []config.VIPTrackCommand{c}
	group[0].Track.Commands[0].Weight = 20
	tr.set(group, holdsNothing)
	v.eventually(t, "[www/command app: -20]")
	tr.set(nil, nil)
	v.eventually(t, "[]")
}

func TestTrackCommandThatHangs(t *testing.T) {
	tr, v := testTracker()
	tr.set([]config.VIP{{Name: "www", Track: config.VIPTrack{Commands: []config.VIPTrackCommand{
		{Name: "slow", Command: []string{script(t, "sleep 1000")}, Interval: time.Second, Timeout: 50 * time.Millisecond, Rise: 1, Fall: 1}}}}}, holdsNothing)
	v.eventually(t, "[www/command slow: command slow fails]")
	tr.close()
}

// Pools that all balancers lose one after the other do not move the addresses.
func TestTrackPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, v := testTracker()
		defer tr.close()
		tr.set([]config.VIP{{Name: "www", Track: config.VIPTrack{Backends: config.VIPTrackBackends{Enabled: true, Weight: 100}}},
			{Name: "db", Track: config.VIPTrack{Backends: config.VIPTrackBackends{Enabled: true}}},
			{Name: "off"}}, holdsNothing)
		tr.moved("www", true)
		said := func(want string) {
			t.Helper()
			synctest.Wait()
			if v.String() != want {
				t.Errorf("reported %s, not %s", v, want)
			}
		}
		said("[]")
		tr.impaired([]string{"backend web"})
		said("[db/backends: a backend has no usable server]") // a backup counts it at once
		time.Sleep(settle / 2)
		tr.impaired(nil)
		said("[db/backends: a backend has no usable server]") // and the end of it later
		time.Sleep(settle)
		said("[]")
		tr.impaired([]string{"backend web"})
		time.Sleep(settle + 1)
		said("[db/backends: a backend has no usable server www/backends: -100]")
		tr.moved("www", false) // to a balancer that sees the pool
		tr.impaired(nil)
		said("[db/backends: a backend has no usable server www/backends: -100]")
		tr.moved("www", true)
		said("[db/backends: a backend has no usable server]") // a holder is well at once
		time.Sleep(settle + 1)
		said("[]")
	})
}

// What failed in the process before counts from the start, and only as long as it fails.
func TestTrackGoesOnAfterAnUpgrade(t *testing.T) {
	sick := filepath.Join(t.TempDir(), "sick")
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list := []config.VIP{{Name: "www", Track: config.VIPTrack{
		Backends: config.VIPTrackBackends{Enabled: true, Weight: 50},
		Commands: []config.VIPTrackCommand{{Name: "app", Command: []string{script(t, "test ! -e "+sick)}, Interval: 20 * time.Millisecond, Timeout: 5 * time.Second, Rise: 1, Fall: 1}}}}}
	old, v := testTracker()
	old.impaired([]string{"backend web"})
	old.set(list, holdsNothing)
	both := "[www/backends: -50 www/command app: command app fails]"
	v.eventually(t, both)
	before := old.verdicts()
	old.close()
	v.eventually(t, "[]")

	next := newTracker(old.log, v.report, before)
	defer next.close()
	next.impaired([]string{"backend web"})
	next.set(list, func(string) bool { return true })
	if v.String() != both {
		t.Errorf("begins with %s", v)
	}
	next.impaired(nil)
	os.Remove(sick)
	v.eventually(t, "[]")
}

// A command that has not run yet keeps a node from taking the addresses, but not from
// holding them; an edited one begins with the verdict of the one before.
func TestTrackCommandBeforeItsFirstRun(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.VIPTrackCommand{Name: "app", Command: []string{script(t, "until read x <"+gate+"; do :; done")}, Interval: time.Minute, Timeout: time.Minute, Rise: 2, Fall: 3}
	list := []config.VIP{{Name: "www", Track: config.VIPTrack{Commands: []config.VIPTrackCommand{c}}}, {Name: "held", Track: config.VIPTrack{Commands: []config.VIPTrackCommand{c}}}}
	tr, v := testTracker()
	defer tr.close()
	tr.set(list, func(group string) bool { return group == "held" })
	if want := "[www/command app: command app has not run yet]"; v.String() != want || len(tr.verdicts()) != 0 {
		t.Errorf("begins with %s, not %s; verdicts %v", v, want, tr.verdicts())
	}
	for len(tr.verdicts()) < 2 { // each reads a line; one may read both, and the other comes again
		f, err := os.OpenFile(gate, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("\n")
		f.Close()
		for end := time.Now().Add(100 * time.Millisecond); len(tr.verdicts()) < 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}
	v.eventually(t, "[]") // by the first run, whatever Rise is

	replaced := tr.commands[commandKey{"www", "app"}]
	list[0].Track.Commands = []config.VIPTrackCommand{c}
	list[0].Track.Commands[0].Weight = 20
	tr.set(list, holdsNothing)
	tr.conclude(replaced, true) // its last word comes too late
	if v.String() != "[]" || tr.verdicts()["www/command app"] {
		t.Errorf("after the edit %s", v)
	}
}
