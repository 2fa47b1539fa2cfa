package vip

import (
	"net"
	"time"

	"github.com/vishvananda/netlink"

	"stack/appliance/config"
)

// linkEvery bounds how long a change of a link that the kernel did not report is unknown.
const linkEvery = time.Second

type linkKey struct{ group, device string }

// linkTrack is an interface that a group depends on.
type linkTrack struct {
	config.VIPTrackInterface
	down bool // reported
}

func (t *tracker) setLinks(list []config.VIP) {
	next := map[linkKey]*linkTrack{}
	for _, g := range list {
		for _, i := range g.Track.Interfaces {
			key := linkKey{g.Name, i.Name}
			if old := t.links[key]; old != nil && old.VIPTrackInterface == i {
				next[key] = old
			} else {
				next[key] = &linkTrack{VIPTrackInterface: i}
			}
		}
	}
	for key, old := range t.links {
		if next[key] != old && old.down {
			t.report(key.group, "interface "+key.device, "", 0)
		}
	}
	t.links = next
	switch {
	case len(next) > 0 && t.unwatch == nil:
		stop := make(chan struct{})
		t.unwatch = func() { close(stop) }
		go t.watchLinks(stop)
	case len(next) == 0 && t.unwatch != nil:
		t.unwatch()
		t.unwatch = nil
	}
}

// watchLinks looks when the kernel reports a change of any link, and every second.
func (t *tracker) watchLinks(stop chan struct{}) {
	tick := time.NewTicker(linkEvery)
	defer tick.Stop()
	updates, end := subscribeLinks()
	defer func() { end() }()
	for {
		select {
		case <-stop:
			return
		case _, ok := <-updates:
			if !ok { // it broke: more came than the kernel keeps for us
				end()
				updates, end = nil, func() {}
			}
		case <-tick.C:
			if updates == nil {
				updates, end = subscribeLinks()
			}
		}
		t.lookAtLinks()
	}
}

// subscribeLinks returns nil where the kernel does not tell; the ticks do then.
func subscribeLinks() (updates chan netlink.LinkUpdate, end func()) {
	updates, done := make(chan netlink.LinkUpdate, 64), make(chan struct{})
	if netlink.LinkSubscribe(updates, done) != nil {
		return nil, func() {}
	}
	return updates, func() {
		close(done)
		for range updates { // the library's goroutine ends when its last update is taken
		}
	}
}

// lookAtLinks asks the kernel, which may make it wait, without holding the tracker up.
func (t *tracker) lookAtLinks() {
	t.looking.Lock()
	defer t.looking.Unlock()
	t.mu.Lock()
	bad := map[string]string{} // by interface: what is wrong with it
	for key := range t.links {
		bad[key.device] = ""
	}
	t.mu.Unlock()
	for name := range bad {
		bad[name] = lookAtLink(name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, l := range t.links {
		wrong, looked := bad[key.device]
		if down := wrong != ""; looked && down != l.down {
			l.down = down
			source := "interface " + key.device
			t.log.Warn("a tracked interface has changed", "vip", key.group, "interface", key.device, "up", !down)
			t.judge(key.group, source, source+wrong, down, l.Weight)
		}
	}
}

// lookAtLink says what is wrong with an interface; empty: nothing.
func lookAtLink(name string) (wrong string) {
	switch device, err := net.InterfaceByName(name); {
	case err != nil:
		return " is gone"
	case device.Flags&net.FlagUp == 0 || device.Flags&net.FlagRunning == 0:
		return " has no link"
	}
	return ""
}
