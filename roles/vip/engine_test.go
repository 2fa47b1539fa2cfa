package vip

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// lab is an engine with a group on the loopback interface. Its addresses are others' to
// set, so that nothing of this machine changes.
type lab struct {
	*engine
	t     *testing.T
	plan  plan
	group *group
}

const labInterval = 10 * time.Millisecond

// labAddress is one of this process: other tests may run on this machine.
func labAddress(host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(os.Getpid() >> 8), byte(os.Getpid()), host})
}

func newLab(t *testing.T, saved savedState, change func(*plan)) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: opens raw sockets")
	}
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	device, err := interfaceNamed("www", "lo")
	if err != nil {
		t.Fatal(err)
	}
	own := labAddress(11)
	p := plan{name: "www", device: device, own: own, peers: []netip.Addr{labAddress(12)}, unassigned: true,
		router: routerConfig{version: 3, vrid: 51, priority: 254, interval: labInterval, preempt: true, address: own}}
	p.virtual = []netip.Addr{addr("10.9.0.10")}
	p.advertised, p.sorted = p.virtual, p.virtual
	if change != nil {
		change(&p)
	}
	e, err := startEngine(quiet(), newCounts(prometheus.NewRegistry()), newTrust(quiet(), "a"), saved)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.release("end of the test") })
	l := &lab{engine: e, t: t, plan: p}
	e.setHealth("balancer", "", 0)
	l.use(p)
	return l
}

// use replaces the group.
func (l *lab) use(p plan) {
	l.t.Helper()
	g, err := openGroup(p, nil, quiet(), l.counts)
	if err != nil {
		l.t.Fatal(err)
	}
	l.exchange([]*group{g})
	l.group = g
}

// await waits until the group is in a state, and returns why.
func (l *lab) await(state string, within time.Duration) string {
	l.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		v := (*l.view.Load())[0]
		if v.State == state {
			return v.Reason
		}
		if time.Now().After(end) {
			l.t.Fatalf("after %v it is in state %s (%s), not %s", within, v.State, v.Reason, state)
		}
	}
}

// do runs a test's question on the engine's thread.
func (l *lab) do(ask func(now time.Time, g *group)) {
	l.call(func(now time.Time) { ask(now, l.group) })
}

// speak sends adverts of another balancer.
func (l *lab) speak(a Advert) {
	l.t.Helper()
	other, err := openTransport(l.plan.device, labAddress(12), []netip.Addr{l.plan.own})
	if err != nil {
		l.t.Fatal(err)
	}
	defer other.close()
	if _, err := other.send(&a, nil); err != nil {
		l.t.Fatal(err)
	}
}

// What waits in the socket of a group that leaves keeps no thread awake, however long the
// keeper takes.
func TestLeavingGroupIsNotPolled(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	resume := make(chan struct{})
	l.keeper.do(func() { <-resume })
	l.do(func(now time.Time, g *group) {
		l.engine.groups = nil
		g.leave(now, "test")
		l.speak(Advert{Version: 3, VRID: 51, Priority: 1, Interval: labInterval, Addresses: l.plan.virtual})
		if ready := l.poller.wait(5 * time.Millisecond); len(ready) > 0 {
			t.Errorf("%d sockets are awake", len(ready))
		}
	})
	close(resume)
}

// An upgrade during or after the start delay does not begin it anew.
func TestStartDelayIsNotBegunAnew(t *testing.T) {
	for _, left := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			saved := savedState{At: boottime(), Groups: []savedGroup{{Name: "www", VRID: 51, Delayed: left}}}
			l := newLab(t, saved, func(p *plan) { p.startDelay = time.Hour })
			if v := (*l.view.Load())[0]; (v.State == "fault") != (left > 0) {
				t.Errorf("it begins in state %s (%s)", v.State, v.Reason)
			}
			l.await("master", left+2*time.Second)
		})
	}
}

// A group that replaces one of its name counts where the metrics are read.
func TestChangedGroupKeepsItsMetrics(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	l.plan.router.priority = 200
	l.use(l.plan)
	l.await("master", 2*time.Second)
	for name, gauge := range map[string]*prometheus.GaugeVec{"state": l.counts.state, "since": l.counts.since, "last sent": l.counts.lastSent} {
		if got := testutil.ToFloat64(gauge.WithLabelValues("www", "ipv4")); got == 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// A node that cannot hold the addresses does not take them every second.
func TestFailureBacksOff(t *testing.T) {
	g := newTestGroup(plan{router: routerConfig{version: 3, priority: 254, interval: interval}})
	now := time.Unix(1_000_000, 0)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if g.fail(now, "broken"); g.failureEnds.Sub(now) != want*time.Second {
			t.Fatalf("it waits %v, not %v s", g.failureEnds.Sub(now), want)
		}
		now = g.failureEnds
	}
	now = now.Add(5 * maxBackoff)
	if g.fail(now, "broken"); g.failureEnds.Sub(now) != minBackoff {
		t.Errorf("after a good time it waits %v", g.failureEnds.Sub(now))
	}
}

// No event ends the wait before its time.
func TestAddressesThatCannotBeSet(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	l.do(func(now time.Time, g *group) { g.unassigned = false }) // there are none to set, so none can be
	if why := l.await("fault", 2*time.Second); why != "the addresses cannot be set" {
		t.Error(why)
	}
	l.changed(change{device: l.plan.device.Index})
	l.setHealth("balancer", "", 0)
	if v := (*l.view.Load())[0]; v.State != "fault" {
		t.Errorf("it is in state %s (%s)", v.State, v.Reason)
	}
	l.do(func(now time.Time, g *group) { g.unassigned = true })
	l.await("master", 2*minBackoff)
}

// A release lasts as long as somebody else holds the addresses, at most.
func TestReleaseToNobodyEnds(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	if err := l.releaseGroup("www", time.Hour); err != nil {
		t.Fatal(err)
	}
	if why := l.await("fault", time.Second); why != "released" {
		t.Error(why)
	}
	for range 30 { // more than the 120 ms after which silence counts
		l.speak(Advert{Version: 3, VRID: 51, Priority: 100, Interval: labInterval, Addresses: l.plan.virtual})
		time.Sleep(labInterval)
	}
	l.await("fault", 0)
	l.await("master", 2*time.Second)
}

// A group of other addresses that uses our VRID is not heeded; one that differs in some
// is.
func TestAdvertsOfOtherGroups(t *testing.T) {
	for _, c := range []struct {
		addresses []netip.Addr
		admitted  bool
	}{
		{[]netip.Addr{addr("10.9.0.10")}, true},
		{[]netip.Addr{addr("10.9.0.11"), addr("10.9.0.10")}, true},
		{[]netip.Addr{addr("10.9.0.11")}, false},
	} {
		g := newTestGroup(plan{own: addr("10.0.0.11"), router: routerConfig{version: 3, vrid: 51}, sorted: []netip.Addr{addr("10.9.0.10")}})
		from, to := addr("10.0.0.12"), addr("10.0.0.11")
		payload, err := (&Advert{Version: 3, VRID: 51, Priority: 254, Interval: interval, Addresses: c.addresses}).Append(nil, from, to)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.admit(time.Now(), &arrival{from: from, to: to, hops: hopLimit, payload: payload}); got != c.admitted {
			t.Errorf("%v: admitted %v", c.addresses, got)
		}
	}
}

// A master that nobody can hear is none.
func TestMuteMasterFails(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	l.do(func(now time.Time, g *group) {
		fd := g.transport.fd
		g.transport.fd = -1
		defer func() { g.transport.fd = fd }()
		g.send(now, 254)
		if g.send(now.Add(3*labInterval), 254); g.machine.state != master {
			t.Error("it fails before the others miss its adverts")
		}
		if g.send(now.Add(4*labInterval), 254); g.machine.reason != "adverts cannot be sent" {
			t.Errorf("it is in state %v (%s)", g.machine.state, g.machine.reason)
		}
	})
}

func TestLostOwnAddressIsAFault(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	l.do(func(now time.Time, g *group) {
		g.transport.own = addr("192.0.2.1") // an address of documentation: no machine has it
		defer func() { g.transport.own = g.own }()
		g.changedOutside(now, change{device: g.device.Index, address: g.own})
		if g.machine.state != initialize {
			t.Errorf("it is in state %v (%s)", g.machine.state, g.machine.reason)
		}
		g.transport.own = g.own
		if g.check(now); g.machine.state != backup {
			t.Errorf("afterwards it is in state %v (%s)", g.machine.state, g.machine.reason)
		}
	})
}

// While the kernel keeps the keeper waiting, nobody serves the addresses: they expire.
func TestStuckKeeperIsAFault(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	resume := make(chan struct{})
	l.keeper.do(func() { <-resume })
	if why := l.await("fault", lifetime+time.Second); why != kernelSilent {
		t.Error(why)
	}
	if err := l.alive(); err != nil {
		t.Errorf("too early: %v", err)
	}
	l.keeper.oldest.Store(1 - int64(6*lifetime))
	if l.alive() == nil {
		t.Error("it is alive after a long time too")
	}
	close(resume)
	l.await("master", 2*time.Second)
}

// A flood leaves the processor to others: the socket rests after a bounded number of
// packets.
func TestFloodRests(t *testing.T) {
	l := newLab(t, savedState{}, nil)
	l.await("master", 2*time.Second)
	l.do(func(now time.Time, g *group) {
		for range maxPackets + 1 {
			l.speak(Advert{Version: 3, VRID: 51, Priority: 1, Interval: labInterval, Addresses: l.plan.virtual})
		}
		g.read(now)
		if ready := l.poller.wait(5 * time.Millisecond); len(ready) > 0 || g.next().After(g.restEnds) {
			t.Errorf("%d sockets are awake, the rest ends at %v", len(ready), g.restEnds)
		}
		g.wake(now.Add(restAfter))
		if ready := l.poller.wait(time.Second); len(ready) != 1 {
			t.Errorf("%d sockets are awake after the rest", len(ready))
		}
	})
}

// What is not for the group stays in the kernel; what an operator should know of is
// looked at now and then.
func TestFilter(t *testing.T) {
	own, peer, stranger := addr("10.0.0.11"), addr("10.0.0.12"), addr("10.0.0.13")
	for _, c := range []struct {
		name         string
		from         netip.Addr
		hops, vrid   byte
		options      int // words
		peers        []netip.Addr
		main, others bool
	}{
		{"a peer", peer, 255, 51, 0, []netip.Addr{addr("10.0.0.9"), peer}, true, false},
		{"with IP options", peer, 255, 51, 2, []netip.Addr{peer}, true, false},
		{"another VRID", peer, 255, 52, 0, []netip.Addr{peer}, false, false},
		{"through a router", peer, 254, 51, 0, []netip.Addr{peer}, false, true},
		{"a stranger", stranger, 255, 51, 0, []netip.Addr{peer}, false, true},
		{"anybody by multicast", stranger, 255, 51, 0, nil, true, false},
		{"ourselves", own, 255, 51, 0, nil, false, false},
	} {
		packet := make([]byte, 20+4*c.options)
		packet[0], packet[8], packet[9] = byte(0x45+c.options), c.hops, protocol
		copy(packet[12:], c.from.AsSlice())
		packet = append(packet, 0x31, c.vrid, 100, 1, 0, 1, 0, 0, 10, 9, 0, 10)
		for others, want := range map[bool]bool{false: c.main, true: c.others} {
			vm, err := bpf.NewVM(filterOf(own, 51, c.peers, others))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := vm.Run(packet); err != nil || (n > 0) != want {
				t.Errorf("%s, others %v: %d bytes pass, %v", c.name, others, n, err)
			}
		}
	}
}

// The kernel reads the filters as we do, of both families.
func TestFilterInTheKernel(t *testing.T) {
	inNamespace(t, func() {
		command(t, "ip", "link", "set", "lo", "up")
		command(t, "ip", "-6", "addr", "add", "fd09::11/128", "dev", "lo", "nodad")
		command(t, "ip", "-6", "addr", "add", "fd09::12/128", "dev", "lo", "nodad")
		command(t, "ip", "-6", "addr", "add", "fd09::13/128", "dev", "lo", "nodad")
		device, err := interfaceNamed("www", "lo")
		if err != nil {
			t.Error(err)
			return
		}
		for _, a := range [][]netip.Addr{
			{addr("127.0.0.11"), addr("127.0.0.12"), addr("127.0.0.13"), addr("10.9.0.10")},
			{addr("fd09::11"), addr("fd09::12"), addr("fd09::13"), addr("fd09::10")},
		} {
			own, peer, stranger := a[0], a[1], a[2]
			receiver, err := openTransport(device, own, []netip.Addr{peer})
			if err == nil {
				defer receiver.close()
				err = receiver.limit(51, []netip.Addr{peer})
			}
			if err != nil {
				t.Error(err)
				return
			}
			for _, c := range []struct {
				name string
				from netip.Addr
				vrid uint8
				fd   int
			}{{"the peer", peer, 51, receiver.fd}, {"a stranger", stranger, 51, receiver.others}, {"another VRID", peer, 52, -1}} {
				sender, err := openTransport(device, c.from, []netip.Addr{own})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = sender.send(&Advert{Version: 3, VRID: c.vrid, Priority: 1, Interval: interval, Addresses: a[3:]}, nil)
				sender.close()
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				if c.fd >= 0 { // the kernel delivers it in its own time
					ready := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
					if _, err := unix.Poll(ready, 5000); err != nil {
						t.Error(err)
					}
				}
				for _, fd := range []int{receiver.fd, receiver.others} {
					if p, got := receiver.receive(fd); got != (fd == c.fd) || got && (p.from != c.from || p.hops != hopLimit) {
						t.Errorf("%s to %s: arrives %v on socket %d of %d and %d: %+v", c.name, own, got, fd, receiver.fd, receiver.others, p)
					}
				}
			}
		}
	})
}
