package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stack/e2e/lan"
)

// What everybody on the LAN of this measurement is called and numbered.
const (
	client     = "client"
	web        = "web"
	sharedVRID = 51
)

var (
	sharedAddress = lan.Address(10)
	originAddress = netip.AddrPortFrom(lan.Address(2), 8080)
	balancers     = []lan.Node{{Name: "lb1", Number: 11}, {Name: "lb2", Number: 12}}
)

// onlyVIP says that nothing else than the virtual addresses was asked for.
func (s settings) onlyVIP() bool {
	return s.only != "" && (s.wantsFailover() || s.wants("adverts"))
}

// section is the name that a fault has for -only.
func section(f lan.Fault) string { return "failover: " + f.Name }

func (s settings) wantsFailover() bool {
	for _, strike := range strikes {
		if s.wants(section(strike.fault)) {
			return true
		}
	}
	return false
}

// measureVIP measures what clients notice when the holder of a virtual address goes away,
// and how even its adverts are on a busy machine.
func measureVIP(ctx context.Context, w io.Writer, s settings) error {
	if !s.wantsFailover() && !s.wants("adverts") || !s.runs(stack) && !s.runs(keepalived) {
		return nil
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: virtual addresses are left out: network namespaces need root")
		return nil
	}
	intervals := []time.Duration{100 * time.Millisecond, 10 * time.Millisecond}
	if s.wantsFailover() {
		printTakeOverHead(w, s)
		for _, interval := range intervals {
			if err := measureTakeOver(ctx, w, s, interval); err != nil {
				return err
			}
		}
	}
	if s.wants("adverts") {
		printAdvertsHead(w, s)
		for _, interval := range intervals {
			if err := measureAdverts(ctx, w, s, interval); err != nil {
				return err
			}
		}
	}
	return nil
}

// sharing is two balancers of one kind that share an address, on a LAN of their own.
type sharing struct {
	name     string
	dir      string
	lan      *lan.LAN
	nodes    []lan.Balancer
	recorder *lan.Recorder
	origin   io.Closer
}

func startSharing(name string, s settings, interval time.Duration) (_ *sharing, err error) {
	c := &sharing{name: name}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if c.dir, err = os.MkdirTemp("", "stack-bench-"); err != nil {
		return nil, err
	}
	if c.lan, err = lan.New(fmt.Sprintf("b%d%s", os.Getpid(), name[:1])); err != nil {
		return nil, err
	}
	if err := errors.Join(c.lan.Join(client, 1), c.lan.Join(web, 2)); err != nil {
		return nil, err
	}
	if c.origin, err = c.lan.Serve(web, originAddress); err != nil {
		return nil, err
	}
	if c.recorder, err = c.lan.Record(); err != nil {
		return nil, err
	}
	if name == stack {
		err = c.addStack(s, interval)
	} else {
		err = c.addKeepalived(interval)
	}
	if err != nil {
		return nil, err
	}
	for _, n := range c.nodes {
		if err := n.Start(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *sharing) addStack(s settings, interval time.Duration) error {
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	site := &lan.Site{LAN: c.lan, Binary: binary, Dir: c.dir, Nodes: balancers, Origin: originAddress,
		VIP: fmt.Sprintf("  - {name: www, addresses: [%s], vrid: %d, interface: eth0, advert: %s, preempt: false}", sharedAddress, sharedVRID, interval)}
	for _, n := range balancers {
		if err := c.lan.Join(n.Name, n.Number); err != nil {
			return err
		}
		c.nodes = append(c.nodes, site.Balancer(n.Name))
	}
	return site.Prepare()
}

func (c *sharing) addKeepalived(interval time.Duration) error {
	if err := checkKeepalived(); err != nil {
		return err
	}
	for i, n := range balancers {
		if err := c.lan.Join(n.Name, n.Number); err != nil {
			return err
		}
		peer := balancers[1-i]
		node, err := newKeepalivedNode(c.lan, c.dir, n.Name, lan.Address(n.Number), lan.Address(peer.Number), 254-i, interval)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, node)
	}
	return nil
}

func (c *sharing) stop() {
	for _, n := range c.nodes {
		n.Kill()
	}
	if c.recorder != nil {
		c.recorder.Stop()
	}
	if c.origin != nil {
		c.origin.Close()
	}
	if c.lan != nil {
		c.lan.Close()
	}
	os.RemoveAll(c.dir)
}

// settle awaits that one balancer alone holds the address and the other stands ready. A
// host whose link was down asks for its neighbours once a second: both must know the server.
func (c *sharing) settle(ctx context.Context) (master, backup lan.Balancer, err error) {
	err = c.await(ctx, "one master and one backup", 30*time.Second, func() bool {
		for i, n := range c.nodes {
			other := c.nodes[1-i]
			if n.State() == "master" && other.State() == "backup" && c.lan.Holds(n.Host(), sharedAddress) && !c.lan.Holds(other.Host(), sharedAddress) &&
				c.lan.Neighbour(n.Host(), originAddress.Addr()) == web && c.lan.Neighbour(other.Host(), originAddress.Addr()) == web {
				master, backup = n, other
				return true
			}
		}
		return false
	})
	return master, backup, err
}

func (c *sharing) await(ctx context.Context, what string, within time.Duration, ok func() bool) error {
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v: %s; lb1 is %q, lb2 %q", c.name, within, what, c.nodes[0].State(), c.nodes[1].State())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// takeOvers are the gaps by fault and contender.
type takeOvers map[string]map[string][]time.Duration

// strikes are the faults in the order of the table, with what stack may take by the
// interval of the adverts: the first at 100 ms, the second at 10 ms.
var strikes = []struct {
	fault  lan.Fault
	wanted [2]time.Duration
}{
	{lan.ProxyKilled, [2]time.Duration{50 * time.Millisecond, 50 * time.Millisecond}},
	{lan.ProxyFrozen, [2]time.Duration{50 * time.Millisecond, 50 * time.Millisecond}},
	{lan.NodeKilled, [2]time.Duration{350 * time.Millisecond, 40 * time.Millisecond}},
	{lan.NodeFrozen, [2]time.Duration{350 * time.Millisecond, 40 * time.Millisecond}},
	{lan.LinkDown, [2]time.Duration{350 * time.Millisecond, 40 * time.Millisecond}},
	{lan.NamespaceGone, [2]time.Duration{350 * time.Millisecond, 40 * time.Millisecond}},
	{lan.Released, [2]time.Duration{10 * time.Millisecond, 10 * time.Millisecond}},
}

// measureTakeOver strikes the contenders in turn, and prints their rows.
func measureTakeOver(ctx context.Context, w io.Writer, s settings, interval time.Duration) error {
	var field []*sharing
	for _, name := range []string{stack, keepalived} {
		if !s.runs(name) {
			continue
		}
		c, err := startSharing(name, s, interval)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer c.stop()
		field = append(field, c)
	}
	control, err := lan.StartControl(time.Millisecond, false)
	if err != nil {
		return err
	}
	defer control.Stop()
	gaps, late := make(takeOvers), make(map[string][]time.Duration)
	for round := range s.strikes {
		for _, strike := range strikes {
			if !s.wants(section(strike.fault)) {
				continue
			}
			for _, c := range field {
				gap, worst, err := c.strike(ctx, strike.fault, control)
				if err != nil {
					return fmt.Errorf("%s, round %d: %w", strike.fault.Name, round+1, err)
				}
				if gaps[strike.fault.Name] == nil {
					gaps[strike.fault.Name] = make(map[string][]time.Duration)
				}
				gaps[strike.fault.Name][c.name] = append(gaps[strike.fault.Name][c.name], gap)
				late[strike.fault.Name] = append(late[strike.fault.Name], worst)
				fmt.Fprintf(os.Stderr, "%v adverts, round %d, %s, %s: gap %.1f ms, control %.1f ms\n", interval, round+1, strike.fault.Name, c.name, milli(gap), milli(worst))
			}
		}
	}
	printTakeOvers(w, interval, gaps, late)
	return nil
}

// strike does a fault to the master while a client asks every millisecond, and returns the
// longest time without an answer, and the longest that the control was late meanwhile.
func (c *sharing) strike(ctx context.Context, f lan.Fault, control *lan.Control) (gap, worst time.Duration, err error) {
	master, backup, err := c.settle(ctx)
	if err != nil {
		return 0, 0, err
	}
	probe, err := c.lan.StartProbe(client, netip.AddrPortFrom(sharedAddress, 80), time.Millisecond)
	if err != nil {
		return 0, 0, err
	}
	defer probe.Stop()
	if err := c.await(ctx, "the client is answered", 10*time.Second, func() bool { _, n := probe.Counts(); return n > 100 }); err != nil {
		return 0, 0, err
	}
	at := time.Now()
	if err := f.Do(c.lan, master); err != nil {
		return 0, 0, err
	}
	if err := c.await(ctx, f.Name+": the backup takes over", 30*time.Second, func() bool { return c.lan.Holds(backup.Host(), sharedAddress) }); err != nil {
		return 0, 0, err
	}
	over := time.Now()
	if err := c.await(ctx, f.Name+": the client is answered", 10*time.Second, func() bool { return probe.Answered().Sub(over) > 100*time.Millisecond }); err != nil {
		return 0, 0, err
	}
	err = probe.Stop()
	return probe.Gap(at), control.Worst(at), errors.Join(err, f.Undo(c.lan, master))
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func printTakeOverHead(w io.Writer, s settings) {
	fmt.Fprintf(w, `
What a client of a virtual address notices when its holder goes away: the longest time without an answer, of a client that
sends a request over a new connection every millisecond. Milliseconds, median (least to most) of %d strikes, interleaved. The
control is a process that sleeps 1 ms at a time: the median of the worst that it was late during each strike.

| fault of the holder | adverts | stack | wanted | keepalived + haproxy | control |
|---|---|---|---|---|---|
`, s.strikes)
}

func printTakeOvers(w io.Writer, interval time.Duration, gaps takeOvers, late map[string][]time.Duration) {
	for _, strike := range strikes {
		wanted := strike.wanted[0]
		if interval < 100*time.Millisecond {
			wanted = strike.wanted[1]
		}
		name := strike.fault.Name
		if gaps[name] == nil {
			continue
		}
		slices.Sort(late[name])
		own := gaps[name][stack]
		fmt.Fprintf(w, "| %s | %v | %s | %s | %s | %.1f |\n", name, interval, spread(own), reached(own, wanted), spread(gaps[name][keepalived]), milli(late[name][len(late[name])/2]))
	}
}

// spread is "median (least to most)".
func spread(list []time.Duration) string {
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return fmt.Sprintf("%.1f (%.1f to %.1f)", milli(list[len(list)/2]), milli(list[0]), milli(list[len(list)-1]))
}

func reached(list []time.Duration, wanted time.Duration) string {
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	verdict := fmt.Sprintf("≤ %.0f", milli(wanted))
	if list[len(list)/2] > wanted {
		verdict += " (**missed**)"
	}
	return strings.TrimSpace(verdict)
}
