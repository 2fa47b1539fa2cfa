package vip

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// announceAfter are the times after a take-over or heal at which the addresses are announced:
// a switch may drop what comes while its port is still learning, and of two backups that
// became master together the one that yields may have announced last.
var announceAfter = []time.Duration{0, 10 * time.Millisecond, time.Second, 3 * time.Second, 5 * time.Second}

const (
	checkEvery = time.Second            // looks at the interface, and tries again after a fault
	healEvery  = 100 * time.Millisecond // bounds the announcements that adverts of others cause
	logEvery   = 10 * time.Second       // bounds the lines about what goes on
)

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

	unfit    string    // what keeps the node from serving, from health
	fault    string    // what keeps this group from serving, whatever health says
	released time.Time // the end of a release by command; zero: none
	follow   func(*group)
	changed  func(Transition)

	holding    bool
	checkAt    time.Time
	refreshAt  time.Time
	announceAt []time.Time
	healedAt   time.Time
	twoAt      time.Time // of the last line about two masters
	failedAt   time.Time // of the last line about failed, with its text
	failed     string
}

func openGroup(p plan, log *slog.Logger, counts *counts) (*group, error) {
	g := &group{plan: p, machine: newRouter(p.router), counts: counts, log: log.With("vip", p.name, "vrid", p.router.vrid), unfit: "starting"}
	return g, g.open()
}

// open takes the sockets on the interface.
func (g *group) open() error {
	t, err := openTransport(g.device, g.own, g.peers)
	if err != nil {
		return err
	}
	a, err := openAnnouncer(g.device)
	if err != nil {
		t.close()
		return err
	}
	g.transport, g.announcer, g.addresses = t, a, addresses{g.device, g.virtual}
	return nil
}

// judge tells the state machine whether the addresses can be served here.
func (g *group) judge(now time.Time) {
	fault := g.fault
	if fault == "" && now.Before(g.released) {
		fault = "released"
	}
	if fault == "" {
		fault = g.unfit
	}
	if fault != "" {
		g.do(now, g.machine.Ready(now, false, fault))
		return
	}
	g.do(now, g.machine.Ready(now, true, "healthy"))
}

// fail gives the addresses away because of a fault that lasts until the next check.
func (g *group) fail(now time.Time, fault string) {
	g.fault, g.checkAt = fault, now.Add(checkEvery)
	g.judge(now)
}

// check looks at the interface. One that was deleted and made again under its name is
// a new one: the sockets of the old hear nothing.
func (g *group) check(now time.Time) {
	g.checkAt = now.Add(checkEvery)
	index, running, err := g.transport.look(g.device.Name)
	fault := ""
	switch {
	case err != nil:
		fault = "interface " + g.device.Name + " is gone"
	case index != g.device.Index:
		if err := g.reopen(); err != nil {
			g.complain(now, err)
			fault = "interface " + g.device.Name + " cannot be used"
		}
	case !running:
		fault = "interface " + g.device.Name + " has no link"
	}
	if fault != g.fault {
		g.fault = fault
		g.judge(now)
	}
}

func (g *group) reopen() error {
	device, err := interfaceNamed(g.name, g.device.Name)
	if err != nil {
		return err
	}
	next := *g
	next.device = device
	if err := next.open(); err != nil {
		return err
	}
	g.close()
	g.device, g.transport, g.announcer, g.addresses = device, next.transport, next.announcer, next.addresses
	g.follow(g)
	return nil
}

// complain counts a failure, and logs it unless it was logged a moment ago.
func (g *group) complain(now time.Time, err error) {
	if err == nil {
		return
	}
	g.counts.errors.WithLabelValues(g.name, g.family()).Inc()
	if text := err.Error(); text != g.failed || now.Sub(g.failedAt) >= logEvery {
		g.failed, g.failedAt = text, now
		g.log.Error("virtual address", "err", err)
	}
}

// do carries out what the state machine decided.
func (g *group) do(now time.Time, a act) {
	var failed []error
	if a.changed {
		g.log.Info("virtual address "+g.machine.state.String(), "addresses", g.addresses.list, "reason", g.machine.reason)
		g.counts.transitions.WithLabelValues(g.name, g.family(), g.machine.state.String(), g.machine.reason).Inc()
		g.changed(Transition{Group: g.name, State: g.machine.state.String(), Reason: g.machine.reason, Addresses: g.addresses.list, At: now})
	}
	switch {
	case a.changed && g.machine.state == master:
		g.holding, g.healedAt = true, time.Time{}
		if !g.hold(now) {
			return
		}
		g.planAnnouncements(now)
	case a.changed && g.holding:
		// The address goes before the advert that lets the next one take it.
		g.holding = false
		g.announceAt = nil
		failed = append(failed, g.addresses.release())
	case a.heal && now.Sub(g.healedAt) >= healEvery:
		g.healedAt = now
		g.planAnnouncements(now)
	}
	// Before the advert: who hears it and stays master announces after us.
	g.announceDue(now, &failed)
	if a.send {
		advert := &Advert{Version: g.router.version, VRID: g.router.vrid, Priority: a.with, Interval: g.router.interval, Addresses: g.advertised}
		if err := g.transport.send(advert); err != nil {
			failed = append(failed, err)
		} else {
			g.counts.sent.WithLabelValues(g.name, g.family()).Inc()
		}
	}
	g.complain(now, errors.Join(failed...))
}

// hold sets or renews the addresses. Where not one can be set, another balancer has to:
// it returns false and has given them away.
func (g *group) hold(now time.Time) bool {
	g.refreshAt = now.Add(refresh)
	set, err := g.addresses.hold()
	g.complain(now, err)
	if set == 0 {
		g.fail(now, "the addresses cannot be set")
	}
	return set > 0
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
	if !g.checkAt.After(now) {
		g.check(now)
	}
	if !g.released.IsZero() && !g.released.After(now) {
		g.released = time.Time{}
		g.judge(now)
	}
	if at := g.machine.Deadline(); !at.IsZero() && !at.After(now) {
		g.do(now, g.machine.Expire(now))
	}
	if !g.holding {
		return
	}
	if !g.refreshAt.After(now) && !g.hold(now) {
		return
	}
	var failed []error
	g.announceDue(now, &failed)
	g.complain(now, errors.Join(failed...))
}

// next is when wake has something to do.
func (g *group) next() time.Time {
	at := g.machine.Deadline()
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if !g.released.IsZero() {
		sooner(g.released)
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
func (g *group) restore(now time.Time, l lost) {
	if !g.holding || l.device != g.device.Index || !g.addresses.has(l.address) {
		return
	}
	g.counts.restored.WithLabelValues(g.name, g.family()).Inc()
	g.log.Warn("virtual address was removed by another program; it is put back", "address", l.address)
	if g.hold(now) {
		g.complain(now, g.announcer.announce([]netip.Addr{l.address}))
	}
}

// admit checks a packet as RFC 9568 section 7.1 asks. It returns nil for one that is not
// for this group. It reads only what never changes and may be called from any goroutine,
// so that rubbish does not reach the engine.
func (g *group) admit(p arrival) *Advert {
	reject := func(cause string) *Advert {
		g.counts.invalid.WithLabelValues(g.name, g.family(), cause).Inc()
		return nil
	}
	switch {
	case p.from == g.own:
		return nil
	case p.hops != hopLimit:
		return reject("hop limit")
	case len(g.peers) > 0 && !slices.Contains(g.peers, p.from):
		return reject("unknown sender")
	}
	a, err := ParseAdvert(p.payload, p.from, p.to)
	switch {
	case err != nil:
		return reject(err.Error())
	case a.VRID != g.router.vrid:
		return nil // another virtual router of the segment
	case a.Version != g.router.version:
		return reject("other version")
	}
	g.counts.received.WithLabelValues(g.name, g.family()).Inc()
	// Other addresses behind the same VRID are a difference of configs, not a reason to
	// have two masters.
	if !slices.Equal(sorted(a.Addresses), sorted(g.advertised)) {
		reject("other addresses")
	}
	return a
}

// receive hands an admitted advert to the state machine.
func (g *group) receive(now time.Time, a *Advert, from netip.Addr) {
	if g.machine.state == master && a.Priority != 0 {
		g.counts.masters.WithLabelValues(g.name, g.family()).Inc()
		if now.Sub(g.twoAt) >= logEvery {
			g.twoAt = now
			g.log.Warn("two masters", "own", g.own, "other", from, "own_priority", g.machine.priority, "other_priority", a.Priority)
		}
	}
	g.do(now, g.machine.Receive(now, a, from))
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

// leave gives the addresses away for good.
func (g *group) leave(now time.Time, reason string) error {
	g.do(now, g.machine.Stop(reason))
	return errors.Join(g.addresses.release(), g.close())
}

func (g *group) close() error {
	g.announcer.close()
	return g.transport.close()
}
