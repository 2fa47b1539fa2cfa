package vip

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stack/e2e/lan"
)

// Everybody's numbers on the LAN.
const (
	clientNumber = 1
	originNumber = 2
	vipNumber    = 10
	vrid         = 51
)

var (
	vip    = lan.Address(vipNumber)
	vip6   = lan.Address6(vipNumber)
	second = lan.Address(vipNumber + 10)
)

// cluster is balancers lb1, lb2, … that share addresses, a web server behind them and a
// client before them.
type cluster struct {
	t        *testing.T
	lan      *lan.LAN
	site     *lan.Site
	names    []string
	nodes    map[string]*lan.Stack
	recorder *lan.Recorder
	control  *lan.Control // an ordinary process
	machine  *lan.Control // one of real-time priority: what it is late by, the machine stood still
	interval time.Duration
}

// together is one group of both families with adverts of this interval.
func together(interval time.Duration, more string) string {
	return fmt.Sprintf(`  - {name: www, addresses: [%s, "%s"], vrid: %d, interface: eth0, advert: %s%s}`, vip, vip6, vrid, interval, more)
}

// stays is what lets a master that was replaced be the backup of its replacement.
const stays = ", preempt: false"

// segments tells those apart that run at the same time.
var segments atomic.Int32

// newSegment makes all but the processes of the balancers.
func newSegment(t *testing.T, balancers int, interval time.Duration, ipv6 bool, groups string) *cluster {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	l, err := lan.New(fmt.Sprintf("vip%d-%d", os.Getpid(), segments.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	c := &cluster{t: t, lan: l, nodes: make(map[string]*lan.Stack), interval: interval}
	c.control, err = lan.StartControl(time.Millisecond, false)
	c.must(err)
	t.Cleanup(func() { c.control.Stop() })
	c.machine, err = lan.StartControl(time.Millisecond, true)
	c.must(err)
	t.Cleanup(func() { c.machine.Stop() })
	c.must(l.Join("client", clientNumber))
	c.must(l.Join("web", originNumber))
	origin := netip.AddrPortFrom(lan.Address(originNumber), 8080)
	server, err := l.Serve("web", origin)
	c.must(err)
	t.Cleanup(func() { server.Close() })
	c.recorder, err = l.Record()
	c.must(err)
	t.Cleanup(c.recorder.Stop)
	c.site = &lan.Site{LAN: l, Binary: binary, Dir: t.TempDir(), IPv6: ipv6, VIP: groups, Origin: origin}
	for i := range balancers {
		n := lan.Node{Name: fmt.Sprintf("lb%d", i+1), Number: 11 + i}
		c.site.Nodes, c.names = append(c.site.Nodes, n), append(c.names, n.Name)
		c.nodes[n.Name] = c.site.Balancer(n.Name)
		c.must(l.Join(n.Name, n.Number))
	}
	t.Cleanup(c.stop)
	return c
}

// newCluster makes it and starts all balancers.
func newCluster(t *testing.T, balancers int, interval time.Duration, groups string) *cluster {
	t.Helper()
	c := newSegment(t, balancers, interval, false, groups)
	c.must(c.site.Prepare())
	for _, name := range c.names {
		c.must(c.nodes[name].Start())
	}
	return c
}

func (c *cluster) stop() {
	for _, b := range c.nodes {
		p := b.Process()
		if p == nil {
			continue
		}
		p.Kill()
		if c.t.Failed() {
			out := p.Output()
			c.t.Logf("%s:\n%s", b.Host(), out[max(0, len(out)-8000):])
		}
	}
}

// run is a subtest that uses the cluster.
func (c *cluster) run(name string, test func()) {
	outer := c.t
	outer.Run(name, func(t *testing.T) {
		c.t = t
		test()
	})
	c.t = outer
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// await polls until ok, at most within.
func (c *cluster) await(what string, within time.Duration, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %v: %s\n%s", within, what, c.describe())
		}
		time.Sleep(5 * time.Millisecond) // between two looks, bounded by within
	}
}

// describe is what a failure needs to be understood.
func (c *cluster) describe() string {
	var b strings.Builder
	for _, name := range c.names {
		fmt.Fprintf(&b, "%s: %q, holds %v %v; ", name, c.nodes[name].State(), c.lan.Holds(name, vip), c.lan.Holds(name, vip6))
	}
	fmt.Fprintf(&b, "adverts of the last second by %v", c.recorder.Masters(time.Now().Add(-time.Second), vrid))
	return b.String()
}

// holders are the hosts that have the address.
func (c *cluster) holders(address netip.Addr) (hosts []string) {
	for _, name := range c.names {
		if c.lan.Holds(name, address) {
			hosts = append(hosts, name)
		}
	}
	return hosts
}

// one is the host that holds the address alone, "" if there is none or several.
func (c *cluster) one(address netip.Addr) string {
	if hosts := c.holders(address); len(hosts) == 1 {
		return hosts[0]
	}
	return ""
}

// settled awaits that one balancer holds the addresses and all others stand ready.
func (c *cluster) settled() (master string) {
	c.t.Helper()
	c.await("one master, the others backup", 20*time.Second, func() bool {
		master = c.one(vip)
		if master == "" || c.one(vip6) != master {
			return false
		}
		for _, name := range c.names {
			state := c.nodes[name].State()
			if name == master && state != "master" || name != master && state != "backup" {
				return false
			}
			// A host whose link was down asks for its neighbours once a second.
			if c.lan.Neighbour(name, lan.Address(originNumber)) != "web" {
				return false
			}
		}
		return true
	})
	return master
}

// becomes awaits that want is the master and the others stand ready.
func (c *cluster) becomes(want string) {
	c.t.Helper()
	c.await(want+" holds the addresses", 20*time.Second, func() bool { return c.settled() == want })
}

// other is a balancer that is not name.
func (c *cluster) other(name string) string {
	return c.names[(slices.Index(c.names, name)+1)%len(c.names)]
}

// probe starts a client of each address that asks every millisecond, and awaits that it
// is answered.
func (c *cluster) probe(addresses ...netip.Addr) (list []*lan.Probe) {
	c.t.Helper()
	for _, a := range addresses {
		p, err := c.lan.StartProbe("client", netip.AddrPortFrom(a, 80), time.Millisecond)
		c.must(err)
		c.t.Cleanup(func() { p.Stop() })
		c.await("the client is answered", 5*time.Second, func() bool { _, n := p.Counts(); return n > 50 })
		list = append(list, p)
	}
	return list
}

// oneSpeaks checks what must hold once grace has passed since t: one balancer calls itself
// master, and the neighbours send to it. Where all of its peers are gone, its adverts are not
// on the wire, and it is asked itself.
func (c *cluster) oneSpeaks(t time.Time, grace time.Duration, why string) {
	c.t.Helper()
	grace += c.control.Worst(t)
	time.Sleep(time.Until(t.Add(grace))) // what must be over by then
	from := time.Now()
	time.Sleep(max(5*c.interval, 200*time.Millisecond)) // the window that is judged
	heard := c.recorder.Masters(from, vrid)
	maps.DeleteFunc(heard, func(name string, adverts int) bool {
		// One that its kernel kept while it had no link, or did not know the peer's.
		return adverts == 1 && c.nodes[name].State() != "master"
	})
	masters := slices.Sorted(maps.Keys(heard))
	for _, name := range c.names {
		if len(masters) == 0 && c.nodes[name].State() == "master" {
			masters = []string{name}
		}
	}
	if len(masters) != 1 {
		c.complain(t, "%s: %v later masters are %v; want one\n%s", why, grace, masters, c.trace(t))
		return
	}
	for _, neighbour := range []string{"client", "web"} {
		if has := c.lan.Neighbour(neighbour, vip); has != "" && has != masters[0] {
			c.complain(t, "%s: %s is master, the %s sends to %s:%s", why, masters[0], neighbour, has, c.trace(t))
		}
	}
}

// complain is an error, unless the whole machine has stood still for so long since t that
// a backup had to take over.
func (c *cluster) complain(t time.Time, format string, args ...any) {
	c.t.Helper()
	if still := c.machine.Worst(t); still > 2*c.interval {
		c.t.Logf("does not count, as the machine stood still for %v: %s", still, fmt.Sprintf(format, args...))
		return
	}
	c.t.Errorf(format, args...)
}

// slow is an error, unless others use the processors: a proxy's end takes as long as its
// threads wait for one each, and so does a hand-over between two processes.
func (c *cluster) slow(format string, args ...any) {
	c.t.Helper()
	const busy = 50
	if percent := lan.Pressure(); percent > busy {
		c.t.Logf("does not count, as processes waited for a processor for %v %% of the time: %s", percent, fmt.Sprintf(format, args...))
		return
	}
	c.t.Errorf(format, args...)
}

// trace is the story since t: who spoke and announced when, repetitions folded unless they
// come late.
func (c *cluster) trace(t time.Time) string {
	type event struct {
		at   time.Time
		what string
	}
	var events []event
	from := t.Add(-5 * c.interval)
	for _, a := range c.recorder.Since(from, vrid) {
		events = append(events, event{a.At, fmt.Sprintf("%s(%d)", a.Host, a.Priority)})
	}
	for _, a := range c.recorder.Announcements(from, vip) {
		events = append(events, event{a.At, a.Host + " announces"})
	}
	slices.SortFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	var b strings.Builder
	last := event{}
	for _, e := range events {
		if e.what != last.what || e.at.Sub(last.at) > 2*c.interval {
			fmt.Fprintf(&b, " %+v %s", e.at.Sub(t).Round(100*time.Microsecond), e.what)
		}
		last = e
	}
	return b.String()
}
