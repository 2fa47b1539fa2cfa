package vip

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestReloadAndUpgradeStay reloads and upgrades the master and the backup: neither the
// adverts nor the client may notice.
func TestReloadAndUpgradeStay(t *testing.T) {
	for _, interval := range []time.Duration{slow, fast} {
		t.Run(interval.String(), func(t *testing.T) {
			// With preempt a mastership that moved would come back unseen: without it stays away.
			c := newCluster(t, 2, interval, together(interval, stays))
			for _, command := range []string{"reload", "upgrade"} {
				for _, who := range []string{"master", "backup"} {
					c.run(command+" of the "+who, func() { c.undisturbed(command, who) })
				}
			}
		})
	}
}

// undisturbed runs a command of the master or backup and awaits that nothing moves.
func (c *cluster) undisturbed(command, who string) {
	c.t.Helper()
	master := c.settled()
	node := map[string]string{"master": master, "backup": c.other(master)}[who]
	probe := c.probe(vip)[0]
	since := time.Now()
	_, err := c.site.Command(node, command)
	c.must(err)
	if got := c.settled(); got != master {
		c.slow("%s is master after it, %s was", got, master)
	}
	time.Sleep(10 * c.interval) // what may come later
	c.must(probe.Stop())
	late := c.control.Worst(since)
	// The new generation takes processors from the old: a request waits, but not for an address.
	if gap := probe.Gap(since); gap > 250*time.Millisecond+4*late {
		c.slow("the client saw a gap of %v; the control %v", gap, late)
	}
	adverts := c.recorder.Since(since, vrid)
	for i, a := range adverts {
		if a.Host != master || a.Priority == 0 {
			c.slow("an advert of %s with priority %d:%s", a.Host, a.Priority, c.trace(since))
			break
		}
		if i > 0 && a.At.Sub(adverts[i-1].At) > 3*c.interval+late {
			c.slow("%v without an advert", a.At.Sub(adverts[i-1].At))
		}
	}
}

// TestActiveActive has two addresses on two balancers, each the other's backup: both
// answer when one has died, and what passes through the survivor goes on.
func TestActiveActive(t *testing.T) {
	groups := fmt.Sprintf(`  - {name: www, addresses: [%s], vrid: %d, interface: eth0, advert: 100ms, prefer: lb1}
  - {name: api, addresses: [%s], vrid: %d, interface: eth0, advert: 100ms, prefer: lb2}`, vip, vrid, second, vrid+1)
	c := newCluster(t, 2, slow, groups)
	crossed := func() bool { return c.one(vip) == "lb1" && c.one(second) == "lb2" }
	c.await("each holds its own", 20*time.Second, crossed)
	kept := c.talk(netip.AddrPortFrom(second, 80))
	probes := c.probe(vip, second)
	died := time.Now()
	c.nodes["lb1"].Kill()
	c.await("the survivor holds both", 10*time.Second, func() bool {
		return c.lan.Holds("lb2", vip) && c.lan.Holds("lb2", second)
	})
	time.Sleep(300 * time.Millisecond) // of answers to both
	late := c.control.Worst(died)
	for i, p := range probes {
		c.must(p.Stop())
		bound := []time.Duration{350 * time.Millisecond, 100 * time.Millisecond}[i]
		if gap := p.Gap(died); gap > bound+late {
			c.slow("address %d: a gap of %v, want at most %v; the control saw %v", i, gap, bound, late)
		}
	}
	c.must(c.nodes["lb1"].Start())
	c.await("each holds its own again", 20*time.Second, crossed)
	if n, err := kept(); err != nil || n < 10 {
		t.Errorf("the connection through the survivor: %v after %d requests", err, n)
	}
}

// talk asks over one connection until the returned function is called, which tells how
// often it was answered.
func (c *cluster) talk(to netip.AddrPort) func() (int, error) {
	c.t.Helper()
	var conn net.Conn
	c.must(c.lan.In("client", func() (err error) {
		conn, err = net.DialTimeout("tcp", to.String(), 5*time.Second)
		return err
	}))
	type result struct {
		answered int
		err      error
	}
	stop, done := make(chan struct{}), make(chan result, 1)
	go func() {
		var r result
		defer func() { conn.Close(); done <- r }()
		for in := bufio.NewReader(conn); r.err == nil; {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond): // its pace
			}
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, r.err = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"); r.err != nil {
				return
			}
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				r.err = err
				return
			}
			var body strings.Builder
			_, r.err = bufio.NewReader(response.Body).WriteTo(&body)
			if response.StatusCode != http.StatusOK {
				r.err = fmt.Errorf("answered %s", response.Status)
			}
			r.answered++
		}
	}()
	return func() (int, error) {
		close(stop)
		r := <-done
		return r.answered, r.err
	}
}

// TestPreemptDelay has the preferred balancer return: it leaves the addresses to the other
// one for the delay, and then takes them back.
func TestPreemptDelay(t *testing.T) {
	const delay = 3 * time.Second
	c := newCluster(t, 2, slow, together(slow, fmt.Sprintf(", preempt_delay: %v", delay)))
	c.becomes("lb1")
	c.nodes["lb1"].Kill()
	c.await("lb2 takes over", 5*time.Second, func() bool { return c.lan.Holds("lb2", vip) })
	returns := time.Now()
	c.must(c.nodes["lb1"].Start())
	c.await("lb1 stands ready", 20*time.Second, func() bool { return c.nodes["lb1"].State() == "backup" })
	ready := time.Now()
	c.await("lb1 takes the addresses back", 20*time.Second, func() bool { return c.one(vip) == "lb1" && c.one(vip6) == "lb1" })
	if waited := time.Since(returns); waited < delay {
		t.Errorf("lb1 took the addresses back %v after it was started, want %v at least", waited, delay)
	}
	if waited := time.Since(ready); waited > delay+time.Second {
		c.slow("lb1 took the addresses back %v after it stood ready, want %v", waited, delay)
	}
	c.settled()
}
