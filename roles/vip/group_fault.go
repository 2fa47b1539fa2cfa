package vip

import (
	"bytes"
	"net"
	"slices"
	"time"
)

// judge tells the state machine whether the addresses can be served here.
func (g *group) judge(now time.Time) {
	fault := g.fault
	switch {
	case fault != "":
	case now.Before(g.failureEnds):
		fault = g.failure
	case now.Before(g.released):
		fault = "released"
	case now.Before(g.startAt):
		fault = "start delay"
	default:
		fault = g.unfit
	}
	if fault != "" {
		g.do(now, g.machine.Ready(now, false, fault))
		return
	}
	a := g.machine.Ready(now, true, "healthy")
	g.do(now, a)
	if a.changed && g.machine.state == backup {
		g.introduce()
		g.introduceAt = now.Add(introduceAgain)
	}
}

// fail gives the addresses away because of a fault that shows only in who holds them: to
// try again is to take them from another balancer. So it waits longer each time.
func (g *group) fail(now time.Time, fault string) {
	if now.Sub(g.failureAt) > 2*maxBackoff {
		g.backoff = 0
	}
	g.backoff = min(max(2*g.backoff, minBackoff), maxBackoff)
	g.failure, g.failureAt, g.failureEnds = fault, now, now.Add(g.backoff)
	g.judge(now)
}

// standBack begins a release.
func (g *group) standBack(now time.Time, until time.Duration) {
	g.released = now.Add(until)
	g.heard(now, g.router.interval)
}

// heard notes that another balancer serves. Its silence ends a release after three times
// what a backup would wait for.
func (g *group) heard(now time.Time, interval time.Duration) {
	if at := now.Add(3 * 4 * interval); at.After(g.aloneAt) {
		g.aloneAt = at
	}
}

// kernelSilent is the fault of all groups while no address can be set or renewed.
const kernelSilent = "the kernel does not answer netlink"

// check looks at the interface. One that was deleted and made again under its name is
// a new one: the sockets of the old hear nothing.
func (g *group) check(now time.Time) {
	g.checkAt = now.Add(checkEvery)
	g.readFrom(now, g.transport.others)
	link, err := g.transport.look(g.device.Name)
	g.dark = err == nil && !link.running
	fault := ""
	switch {
	case g.engine.keeper.stuck():
		fault = kernelSilent
	case err != nil:
		fault = "interface " + g.device.Name + " is gone"
	case link.index != g.device.Index:
		fault = "interface " + g.device.Name + " was made again"
		g.reopen()
	case g.dark:
		fault = "interface " + g.device.Name + " has no link"
	case g.transport.ownLost():
		fault = "interface " + g.device.Name + " has lost the address " + g.own.String()
	}
	if err == nil && len(g.device.HardwareAddr) == len(link.mac) && !bytes.Equal(g.device.HardwareAddr, link.mac[:]) {
		g.reopen() // or the announcements would name the old one
	}
	if fault != g.fault {
		g.fault = fault
		g.judge(now)
	}
}

// reopen has the keeper open endpoints on the interface as it is now. Those that there are
// serve until then.
func (g *group) reopen() {
	if g.reopening {
		return
	}
	g.reopening = true
	e, p := g.engine, g.plan
	e.keeper.do(func() {
		var next endpoints
		device, err := interfaceNamed(p.name, p.device.Name)
		if err == nil {
			p.device = device
			next, err = openEndpoints(p)
		}
		e.post(func(now time.Time) { g.reopened(now, device, next, err) })
	})
}

func (g *group) reopened(now time.Time, device *net.Interface, next endpoints, err error) {
	g.reopening = false
	switch {
	case err != nil: // the next check tries again
		g.complain(now, err)
		return
	case !slices.Contains(g.engine.groups, g): // it has left meanwhile
		go next.close()
		return
	}
	g.giveBack(g.endpoints)
	g.device, g.endpoints, g.restEnds = device, next, time.Time{}
	g.listen(now)
	g.check(now)
	if g.holding {
		g.planAnnouncements(now)
	}
}
