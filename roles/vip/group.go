package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"stack/appliance/config"
)

// announceAfter are the times after a take-over at which the addresses are announced:
// a switch may drop what comes while its port is still learning.
var announceAfter = []time.Duration{0, time.Second, 3 * time.Second, 5 * time.Second}

// plan is one virtual router as the config asks for it: a group of addresses that move
// together.
type plan struct {
	name       string
	device     *net.Interface
	own        netip.Addr
	peers      []netip.Addr // empty: multicast
	router     routerConfig
	advertised []netip.Addr // those of the family in which the adverts travel
	virtual    []netip.Addr // all of the group
}

// plans derives the virtual routers of node; nothing is opened.
func plans(node *config.Node) ([]plan, error) {
	var out []plan
	for _, vip := range node.VIP {
		device, err := interfaceOf(vip, node.Address)
		if err != nil {
			return nil, err
		}
		p := plan{name: vip.Name, device: device, virtual: vip.Addresses}
		if err := p.transportOf(vip, node); err != nil {
			return nil, err
		}
		for _, address := range vip.Addresses {
			if address.Is6() == p.own.Is6() {
				p.advertised = append(p.advertised, address)
			}
		}
		p.router = routerConfig{version: 3, vrid: uint8(vip.VRID), priority: priorityOf(vip, node), interval: vip.Advert, preempt: vip.Preempt, address: p.own}
		out = append(out, p)
	}
	return out, nil
}

// transportOf chooses our address and the peers. Adverts of a group with addresses of
// both families travel in one of them, that of the balancers' own addresses where it
// can, and the others follow.
func (p *plan) transportOf(vip config.VIP, node *config.Node) error {
	v6 := node.Address.Is6()
	sameFamily := slices.ContainsFunc(vip.Addresses, func(a netip.Addr) bool { return a.Is6() == v6 })
	if vip.Transport == "multicast" {
		own, err := sourceOf(p.device, node.Address, v6 == sameFamily)
		p.own = own
		return err
	}
	if !sameFamily {
		return fmt.Errorf("vip %s: %s cannot travel between balancers whose addresses are of the other family: say transport: multicast", vip.Name, vip.Addresses[0])
	}
	p.own = node.Address
	for _, m := range node.Members {
		if m.Name != node.Name && slices.Contains(m.Roles, "lb") {
			p.peers = append(p.peers, m.Address)
		}
	}
	return nil
}

// priorityOf follows the order of the balancers in the file: 254, 253, …; the
// preferred one comes first.
func priorityOf(vip config.VIP, node *config.Node) uint8 {
	var order []string
	for _, m := range node.Members {
		if slices.Contains(m.Roles, "lb") && m.Name != vip.Prefer {
			order = append(order, m.Name)
		}
	}
	if vip.Prefer != "" {
		order = slices.Insert(order, 0, vip.Prefer)
	}
	return uint8(max(1, 254-slices.Index(order, node.Name)))
}

func interfaceOf(vip config.VIP, own netip.Addr) (*net.Interface, error) {
	if vip.Interface != "" {
		device, err := net.InterfaceByName(vip.Interface)
		if err != nil {
			return nil, fmt.Errorf("vip %s: interface %s: %w: `ip link` lists what there is", vip.Name, vip.Interface, err)
		}
		return device, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	for i := range all {
		list, err := all[i].Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", all[i].Name, err)
		}
		for _, a := range list {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == own {
				return &all[i], nil
			}
		}
	}
	return nil, fmt.Errorf("vip %s: no interface holds %s: name one in vip.interface", vip.Name, own)
}

// sourceOf finds the address that multicast adverts come from: the node's own, or for
// IPv6 the link-local one (RFC 9568 section 5.1.2.1).
func sourceOf(device *net.Interface, own netip.Addr, v6 bool) (netip.Addr, error) {
	if !v6 && own.Is4() {
		return own, nil
	}
	list, err := device.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the addresses of %s: %w", device.Name, err)
	}
	for _, a := range list {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		address := prefix.Addr().Unmap()
		if address.Is6() == v6 && (!v6 || address.IsLinkLocalUnicast()) {
			return address.WithZone(""), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no address of its own to send adverts from", device.Name)
}

// group runs one virtual router: its sockets, its state machine and its addresses. It
// belongs to the engine's goroutine.
type group struct {
	plan
	machine   *Router
	transport *transport
	announcer *announcer
	addresses addresses
	log       *slog.Logger
	counts    *counts

	holding    bool
	refreshAt  time.Time
	announceAt []time.Time
}

func openGroup(p plan, log *slog.Logger, counts *counts) (*group, error) {
	t, err := openTransport(p.device, p.own, p.peers)
	if err != nil {
		return nil, err
	}
	a, err := openAnnouncer(p.device)
	if err != nil {
		t.close()
		return nil, err
	}
	return &group{plan: p, machine: newRouter(p.router), transport: t, announcer: a, counts: counts,
		addresses: addresses{p.device, p.virtual}, log: log.With("vip", p.name, "vrid", p.router.vrid)}, nil
}

// do carries out what the state machine decided.
func (g *group) do(now time.Time, a act) {
	var failed []error
	if a.changed {
		g.log.Info("virtual address "+g.machine.state.String(), "addresses", g.addresses.list, "reason", g.machine.reason)
		g.counts.transitions.WithLabelValues(g.name, g.family(), g.machine.state.String(), g.machine.reason).Inc()
	}
	switch {
	case a.changed && g.machine.state == master:
		g.holding = true
		failed = append(failed, g.addresses.hold())
		g.refreshAt = now.Add(refresh)
		g.planAnnouncements(now)
	case a.changed && g.holding:
		// The address goes before the advert that lets the next one take it.
		g.holding = false
		g.announceAt = nil
		failed = append(failed, g.addresses.release())
	case a.heal:
		g.planAnnouncements(now)
	}
	if a.send {
		advert := &Advert{Version: g.router.version, VRID: g.router.vrid, Priority: a.with, Interval: g.router.interval, Addresses: g.advertised}
		if err := g.transport.send(advert); err != nil {
			failed = append(failed, err)
		} else {
			g.counts.sent.WithLabelValues(g.name, g.family()).Inc()
		}
	}
	g.announceDue(now, &failed)
	if err := errors.Join(failed...); err != nil {
		g.counts.errors.WithLabelValues(g.name, g.family()).Inc()
		g.log.Error("virtual address", "err", err)
	}
}

func (g *group) planAnnouncements(now time.Time) {
	g.announceAt = g.announceAt[:0]
	for _, after := range announceAfter {
		g.announceAt = append(g.announceAt, now.Add(after))
	}
}

func (g *group) announceDue(now time.Time, failed *[]error) {
	for len(g.announceAt) > 0 && !g.announceAt[0].After(now) {
		g.announceAt = g.announceAt[1:]
		*failed = append(*failed, g.announcer.announce(g.addresses.list))
	}
}

// wake handles every deadline that has passed.
func (g *group) wake(now time.Time) {
	if at := g.machine.Deadline(); !at.IsZero() && !at.After(now) {
		g.do(now, g.machine.Expire(now))
	}
	if !g.holding {
		return
	}
	var failed []error
	if !g.refreshAt.After(now) {
		g.refreshAt = now.Add(refresh)
		failed = append(failed, g.addresses.hold())
	}
	g.announceDue(now, &failed)
	if err := errors.Join(failed...); err != nil {
		g.counts.errors.WithLabelValues(g.name, g.family()).Inc()
		g.log.Error("virtual address", "err", err)
	}
}

// next is when wake has something to do.
func (g *group) next() time.Time {
	at := g.machine.Deadline()
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if g.holding {
		sooner(g.refreshAt)
		if len(g.announceAt) > 0 {
			sooner(g.announceAt[0])
		}
	}
	return at
}

// restore puts an address back that somebody else removed.
func (g *group) restore(l lost) {
	if !g.holding || l.device != g.device.Index || !g.addresses.has(l.address) {
		return
	}
	g.counts.restored.WithLabelValues(g.name, g.family()).Inc()
	g.log.Warn("virtual address was removed by another program; it is put back", "address", l.address)
	if err := g.addresses.hold(); err != nil {
		g.log.Error("virtual address", "err", err)
		return
	}
	if err := g.announcer.announce([]netip.Addr{l.address}); err != nil {
		g.log.Error("virtual address", "err", err)
	}
}

// receive checks a packet as RFC 9568 section 7.1 asks, and hands the advert on.
func (g *group) receive(now time.Time, p arrival) {
	reject := func(cause string) {
		g.counts.invalid.WithLabelValues(g.name, g.family(), cause).Inc()
	}
	switch {
	case p.from == g.own:
		return
	case p.hops != hopLimit:
		reject("hop limit")
		return
	case len(g.peers) > 0 && !slices.Contains(g.peers, p.from):
		reject("unknown sender")
		return
	}
	a, err := ParseAdvert(p.payload, p.from, p.to)
	switch {
	case err != nil:
		reject(err.Error())
		return
	case a.VRID != g.router.vrid:
		return // another virtual router of the segment
	case a.Version != g.router.version:
		reject("other version")
		return
	}
	g.counts.received.WithLabelValues(g.name, g.family()).Inc()
	// Other addresses behind the same VRID are a difference of configs, not a reason to
	// have two masters.
	if !slices.Equal(sorted(a.Addresses), sorted(g.advertised)) {
		reject("other addresses")
	}
	if g.machine.state == master && a.Priority != 0 {
		g.counts.masters.WithLabelValues(g.name, g.family()).Inc()
		g.log.Warn("two masters", "own", g.own, "other", p.from, "own_priority", g.machine.priority, "other_priority", a.Priority)
	}
	g.do(now, g.machine.Receive(now, a, p.from))
}

func sorted(list []netip.Addr) []netip.Addr {
	out := slices.Clone(list)
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

func (g *group) family() string {
	if g.own.Is6() {
		return "ipv6"
	}
	return "ipv4"
}

func (g *group) close() error {
	g.announcer.close()
	return g.transport.close()
}
