package vip

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"stack/appliance/config"
	"stack/appliance/supervise"
)

// What the supervisor asks for at any time is answered while a reload waits for the disk or
// the kernel.
func TestNothingWaitsForAReload(t *testing.T) {
	role, err := New(supervise.Env{Node: "a", Role: "net", Log: quiet(), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	change, err := role.Prepare(context.Background(), &config.Node{Name: "a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	r := role.(*Role)
	r.mu.Lock()
	r.tracker.mu.Lock()
	answered := make(chan error)
	go func() {
		r.RolesChanged(map[string]supervise.Health{"lb": {Ready: true}})
		r.RolesChanged(map[string]supervise.Health{"lb": {Reason: supervise.ReasonEnded}})
		r.Status()
		answered <- r.Alive()
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("no answer")
	}
	r.tracker.mu.Unlock()
	r.mu.Unlock()
	// What is told of other roles alone takes nothing back.
	r.RolesChanged(map[string]supervise.Health{"web": {Reason: supervise.ReasonEnded}})
	reason := func() (text string) {
		r.running().call(func(time.Time) { text = r.running().sources["balancer"].fault })
		return text
	}
	for end := time.Now().Add(10 * time.Second); reason() != "the balancer ended"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the engine knows %q", reason())
		}
	}
	if err := role.Close(); err != nil {
		t.Error(err)
	}
}

// A group that begins in the fault state has made no transition, but who was told "backup"
// has to know; and every word is told before the role has ended.
func TestFaultsAreTold(t *testing.T) {
	c := newCounts(prometheus.NewRegistry())
	e, err := startEngine(quiet(), c, newTrust(quiet(), "a"), savedState{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	ended := e.onTransition(func(tr Transition) {
		time.Sleep(10 * time.Millisecond)
		told = append(told, tr.Group+" "+tr.State+" "+tr.Reason)
	})
	e.call(func(now time.Time) {
		for _, name := range []string{"was", "new", "well"} {
			g := newTestGroup(plan{name: name, router: routerConfig{version: 3, vrid: 51, priority: 100, interval: time.Hour}})
			g.engine, g.checkAt = e, now.Add(time.Hour)
			g.machine.Ready(now, name == "well", "sick")
			e.groups = append(e.groups, g)
		}
	})
	e.tellFaults(map[string]string{"was": "backup", "well": "backup"})
	e.call(func(time.Time) { e.groups = nil })
	e.end()
	<-ended
	if len(told) != 1 || told[0] != "was fault sick" {
		t.Errorf("told %q", told)
	}
}

func TestDroppedTransitionsAreCounted(t *testing.T) {
	w := watchers{dropped: newCounts(prometheus.NewRegistry()).dropped, wake: make(chan struct{}, 1)}
	for range maxTransitions + 2 {
		w.tell(Transition{})
	}
	if n := testutil.ToFloat64(w.dropped); n != 2 || len(w.take()) != maxTransitions {
		t.Errorf("%v dropped", n)
	}
}
