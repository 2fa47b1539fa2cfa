package vip

import (
	"strings"
	"testing"
	"time"

	"stack/e2e/lan"
)

// TestPartition parts the balancers from each other while both hear everybody else: each is
// master for its own, and once they hear each other again one is. The neighbours follow the
// one that announced last, which is not the one that stays.
func TestPartition(t *testing.T) {
	for _, interval := range []time.Duration{slow, fast} {
		t.Run(interval.String(), func(t *testing.T) {
			c := newCluster(t, 2, interval, together(interval, ""))
			c.becomes("lb1") // which is preferred
			c.probe(vip)     // so that the neighbours have something to follow
			c.must(c.lan.Cut("lb1", "lb2"))
			c.must(c.lan.Cut("lb2", "lb1"))
			c.await("both are master", 5*time.Second, func() bool { return len(c.holders(vip)) == 2 })
			c.await("the client follows the second", 5*time.Second, func() bool { return c.lan.Neighbour("client", vip) == "lb2" })
			healed := c.heal()
			c.oneSpeaks(healed, 3*interval, "after the partition")
			c.becomes("lb1")
		})
	}
}

// heal ends the cuts and returns when they ended: the command that does it takes longer
// than an advert.
func (c *cluster) heal() time.Time {
	c.t.Helper()
	c.must(c.lan.Heal())
	return time.Now()
}

// TestOneWayLoss loses what the master sends to the backup: both are master, and the one
// that hears the other says so. Afterwards one is, and it is not told by the neighbours.
func TestOneWayLoss(t *testing.T) {
	for _, interval := range []time.Duration{slow, fast} {
		t.Run(interval.String(), func(t *testing.T) {
			c := newCluster(t, 2, interval, together(interval, ""))
			const master, backup = "lb1", "lb2"
			c.becomes(master)
			c.probe(vip)
			c.must(c.lan.Cut(master, backup))
			c.await("both are master", 5*time.Second, func() bool { return len(c.holders(vip)) == 2 })
			c.await("the master counts the other's adverts", 5*time.Second, func() bool {
				n, err := c.site.Metric(master, "stack_vip_two_masters_total")
				return err == nil && n > 0
			})
			c.await("the master logs it with both addresses", 5*time.Second, func() bool {
				out := c.nodes[master].Process().Output()
				for line := range strings.Lines(out) {
					if strings.Contains(line, "master") && strings.Contains(line, lan.Address(11).String()) && strings.Contains(line, lan.Address(12).String()) {
						return true
					}
				}
				return false
			})
			healed := c.heal()
			c.oneSpeaks(healed, 3*interval, "after the one-way loss")
			c.becomes(master)
		})
	}
}

// TestSleeperListens freezes the master for longer than its master-down interval: what it
// sends when it wakes is nothing.
func TestSleeperListens(t *testing.T) {
	for _, interval := range []time.Duration{slow, fast} {
		t.Run(interval.String(), func(t *testing.T) {
			c := newCluster(t, 2, interval, together(interval, stays))
			master := c.settled()
			heir := c.other(master)
			frozen := time.Now()
			c.nodes[master].Freeze()
			c.await("another takes over", 5*time.Second, func() bool { return c.lan.Holds(heir, vip) })
			// It may have slept for an interval less than its heir has waited.
			time.Sleep(time.Until(frozen.Add(4*interval + 50*time.Millisecond)))
			thawed := time.Now()
			c.nodes[master].Thaw()
			c.oneSpeaks(thawed, 3*interval, "after the thaw")
			if spoken := c.recorder.Masters(thawed, vrid)[master]; spoken > 0 {
				c.complain(frozen, "the one that woke sent %d adverts as master:%s", spoken, c.trace(thawed))
			}
			if c.settled() != heir {
				c.complain(frozen, "the one that woke took the addresses back without preempt")
			}
		})
	}
}

// TestLongPartition lasts until the hosts have given up each other's hardware addresses, as
// any partition of a minute does: a host that has asks for one only once a second.
func TestLongPartition(t *testing.T) {
	c := newCluster(t, 2, fast, together(fast, ""))
	c.becomes("lb1")
	for _, name := range c.names { // so that seconds are enough
		c.must(c.lan.Set(name, "net/ipv4/neigh/eth0/base_reachable_time_ms", "1000"))
		c.must(c.lan.Set(name, "net/ipv4/neigh/eth0/delay_first_probe_time", "1"))
	}
	c.must(c.lan.Cut("lb1", "lb2"))
	c.must(c.lan.Cut("lb2", "lb1"))
	c.await("both are master", 5*time.Second, func() bool { return len(c.holders(vip)) == 2 })
	time.Sleep(7 * time.Second) // reachable 1.5 s, delay 1 s, three probes of 1 s
	healed := c.heal()
	c.oneSpeaks(healed, 3*fast, "after a long partition")
	c.becomes("lb1")
}

// TestDeafMaster has a balancer that hears nothing, and whose kernel has just forgotten its
// neighbours, become master: nobody is reached by it either. When it hears again, the master
// knows of it at once and tells the neighbours, which have learned its address.
func TestDeafMaster(t *testing.T) {
	for _, interval := range []time.Duration{slow, fast} {
		t.Run(interval.String(), func(t *testing.T) {
			c := newCluster(t, 2, interval, together(interval, ""))
			c.becomes("lb1")
			c.probe(vip)
			for _, deaf := range []string{"lb2", "lb1"} {
				c.must(c.lan.Cut(c.other(deaf), deaf))
				c.must(c.lan.Forget(deaf))
				c.await("both are master", 5*time.Second, func() bool { return len(c.holders(vip)) == 2 })
				healed := c.heal()
				c.oneSpeaks(healed, 3*interval, deaf+" hears again")
				c.becomes("lb1")
			}
		})
	}
}
