package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// announceAfter are the times after a take-over or heal at which the addresses are announced:
// a switch may drop what comes while its port is still learning, and of two backups that
// became master together the one that yields may have announced last.
var announceAfter = []time.Duration{0, 10 * time.Millisecond, time.Second, 3 * time.Second, 5 * time.Second}

const (
	checkEvery = time.Second           // looks at the interface
	minBackoff = time.Second           // before a node that could not hold the addresses tries again
	maxBackoff = time.Minute           // doubled until
	healEvery  = 20 * time.Millisecond // bounds the announcements that adverts of others cause
	logEvery   = 10 * time.Second      // bounds the lines about what goes on
	// restoreAfter is when an address is renewed whose removal crossed a renewal.
	restoreAfter = 20 * time.Millisecond
	// introduceAgain is when a backup shows its hardware address once more: a switch may drop
	// what comes while its port is still learning.
	introduceAgain = 10 * time.Millisecond
	maxStale       = 10_000 // packets: more than the buffer of a socket holds
)

// group runs one virtual router: its sockets, its state machine and its addresses. It
// belongs to the engine's thread; netlink and announcements are jobs of the keeper.
type group struct {
	plan
	engine  *engine // since join
	machine *Router
	endpoints
	auth     *authenticator // nil: adverts are not authenticated
	log      *slog.Logger
	counts   *counts
	counters *counters
	advert   Advert // scratch of what is sent
	arrived  Advert // and of what is received

	unfit       string    // what keeps the node from serving, from health
	fault       string    // what is wrong with the interface or the kernel
	dark        bool      // the interface has no link
	released    time.Time // the end of a release by command; zero: none
	aloneAt     time.Time // when a release ends because nobody else holds the addresses
	startAt     time.Time // the end of start_delay; zero: none
	failure     string    // what went wrong when the addresses were held last
	failureEnds time.Time // the end of the fault because of it; zero: none
	failureAt   time.Time // when it began
	backoff     time.Duration
	restEnds    time.Time // when the socket is read again after a flood; zero: it is read
	reopening   bool      // the keeper opens other endpoints
	moved       bool      // the state changed since it was shown

	holding     bool
	tenure      atomic.Int64 // grows when holding changes; what the keeper does for an older one is stale
	renewing    bool         // the keeper has not yet reported the last renewal
	checkAt     time.Time
	refreshAt   time.Time
	announceAt  []time.Time
	healedAt    time.Time
	reachedAt   time.Time // of the last look at whether a peer can hear us
	probeAt     time.Time // of the next question for strangers
	introduceAt time.Time // of the second introduction; zero: none
	heldSince   time.Time
	muteSince   time.Time            // since when no advert has left this machine; zero: they do
	strangerAt  time.Time            // of the last line about one
	stranger    string               // who holds an address too, for the status
	twoAt       time.Time            // of the last line about two masters
	warnedAt    map[string]time.Time // of the last line about dropped adverts, by cause
	failedAt    time.Time            // of the last line about failed, with its text
	failed      string
	onLeft      func(error) // told when leave has removed the addresses
}

func openGroup(p plan, auth *authenticator, log *slog.Logger, counts *counts) (*group, error) {
	g := &group{plan: p, machine: newRouter(p.router), auth: auth, counts: counts, log: log.With("vip", p.name, "vrid", p.router.vrid),
		unfit: "starting", warnedAt: map[string]time.Time{}}
	g.advert = Advert{Version: p.router.version, VRID: p.router.vrid, Interval: p.router.interval, Addresses: p.advertised}
	var err error
	g.endpoints, err = openEndpoints(p)
	return g, err
}

// join makes the group one of the engine's.
func (g *group) join(now time.Time, e *engine) {
	g.engine = e
	g.log = e.log.With("vip", g.name, "vrid", g.router.vrid)
	g.counters = g.counts.of(g.name, g.family()) // now that those of a group before it are forgotten
	if at := e.started.Add(g.startDelay); at.After(now) {
		g.startAt = at
	}
	g.showPresent(nil)
	for range maxStale { // what came before is of no use any more
		if _, more := g.transport.receive(g.transport.fd); !more {
			break
		}
	}
	g.listen(now)
}

// listen begins to use the endpoints.
func (g *group) listen(now time.Time) {
	e := g.engine
	g.complain(now, e.poller.add(g.transport.fd))
	g.strangers.watch(func(s sighting) {
		e.post(func(now time.Time) { g.sighted(now, s) })
	})
}

// sighted reports another machine that claims an address while we hold it. In the first
// moments of a tenure that is the holder before, whose kernel answers to the end of the
// lifetime. The address is not fought over: an announcement war helps nobody.
func (g *group) sighted(now time.Time, s sighting) {
	if !g.holding || now.Sub(g.heldSince) < strangerAfter {
		return
	}
	g.counters.strangers.Inc()
	if now.Sub(g.strangerAt) < logEvery {
		return
	}
	g.strangerAt = now
	g.stranger = fmt.Sprintf("%s is held by %s too", s.address, s.mac)
	g.moved = true
	g.log.Warn("another machine holds a virtual address too: remove the address there", "address", s.address, "mac", s.mac.String())
}

// probe asks for strangers, and forgets one that has not answered for two rounds.
func (g *group) probe(now time.Time) {
	g.probeAt = now.Add(strangerEvery)
	if g.stranger != "" && now.Sub(g.strangerAt) > 2*strangerEvery {
		g.stranger, g.moved = "", true
	}
	e, s := g.engine, g.strangers
	if s == nil {
		return
	}
	e.keeper.do(func() {
		if err := s.probe(); err != nil {
			e.post(func(now time.Time) { g.complain(now, err) })
		}
	})
}

// complain counts a failure, and logs it unless it was logged a moment ago.
func (g *group) complain(now time.Time, err error) {
	if err == nil {
		return
	}
	g.counters.errors.Inc()
	if text := err.Error(); text != g.failed || now.Sub(g.failedAt) >= logEvery {
		g.failed, g.failedAt = text, now
		g.log.Error("virtual address", "err", err)
	}
}

// do carries out what the state machine decided.
func (g *group) do(now time.Time, a act) {
	if a.changed {
		g.tell(now)
	}
	switch {
	case a.changed && g.machine.state == master:
		g.holding, g.healedAt = true, time.Time{}
		g.tenure.Add(1)
		g.renewing = false
		g.heldSince, g.muteSince, g.probeAt, g.stranger = now, time.Time{}, now.Add(strangerAfter), ""
		g.planAnnouncements(now)
		g.announceAt = g.announceAt[1:] // the first comes with the addresses
		g.hold(now, g.addresses.list)
	case a.changed && g.holding:
		g.drop(a)
		return
	case a.heal:
		g.heal(now)
	}
	if a.send {
		g.send(now, a.with)
	}
	g.announceDue(now)
}

// tell reports a transition to the log, the metrics and the watchers.
func (g *group) tell(now time.Time) {
	state, reason := g.machine.state.String(), g.machine.reason
	g.moved = true
	g.log.Info("virtual address "+state, "addresses", g.virtual, "reason", reason)
	g.counts.transitions.WithLabelValues(g.name, g.family(), state, reason).Inc()
	g.engine.watch.tell(Transition{Group: g.name, State: state, Reason: reason, Addresses: g.virtual, At: now})
}

// send sends an advert. It is the hot path of this package: it neither waits nor
// allocates (TestAdvertsDoNotAllocate).
func (g *group) send(now time.Time, priority uint8) {
	g.advert.Priority = priority
	left, err := g.transport.send(&g.advert, g.auth)
	g.complain(now, err)
	switch {
	case left:
		g.muteSince = time.Time{}
		g.counters.sent.Inc()
		g.counters.lastSent.Set(float64(now.UnixMilli()) / 1000)
	case g.machine.state != master:
	case g.muteSince.IsZero():
		g.muteSince = now
	case now.Sub(g.muteSince) >= g.machine.masterDown(): // by now another one holds the addresses too
		g.fail(now, "adverts cannot be sent")
	}
}

// hold sets or renews the addresses and announces those of the list.
func (g *group) hold(now time.Time, announce []netip.Addr) {
	g.refreshAt = now.Add(refresh)
	if g.renewing && len(announce) == 0 {
		return // the keeper is behind: another one would not help it
	}
	g.renewing = true
	e, set, announcer, tenure := g.engine, g.addresses, g.announcer, g.tenure.Load()
	e.keeper.do(func() {
		if tenure != g.tenure.Load() {
			return
		}
		present, err := set.hold()
		if len(present) > 0 && tenure == g.tenure.Load() { // who has yielded since must not announce last
			err = errors.Join(err, announcer.announce(announce))
		}
		e.post(func(now time.Time) { g.held(now, tenure, present, err) })
	})
}

// held takes the keeper's report. Where not one address can be set, another balancer
// has to.
func (g *group) held(now time.Time, tenure int64, present []netip.Addr, err error) {
	g.complain(now, err)
	if tenure != g.tenure.Load() {
		return
	}
	g.renewing = false
	g.showPresent(present)
	if len(present) == 0 && !g.unassigned {
		g.fail(now, "the addresses cannot be set")
	}
}

// drop removes the addresses. The address goes before the advert that lets the next one
// take it.
func (g *group) drop(a act) {
	g.holding, g.stranger = false, ""
	g.tenure.Add(1)
	g.announceAt = nil
	e, set, tenure := g.engine, g.addresses, g.tenure.Load()
	e.keeper.do(func() {
		err := set.release()
		e.post(func(now time.Time) {
			g.complain(now, err)
			if tenure != g.tenure.Load() {
				return
			}
			g.showPresent(nil)
			// Without a link the kernel would keep it, and send it to whoever is master later.
			if a.send && !g.dark {
				g.send(now, a.with)
			}
		})
	})
}

// clean removes what an owner that was killed left behind.
func (g *group) clean() {
	e, set := g.engine, g.addresses
	e.keeper.do(func() {
		if err := set.release(); err != nil {
			e.post(func(now time.Time) { g.complain(now, err) })
		}
	})
}

func (g *group) showPresent(present []netip.Addr) {
	for _, address := range g.addresses.list {
		value := 0.0
		if slices.Contains(present, address) {
			value = 1
		}
		g.counts.present.WithLabelValues(g.name, g.family(), address.String()).Set(value)
	}
}

// heal announces the addresses because another holder was heard: now, or when healEvery
// allows it, since that one may have announced them after us.
func (g *group) heal(now time.Time) {
	if next := g.healedAt.Add(healEvery); next.After(now) {
		if len(g.announceAt) == 0 || g.announceAt[0].After(next) {
			g.announceAt = slices.Insert(g.announceAt, 0, next)
		}
		return
	}
	g.healedAt = now
	g.planAnnouncements(now)
}

func (g *group) planAnnouncements(now time.Time) {
	g.announceAt = g.announceAt[:0]
	for _, after := range announceAfter {
		g.announceAt = append(g.announceAt, now.Add(after))
	}
}

func (g *group) announceDue(now time.Time) {
	if len(g.announceAt) == 0 || g.announceAt[0].After(now) {
		return
	}
	for len(g.announceAt) > 0 && !g.announceAt[0].After(now) {
		g.announceAt = g.announceAt[1:]
	}
	e, announcer, list, tenure := g.engine, g.announcer, g.addresses.list, g.tenure.Load()
	e.keeper.do(func() {
		if tenure != g.tenure.Load() {
			return
		}
		if err := announcer.announce(list); err != nil {
			e.post(func(now time.Time) { g.complain(now, err) })
		}
	})
}

// wake handles every deadline that has passed.
func (g *group) wake(now time.Time) {
	if !g.checkAt.After(now) || g.engine.keeper.stuck() != (g.fault == kernelSilent) {
		g.check(now)
	}
	if !g.released.IsZero() && !g.aloneAt.After(now) {
		g.released = now
		g.log.Warn("the release ends: no other balancer holds the addresses", "addresses", g.virtual)
	}
	if g.over(now, &g.released) || g.over(now, &g.startAt) || g.over(now, &g.failureEnds) {
		g.judge(now)
	}
	if g.over(now, &g.restEnds) {
		g.complain(now, g.engine.poller.listen(g.transport.fd, true))
	}
	if g.over(now, &g.introduceAt) {
		g.introduce()
	}
	if at := g.machine.Deadline(); !at.IsZero() && !at.After(now) {
		if g.holding {
			g.counters.late.Observe(now.Sub(at).Seconds())
		} else {
			g.read(now) // the master's advert may wait since before we could look
		}
		g.do(now, g.machine.Expire(now))
	}
	if !g.holding {
		return
	}
	if !g.refreshAt.After(now) {
		g.hold(now, nil)
	}
	g.announceDue(now)
	if !g.probeAt.After(now) {
		g.probe(now)
	}
}

// over tells whether an appointment has just passed, and ends it.
func (g *group) over(now time.Time, at *time.Time) bool {
	if at.IsZero() || at.After(now) {
		return false
	}
	*at = time.Time{}
	return true
}

// next is when wake has something to do.
func (g *group) next() time.Time {
	at := g.machine.Deadline()
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	sooner(g.checkAt)
	if !g.released.IsZero() {
		sooner(g.released)
		sooner(g.aloneAt)
	}
	sooner(g.startAt)
	sooner(g.failureEnds)
	sooner(g.restEnds)
	sooner(g.introduceAt)
	if g.holding {
		sooner(g.refreshAt)
		sooner(g.probeAt)
		if len(g.announceAt) > 0 {
			sooner(g.announceAt[0])
		}
	}
	return at
}

// changedOutside looks at an interface that changed, and puts an address back that
// somebody else removed.
func (g *group) changedOutside(now time.Time, c change) {
	switch {
	case !c.address.IsValid():
		if c.device == g.device.Index || g.fault != "" {
			g.check(now)
		}
	case c.address == g.own:
		g.check(now)
	case !g.holding || c.device != g.device.Index || !g.addresses.has(c.address):
	case g.renewing: // it may be back already
		g.refreshAt = now.Add(restoreAfter)
	default:
		g.counters.restored.Inc()
		g.log.Warn("virtual address was removed by another program; it is put back", "address", c.address)
		g.hold(now, []netip.Addr{c.address})
	}
}

// read takes the packets that wait.
func (g *group) read(now time.Time) {
	if !g.readFrom(now, g.transport.fd) {
		g.restEnds = now.Add(restAfter)
		g.complain(now, g.engine.poller.listen(g.transport.fd, false))
	}
}

// readFrom returns false if more packets may wait.
func (g *group) readFrom(now time.Time, fd int) bool {
	for range maxPackets {
		p, more := g.transport.receive(fd)
		if !more {
			return true
		}
		if g.admit(now, &p) {
			g.receive(now, &g.arrived, p.from)
		}
	}
	return false
}

// alarming are the causes that an operator has to know of: the addresses may be held
// twice, or somebody tries to take them.
var alarming = map[string]string{
	errUnsigned.Error(): "another router advertises this VRID without authentication: its vrrp.key is missing, or it is a stranger; compare `stack vip show` of the balancers",
	errSigned.Error():   "the other balancers authenticate their adverts and this one has no vrrp.key, so both may hold the addresses: copy it with `stack secrets export`",
	errOtherKey.Error(): "another router advertises this VRID with another vrrp.key, so both may hold the addresses: copy one key to all with `stack secrets export`",
	errForged.Error():   "adverts with a wrong authentication arrive: somebody tries to take the addresses",
	errReplay.Error():   "old adverts arrive again: somebody tries to take the addresses, or the sender's clock and state were lost (remove the state file of this node and restart)",
	causeStranger:       "a router that is not in the file uses this VRID on the segment: choose another vip.vrid, or name it in vip.peers",
	causeOtherVersion:   "the VRRP versions of the balancers differ: set vip.version alike",
	causeOtherInterval:  "the advert intervals of the balancers differ, which VRRP 2 does not allow: set vip.advert alike",
	causeOtherAddresses: "another balancer has other addresses for this VRID: the files differ",
	causeOtherGroup:     "another balancer uses this VRID for another group, so both may hold the addresses: the files differ; write vip.vrid, or append new groups",
}

const (
	causeStranger       = "unknown sender"
	causeOtherVersion   = "other version"
	causeOtherInterval  = "other interval"
	causeOtherAddresses = "other addresses"
	causeOtherGroup     = "other group"
)

// reject counts a packet, and logs it unless its cause was logged a moment ago.
func (g *group) reject(now time.Time, cause string, from netip.Addr) {
	counter := g.counters.invalid[cause]
	if counter == nil {
		counter = g.counts.invalid.WithLabelValues(g.name, g.family(), cause)
		g.counters.invalid[cause] = counter
	}
	counter.Inc()
	if text := alarming[cause]; text != "" && now.Sub(g.warnedAt[cause]) >= logEvery {
		g.warnedAt[cause] = now
		g.log.Warn("VRRP advert dropped or differs: "+text, "cause", cause, "from", from)
	}
}

// admit checks a packet as RFC 9568 section 7.1 asks, and decodes it into g.arrived. It
// returns false for one that is not for this group.
func (g *group) admit(now time.Time, p *arrival) bool {
	if p.from == g.own {
		return false
	}
	if p.hops != hopLimit {
		g.reject(now, "hop limit", p.from)
		return false
	}
	a := &g.arrived
	trailer, err := a.Parse(p.payload, p.from, p.to)
	switch {
	case err == nil && a.VRID != g.router.vrid:
		return false // another virtual router of the segment
	case len(g.peers) > 0 && !slices.Contains(g.peers, p.from):
		g.reject(now, causeStranger, p.from)
		return false
	case err != nil:
		g.reject(now, err.Error(), p.from)
		return false
	case a.Version != g.router.version:
		g.reject(now, causeOtherVersion, p.from)
		return false
	case a.Version == 2 && a.Interval != g.router.interval: // RFC 3768 section 7.1
		g.reject(now, causeOtherInterval, p.from)
		return false
	}
	if err := g.auth.check(p.payload, trailer, p.from, p.to); err != nil {
		g.reject(now, err.Error(), p.from)
		return false
	}
	// Some other addresses behind the same VRID are a difference of configs, not a reason to
	// have two masters. All others are another group: whoever heeds it leaves ours to nobody.
	slices.SortFunc(a.Addresses, netip.Addr.Compare)
	switch {
	case slices.Equal(a.Addresses, g.sorted):
	case slices.ContainsFunc(a.Addresses, func(a netip.Addr) bool { return slices.Contains(g.sorted, a) }):
		g.reject(now, causeOtherAddresses, p.from)
	default:
		g.reject(now, causeOtherGroup, p.from)
		return false
	}
	g.counters.received.Inc()
	g.counters.lastHeard.Set(float64(now.UnixMilli()) / 1000)
	return true
}

// receive hands an admitted advert to the state machine.
func (g *group) receive(now time.Time, a *Advert, from netip.Addr) {
	if a.Priority != 0 {
		g.heard(now, a.Interval)
	}
	// Whom we have just relieved may say one thing more.
	if g.machine.state == master && a.Priority != 0 && now.Sub(g.heldSince) > g.router.interval {
		g.counters.masters.Inc()
		if now.Sub(g.twoAt) >= logEvery {
			g.twoAt = now
			g.log.Warn("two masters", "own", g.own, "other", from, "own_priority", g.machine.priority, "other_priority", a.Priority)
		}
	}
	held := g.holding
	g.do(now, g.machine.Receive(now, a, from))
	if held {
		g.reach(now, from) // it may have become master because it did not
	}
}

func (g *group) family() string {
	if g.own.Is6() {
		return "ipv6"
	}
	return "ipv4"
}

// leave gives the addresses away for good and closes the group when they are gone.
func (g *group) leave(now time.Time, reason string) {
	a := g.machine.Stop(reason)
	if a.changed {
		g.tell(now)
	}
	g.holding = false
	g.tenure.Add(1)
	// Nobody reads it any more, and what waits there would keep the thread of the adverts
	// awake until the keeper, which is of lower priority, has had its turn.
	g.engine.poller.remove(g.transport.fd)
	e, set := g.engine, g.addresses
	e.keeper.do(func() {
		err := set.release()
		e.post(func(now time.Time) {
			if a.send {
				g.send(now, 0)
			}
			g.close()
			g.complain(now, err)
			if g.onLeft != nil {
				g.onLeft(err)
			}
		})
	})
}

// close gives the sockets back; the addresses stay.
func (g *group) close() {
	if g.engine == nil {
		g.endpoints.close()
		return
	}
	g.tenure.Add(1)
	g.giveBack(g.endpoints)
}

// giveBack closes endpoints when the keeper, which may use them, has done what it was asked
// for.
func (g *group) giveBack(o endpoints) {
	g.engine.poller.remove(o.transport.fd)
	g.engine.keeper.do(func() { go o.close() })
}
