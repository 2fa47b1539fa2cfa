package vip

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"stack/e2e/lan"
)

var (
	rounds = flag.Int("rounds", 0, "of random troubles; 0: 20 in the short run, 200 in the full one")
	seed   = flag.Int64("seed", 0, "of random troubles; 0: another one each time")
)

// trouble is one thing that may happen to a balancer. After undo all is as it was before.
type trouble struct {
	name string
	do   func(c *cluster, node string)
	undo func(c *cluster, node string)
	// heals says that undo ends it at once: one balancer has to be the master within
	// three adverts.
	heals bool
	// moves says that another may be the master afterwards.
	moves bool
	// deaf says that the victim does not hear the others.
	deaf bool
}

func fault(f lan.Fault, heals bool) trouble {
	return trouble{f.Name,
		func(c *cluster, node string) { c.t.Helper(); c.must(f.Do(c.lan, c.nodes[node])) },
		func(c *cluster, node string) { c.t.Helper(); c.must(f.Undo(c.lan, c.nodes[node])) }, heals, true, false}
}

func command(name string) trouble {
	return trouble{name, func(c *cluster, node string) {
		c.t.Helper()
		_, err := c.site.Command(node, name)
		c.must(err)
	}, func(*cluster, string) {}, true, false, false}
}

func cut(name string, heard, hears bool) trouble {
	return trouble{name, func(c *cluster, node string) {
		c.t.Helper()
		for _, other := range c.names {
			if other == node {
				continue
			}
			if !heard {
				c.must(c.lan.Cut(node, other))
			}
			if !hears {
				c.must(c.lan.Cut(other, node))
			}
		}
	}, func(c *cluster, _ string) { c.t.Helper(); c.must(c.lan.Heal()) }, true, true, !hears}
}

var troubles = []trouble{
	fault(lan.ProxyKilled, false), fault(lan.ProxyFrozen, true), fault(lan.NodeKilled, false), fault(lan.NodeFrozen, true),
	fault(lan.LinkDown, true), fault(lan.NamespaceGone, false), fault(lan.Released, false),
	{"kill -9 of the net child",
		func(c *cluster, node string) {
			c.t.Helper()
			if pid := c.nodes[node].Net(); pid > 0 {
				c.must(syscall.Kill(pid, syscall.SIGKILL))
			}
		}, func(*cluster, string) {}, false, true, false},
	cut("partition", false, false), cut("is not heard", false, true), cut("hears nothing", true, false),
	command("reload"), command("upgrade"),
}

// TestRandomTroubles does one thing after another to three balancers, and awaits after each
// that exactly one holds the addresses.
func TestRandomTroubles(t *testing.T) {
	rounds := *rounds
	if rounds == 0 && testing.Short() {
		rounds = 20
	} else if rounds == 0 {
		rounds = 200
	}
	seed := *seed
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	t.Logf("%d rounds; -seed %d -rounds %d repeats them", rounds, seed, rounds)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for _, interval := range []time.Duration{slow, fast} {
		t.Run(interval.String(), func(t *testing.T) {
			c := newCluster(t, 3, interval, together(interval, stays))
			for i := range rounds / 2 {
				c.round(i, random)
				if t.Failed() {
					t.Fatalf("round %d of -seed %d", i, seed)
				}
			}
		})
	}
}

// round chooses a trouble, its victim and how long it lasts.
func (c *cluster) round(i int, random *rand.Rand) {
	c.t.Helper()
	what := troubles[random.IntN(len(troubles))]
	victim := c.names[random.IntN(len(c.names))]
	if random.IntN(2) == 0 {
		victim = c.settled() // it is the master that matters
	}
	c.once(i, what, victim, time.Duration(random.Int64N(int64(1200*time.Millisecond))))
}

// once does one thing to a balancer for some time, and judges what becomes of it.
func (c *cluster) once(i int, what trouble, victim string, lasts time.Duration) {
	c.t.Helper()
	before := c.settled()
	name := fmt.Sprintf("round %d: %s of %s, master %s, %v", i, what.name, victim, before, lasts.Round(time.Millisecond))
	c.t.Log(name)
	at := time.Now()
	what.do(c, victim)
	time.Sleep(lasts) // as long as it is chosen to last
	what.undo(c, victim)
	over := time.Now()
	if what.heals {
		c.oneSpeaks(over, 3*c.interval, name)
	}
	after := c.settled()
	if !what.moves && after != before {
		c.slow("%s: %s is master, %s was:%s", name, after, before, c.trace(at))
	}
	if what.moves && victim != before && !what.deaf && after != before {
		// Who was not master can only become it where the others are not heard.
		c.complain(at, "%s: %s is master, %s was and nothing happened to it:%s", name, after, before, c.trace(at))
	}
	c.await(name+": the client is answered", 5*time.Second, func() bool { return c.answered() })
}

// answered tells whether a client that asks now is answered through the address.
func (c *cluster) answered() bool {
	p, err := c.lan.StartProbe("client", netip.AddrPortFrom(vip, 80), 10*time.Millisecond)
	c.must(err)
	defer p.Stop()
	for range 20 {
		time.Sleep(10 * time.Millisecond) // a few questions
		if _, n := p.Counts(); n > 0 {
			return true
		}
	}
	return false
}

// TestLinkReturns takes away the link of one of three balancers after another. One whose link
// returns has to hear the master that took its place meanwhile before its own time is up, or
// it becomes another one.
func TestLinkReturns(t *testing.T) {
	rounds := 12
	if !testing.Short() {
		rounds = 100
	}
	c := newCluster(t, 3, fast, together(fast, stays))
	for i := range rounds {
		c.once(i, fault(lan.LinkDown, true), c.names[i%2], time.Duration(300+i*53%700)*time.Millisecond)
		if t.Failed() {
			t.FailNow()
		}
	}
}
