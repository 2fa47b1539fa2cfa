package vip

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// health is what one source (the balancer, a pool, a command, the operator) says of
// this node.
type health struct {
	fault  string // why the node cannot serve; empty: it can
	weight int    // added to the priority, negative or positive
	group  string // the only one that it concerns; empty: all
}

// setHealth takes what source says from now on. Any fault gives the addresses of every
// group away; the weights of all sources are added to the priorities, within 1..254. It
// may be called from any goroutine, before the first group too.
func (e *engine) setHealth(source, fault string, weight int) {
	e.call(func(now time.Time) {
		e.sources[source] = health{fault: fault, weight: weight}
		for _, g := range e.groups {
			e.judge(now, g)
		}
	})
}

// setGroupHealth is setHealth for one group. Neither fault nor weight: the source is
// forgotten.
func (e *engine) setGroupHealth(group, source, fault string, weight int) {
	e.call(func(now time.Time) {
		key := group + "/" + source
		e.sources[key] = health{fault: fault, weight: weight, group: group}
		if fault == "" && weight == 0 {
			delete(e.sources, key)
		}
		for _, g := range e.groups {
			if g.name == group {
				e.judge(now, g)
			}
		}
	})
}

// judge tells a group what all sources say together. The first fault in the order of
// the sources' names is the reason.
func (e *engine) judge(now time.Time, g *group) {
	g.unfit = ""
	weight := 0
	for _, name := range slices.Sorted(maps.Keys(e.sources)) {
		h := e.sources[name]
		if h.group != "" && h.group != g.name {
			continue
		}
		weight += h.weight
		if g.unfit == "" {
			g.unfit = h.fault
		}
	}
	g.do(now, g.machine.Weigh(weight))
	g.moved = true
	g.judge(now)
}

// releaseGroup gives the addresses of a group away and does not take them again until
// the time is over, nobody else holds them, or forceGroup.
func (e *engine) releaseGroup(name string, until time.Duration) error {
	return e.command(name, func(now time.Time, g *group) error {
		g.standBack(now, until)
		g.judge(now)
		return nil
	})
}

// forceGroup makes this node the holder of a group at once, and keeps it that as long
// as it is healthy and nobody forces another node: see Router.Force.
func (e *engine) forceGroup(name string) error {
	return e.command(name, func(now time.Time, g *group) error {
		g.released = time.Time{}
		g.judge(now)
		a, able := g.machine.Force(now)
		if !able {
			return fmt.Errorf("force %s: this node cannot hold the addresses: %s", name, g.machine.reason)
		}
		g.do(now, a)
		return nil
	})
}

// command runs do on the named group in the engine.
func (e *engine) command(name string, do func(now time.Time, g *group) error) error {
	err := fmt.Errorf("the virtual addresses are not served by this process any more")
	e.call(func(now time.Time) {
		i := slices.IndexFunc(e.groups, func(g *group) bool { return g.name == name })
		if i < 0 {
			err = fmt.Errorf("there is no virtual address group %s: `stack vip show` lists them", name)
			return
		}
		err = do(now, e.groups[i])
		e.show()
	})
	return err
}
