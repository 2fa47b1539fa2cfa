package vip

import (
	"slices"
	"testing"
	"time"

	"stack/e2e/lan"
)

// What a client may notice of each fault, by the interval of the adverts.
type bound struct {
	fault lan.Fault
	most  map[time.Duration]time.Duration
}

const (
	slow = 100 * time.Millisecond
	fast = 10 * time.Millisecond
	ms   = time.Millisecond
)

var bounds = []bound{
	{lan.ProxyKilled, map[time.Duration]time.Duration{slow: 50 * ms, fast: 50 * ms}},
	{lan.ProxyFrozen, map[time.Duration]time.Duration{slow: 50 * ms, fast: 50 * ms}},
	{lan.NodeKilled, map[time.Duration]time.Duration{slow: 350 * ms, fast: 40 * ms}},
	{lan.NodeFrozen, map[time.Duration]time.Duration{slow: 350 * ms, fast: 40 * ms}},
	{lan.LinkDown, map[time.Duration]time.Duration{slow: 350 * ms, fast: 40 * ms}},
	{lan.NamespaceGone, map[time.Duration]time.Duration{slow: 350 * ms, fast: 40 * ms}},
	{lan.Released, map[time.Duration]time.Duration{slow: 10 * ms, fast: 10 * ms}},
}

// TestTakeOver strikes the master with every fault while a client asks every millisecond.
// The median of the gaps is bounded; what the control was late by at the same time does not
// count, once for each process that takes part. The short run begins with few strikes, and with more where they miss the bound.
func TestTakeOver(t *testing.T) {
	for interval, runs := range map[time.Duration]int{slow: 1, fast: 3} {
		most := 9
		if !testing.Short() {
			runs, most = 21, 21
		}
		t.Run(interval.String(), func(t *testing.T) {
			c := newCluster(t, 2, interval, together(interval, stays))
			for _, b := range bounds {
				c.run(b.fault.Name, func() {
					var gaps []time.Duration
					for len(gaps) < runs || len(gaps) < most && median(gaps) > b.most[interval] {
						gaps = append(gaps, c.strike(b.fault, len(gaps) == 0))
					}
					c.t.Logf("median of %d gaps %v, bound %v", len(gaps), median(gaps), b.most[interval])
					if median(gaps) > b.most[interval] {
						c.slow("gaps %v, want a median of at most %v", gaps, b.most[interval])
					}
				})
			}
		})
	}
}

func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// TestThreeBalancers has two heirs whose skew times differ by less than a packet takes: both
// become master, and the neighbours have to follow the one that stays.
func TestThreeBalancers(t *testing.T) {
	c := newCluster(t, 3, fast, together(fast, stays))
	c.settled()
	c.probe(vip) // so that the neighbours have something to follow
	for range 8 {
		master := c.settled()
		released := time.Now()
		c.must(lan.ProxyFrozen.Do(c.lan, c.nodes[master]))
		c.await("another takes over", 5*time.Second, func() bool { return c.lan.Holds(c.other(master), vip) || c.lan.Holds(c.other(c.other(master)), vip) })
		c.oneSpeaks(released, 5*fast, "with two heirs")
		c.must(lan.ProxyFrozen.Undo(c.lan, c.nodes[master]))
	}
}

// strike does a fault to the master and undoes it, and returns the gap that the client
// saw, less what the control was late by. thorough waits until 3 s after the fault, by
// when the dead must have lost the addresses.
func (c *cluster) strike(f lan.Fault, thorough bool) time.Duration {
	c.t.Helper()
	master := c.settled()
	heir := c.other(master)
	probe := c.probe(vip)[0]
	at := time.Now()
	c.must(f.Do(c.lan, c.nodes[master]))
	c.await(f.Name+": "+heir+" takes over", 10*time.Second, func() bool { return c.lan.Holds(heir, vip) })
	over := time.Now()
	c.await(f.Name+": the client is answered", 5*time.Second, func() bool { return probe.Answered().Sub(over) > 20*time.Millisecond })
	c.must(probe.Stop())
	gap, late, trace := probe.Gap(at), c.control.Worst(at), c.trace(at)
	if thorough {
		c.oneSpeaks(at, 4*c.interval, f.Name)
		time.Sleep(time.Until(at.Add(3 * time.Second))) // the time after which the issue asks
		if hosts := c.holders(vip); !slices.Equal(hosts, []string{heir}) {
			c.t.Errorf("%s: 3 s later the address is on %v", f.Name, hosts)
		}
		if hosts := c.holders(vip6); !slices.Equal(hosts, []string{heir}) {
			c.t.Errorf("%s: 3 s later the IPv6 address is on %v", f.Name, hosts)
		}
	}
	back := time.Now()
	c.must(f.Undo(c.lan, c.nodes[master]))
	if thorough {
		c.oneSpeaks(back, 3*c.interval, "after "+f.Name+" is over")
		if c.settled() != heir {
			c.complain(at, "%s: %s took the addresses back without preempt", f.Name, master)
		}
	}
	c.t.Logf("%s: gap %v, control %v", f.Name, gap.Round(100*time.Microsecond), late.Round(100*time.Microsecond))
	if gap > 50*time.Millisecond {
		c.t.Logf("what went over the wire:%s", trace)
	}
	return max(0, gap-hops*late)
}

// hops are the processes that act one after the other in a take-over, and may each be late by
// what the control was late by: who leaves or dies, the heir, the client.
const hops = 3
