package vip

import (
	"testing"
	"time"
)

const interval = 100 * time.Millisecond

// clock is the test's time; each step moves it.
type clock struct{ now time.Time }

func (c *clock) after(d time.Duration) time.Time { c.now = c.now.Add(d); return c.now }

func newTestRouter(priority uint8, preempt bool) (*Router, *clock) {
	c := &clock{time.Unix(1_000_000, 0)}
	r := newRouter(routerConfig{version: 3, vrid: 51, priority: priority, interval: interval, preempt: preempt, address: addr("10.0.0.11")})
	return r, c
}

func TestBackupBecomesMasterAfterMasterDown(t *testing.T) {
	r, c := newTestRouter(254, true)
	if a := r.Ready(c.now, true, "ready"); !a.changed || r.state != backup {
		t.Fatalf("ready: %+v in %v", a, r.state)
	}
	// 3 × 100 ms + 2/256 × 100 ms
	want := 3*interval + 2*interval/256
	if got := r.Deadline().Sub(c.now); got != want {
		t.Fatalf("master-down is %v, want %v", got, want)
	}
	if a := r.Expire(c.after(want - time.Nanosecond)); a != (act{}) {
		t.Fatalf("early: %+v", a)
	}
	if a := r.Expire(c.after(time.Nanosecond)); !a.changed || !a.send || a.with != 254 || r.state != master {
		t.Fatalf("take-over: %+v in %v", a, r.state)
	}
	if a := r.Expire(c.after(interval)); !a.send || a.changed {
		t.Fatalf("advert: %+v", a)
	}
	// Late by some intervals: one advert, and the next at its place in the grid.
	grid := r.Deadline()
	if a := r.Expire(c.after(2*interval + interval/2)); !a.send {
		t.Fatalf("late: %+v", a)
	}
	if late := r.Deadline().Sub(grid); late%interval != 0 || !r.Deadline().After(c.now) {
		t.Fatalf("next deadline is %v after the grid", late)
	}
}

func TestPriorityZeroShortensTheWaitToTheSkew(t *testing.T) {
	r, c := newTestRouter(253, true)
	r.Ready(c.now, true, "ready")
	r.Receive(c.now, &Advert{Priority: 254, Interval: interval}, addr("10.0.0.12"))
	r.Receive(c.now, &Advert{Priority: 0, Interval: interval}, addr("10.0.0.12"))
	if got, want := r.Deadline().Sub(c.now), 3*interval/256; got != want {
		t.Fatalf("waits %v, want the skew %v", got, want)
	}
}

// A packet that was held up on its way, of one that is not the master, ends nobody's time.
func TestPriorityZeroOfAnotherIsIgnored(t *testing.T) {
	r, c := newTestRouter(253, true)
	r.Ready(c.now, true, "ready")
	r.Receive(c.now, &Advert{Priority: 254, Interval: interval}, addr("10.0.0.12"))
	before := r.Deadline()
	r.Receive(c.after(interval/2), &Advert{Priority: 0, Interval: interval}, addr("10.0.0.13"))
	if r.Deadline() != before || r.left {
		t.Fatalf("another one's leaving moved the deadline by %v", r.Deadline().Sub(before))
	}
	// Without a master anybody's word counts: it was one.
	r, c = newTestRouter(253, true)
	r.Ready(c.now, true, "ready")
	r.Receive(c.now, &Advert{Priority: 0, Interval: interval}, addr("10.0.0.13"))
	if got, want := r.Deadline().Sub(c.now), 3*interval/256; got != want {
		t.Fatalf("waits %v, want the skew %v", got, want)
	}
}

func TestPreemption(t *testing.T) {
	for _, c := range []struct {
		preempt bool
		theirs  uint8
		heeded  bool
	}{{true, 100, false}, {false, 100, true}, {true, 200, true}, {true, 254, true}, {false, 254, true}} {
		r, clock := newTestRouter(200, c.preempt)
		r.Ready(clock.now, true, "ready")
		before := r.Deadline()
		r.Receive(clock.after(interval), &Advert{Priority: c.theirs, Interval: interval}, addr("10.0.0.12"))
		if heeded := r.Deadline() != before; heeded != c.heeded {
			t.Errorf("preempt %v, their priority %d: heeded %v, want %v", c.preempt, c.theirs, heeded, c.heeded)
		}
	}
}

func TestTwoMasters(t *testing.T) {
	for _, c := range []struct {
		theirs uint8
		from   string
		yields bool
	}{{253, "10.0.0.12", false}, {255, "10.0.0.12", true}, {254, "10.0.0.12", true}, {254, "10.0.0.10", false}} {
		r, clock := newTestRouter(254, true)
		r.Ready(clock.now, true, "ready")
		r.Expire(clock.after(r.masterDown()))
		a := r.Receive(clock.now, &Advert{Priority: c.theirs, Interval: interval}, addr(c.from))
		if (r.state == backup) != c.yields {
			t.Errorf("their priority %d from %s: now %v", c.theirs, c.from, r.state)
		}
		if !c.yields && (!a.send || !a.heal) {
			t.Errorf("the one that stays must answer and announce: %+v", a)
		}
	}
}

func TestFaultReleasesWithPriorityZero(t *testing.T) {
	r, c := newTestRouter(254, true)
	r.Ready(c.now, true, "ready")
	r.Expire(c.after(r.masterDown()))
	if a := r.Ready(c.now, false, "balancer down"); !a.changed || !a.send || a.with != 0 || r.state != initialize {
		t.Fatalf("%+v in %v", a, r.state)
	}
	if !r.Deadline().IsZero() {
		t.Fatal("a router in the fault state has a deadline")
	}
	if a := r.Receive(c.now, &Advert{Priority: 0, Interval: interval}, addr("10.0.0.12")); a != (act{}) {
		t.Fatalf("a router in the fault state acts: %+v", a)
	}
}

func TestSleeperListensBeforeItSpeaks(t *testing.T) {
	r, c := newTestRouter(254, true)
	r.Ready(c.now, true, "ready")
	r.Expire(c.after(r.masterDown()))
	if a := r.Expire(c.after(10 * time.Second)); a.send || !a.changed || r.state != backup {
		t.Fatalf("woke up with %+v in %v", a, r.state)
	}
}

func TestPreemptDelay(t *testing.T) {
	r, c := newTestRouter(254, true)
	r.id.delay = 10 * interval
	r.Ready(c.now, true, "ready")
	start := c.now
	for range 40 {
		at := c.after(interval)
		if r.Receive(at, &Advert{Priority: 100, Interval: interval}, addr("10.0.0.12")); r.Expire(at).changed {
			break
		}
	}
	// The lower one is heeded for 10 intervals after its first advert, then the
	// master-down timer runs.
	if took := c.now.Sub(start); r.state != master || took < 13*interval || took > 15*interval {
		t.Fatalf("%v after %v", r.state, took)
	}
}

// RFC 3768 section 6.1: the skew of version 2 is in seconds.
func TestVersion2Timers(t *testing.T) {
	r := newRouter(routerConfig{version: 2, priority: 128, interval: 2 * time.Second})
	r.Ready(time.Unix(0, 0), true, "ready")
	if got, want := r.masterDown(), 6*time.Second+time.Second/2; got != want {
		t.Fatalf("master-down is %v, want %v", got, want)
	}
}

func TestOwnerDoesNotWait(t *testing.T) {
	r, c := newTestRouter(255, true)
	if a := r.Ready(c.now, true, "ready"); !a.changed || !a.send || a.with != 255 || r.state != master {
		t.Fatalf("%+v in %v", a, r.state)
	}
}

func TestSuspendedHolderListens(t *testing.T) {
	for _, c := range []struct {
		slept   time.Duration
		listens bool
	}{{interval, false}, {time.Second, true}} {
		r, clock := newTestRouter(254, true)
		r.Ready(clock.now, true, "ready")
		r.Expire(clock.after(r.masterDown()))
		if a := r.Slept(clock.now, c.slept); a.changed != c.listens || (r.state == backup) != c.listens {
			t.Errorf("slept %v: %+v in %v", c.slept, a, r.state)
		}
	}
}

// Who yields to a master that may never have heard it says so once: TestPartition of
// e2e/vip shows what neighbours do otherwise.
func TestYieldingMasterSpeaksOnce(t *testing.T) {
	r, c := newTestRouter(253, true)
	r.Ready(c.now, true, "ready")
	r.Expire(c.after(r.masterDown()))
	higher := &Advert{Version: 3, VRID: 51, Priority: 254, Interval: interval}
	if a := r.Receive(c.now, higher, addr("10.0.0.12")); r.state != backup || a != (act{changed: true, send: true, with: 253}) {
		t.Fatalf("%+v in %v", a, r.state)
	}
	if a := r.Receive(c.now, higher, addr("10.0.0.12")); a != (act{}) {
		t.Fatalf("a backup does %+v", a)
	}
}

// A backup that was frozen has the master's adverts before it, or will hear them soon: it
// does not take the addresses, with and without preempt, and not because of an old
// farewell.
func TestThawedBackupListens(t *testing.T) {
	for _, preempt := range []bool{true, false} {
		for _, left := range []bool{true, false} {
			r, c := newTestRouter(254, preempt)
			r.Ready(c.now, true, "ready")
			if left {
				r.Receive(c.now, &Advert{Priority: 0, Interval: interval}, addr("10.0.0.12"))
			}
			if a := r.Expire(c.after(10 * time.Second)); a != (act{}) || r.state != backup {
				t.Fatalf("thawed with %+v in %v", a, r.state)
			}
			if got := r.Deadline().Sub(c.now); got != r.masterDown() {
				t.Errorf("preempt %v, left %v: it listens for %v", preempt, left, got)
			}
			if a := r.Expire(c.after(r.masterDown())); !a.changed || r.reason != "no advert from a master" {
				t.Errorf("without a master it ends with %+v, %s", a, r.reason)
			}
		}
	}
}

// The clock of the timers stands still while the machine is suspended.
func TestSuspendedBackupListens(t *testing.T) {
	r, c := newTestRouter(254, true)
	r.Ready(c.now, true, "ready")
	c.after(3 * interval)
	if r.Slept(c.now, interval/2); r.Deadline().Sub(c.now) >= r.masterDown() {
		t.Error("a moment counts as a sleep")
	}
	if a := r.Slept(c.now, time.Minute); a != (act{}) || r.Deadline().Sub(c.now) != r.masterDown() {
		t.Errorf("%+v, it listens for %v", a, r.Deadline().Sub(c.now))
	}
}
