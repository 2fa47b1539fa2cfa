package vip

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exchangeAdverts carries what each act sends to the other until nothing is sent.
func exchangeAdverts(now time.Time, a, b *Router, first act) {
	from, to := a, b
	for next := first; next.send; from, to = to, from {
		next = to.Receive(now, &Advert{Priority: next.with, Interval: interval}, from.id.address)
	}
}

func twoRouters() (a, b *Router, now time.Time) {
	now = time.Unix(1_000_000, 0)
	a = newRouter(routerConfig{version: 3, vrid: 51, priority: 254, interval: interval, preempt: true, address: addr("10.0.0.11")})
	b = newRouter(routerConfig{version: 3, vrid: 51, priority: 253, interval: interval, preempt: true, address: addr("10.0.0.12")})
	a.Ready(now, true, "ready")
	b.Ready(now, true, "ready")
	exchangeAdverts(now, a, b, a.become(now, "test"))
	return a, b, now
}

// Whoever was forced last is the only master, whatever the order of the addresses.
func TestForce(t *testing.T) {
	a, b, now := twoRouters()
	check := func(what string, holder, other *Router) {
		t.Helper()
		if holder.state != master || other.state != backup {
			t.Fatalf("%s: %v and %v", what, holder.state, other.state)
		}
	}
	force := func(r, other *Router) {
		t.Helper()
		now = now.Add(time.Minute)
		act, able := r.Force(now)
		if !able {
			t.Fatal("a backup cannot be forced")
		}
		exchangeAdverts(now, r, other, act)
	}
	force(b, a)
	check("the lower one forced", b, a)
	if a.Receive(now.Add(interval), &Advert{Priority: 255, Interval: interval}, b.id.address); a.deadline.Before(now.Add(4 * interval)) {
		t.Fatal("the preferred one does not heed the forced one")
	}
	force(a, b)
	check("then the preferred one", a, b)
	force(b, a)
	check("then the lower one again", b, a)
	if b.forced != true || a.forced {
		t.Fatalf("forced: %v and %v", a.forced, b.forced)
	}
}

// Both were forced behind a partition: they fall back and the preferred one stays.
func TestTwoForcedHeal(t *testing.T) {
	a, b, now := twoRouters()
	a.Force(now)
	b.Force(now)
	now = now.Add(time.Minute)
	fromA, fromB := act{send: true, with: 255}, act{send: true, with: 255}
	for range 3 {
		nextA := b.Receive(now, &Advert{Priority: fromA.with, Interval: interval}, a.id.address)
		nextB := a.Receive(now, &Advert{Priority: fromB.with, Interval: interval}, b.id.address)
		fromB, fromA = nextA, nextB
		if !fromA.send || !fromB.send {
			break
		}
	}
	if a.state != master || b.state != backup || a.priority != 254 {
		t.Fatalf("%v with %d and %v with %d", a.state, a.priority, b.state, b.priority)
	}
}

func TestWeight(t *testing.T) {
	for _, c := range []struct{ priority, weight, want int }{{200, -50, 150}, {200, -300, 1}, {200, 100, 254}, {255, -100, 255}} {
		r, clock := newTestRouter(uint8(c.priority), true)
		r.Weigh(c.weight)
		r.Ready(clock.now, true, "ready")
		if int(r.priority) != c.want {
			t.Errorf("%d%+d is %d, want %d", c.priority, c.weight, r.priority, c.want)
		}
	}
	r, clock := newTestRouter(200, true)
	r.Ready(clock.now, true, "ready")
	r.Expire(clock.after(r.masterDown()))
	if a := r.Weigh(-10); !a.send || a.with != 190 {
		t.Errorf("a master that weighs less says %+v", a)
	}
}

func TestResumeSpeaksAtOnce(t *testing.T) {
	r, clock := newTestRouter(253, true)
	if a := r.Resume(clock.now, true); !a.send || a.with != 255 || !a.changed || r.state != master {
		t.Fatalf("%+v in %v", a, r.state)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newTestGroup is a group without sockets.
func newTestGroup(p plan) *group {
	c := newCounts(prometheus.NewRegistry())
	return &group{plan: p, machine: newRouter(p.router), log: quiet(), counts: c, counters: c.of(p.name, "ipv4"), warnedAt: map[string]time.Time{}}
}
