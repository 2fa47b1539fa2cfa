package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// askAnew ends the kernel's wait for the hardware address of peer, with the packets that it
// keeps meanwhile, and tells whether it was waiting: the next packet asks at once. By itself
// the kernel asks once a second (arp(7), retrans_time_ms), so that a peer that can be heard
// again would hear nothing for up to a second.
func askAnew(device *net.Interface, peer netip.Addr) (bool, error) {
	family := unix.AF_INET
	if peer.Is6() {
		family = unix.AF_INET6
	}
	list, err := netlink.NeighList(device.Index, family)
	if err != nil {
		return false, fmt.Errorf("read the neighbours of %s: %w", device.Name, err)
	}
	for i := range list {
		n := &list[i]
		if address, _ := netip.AddrFromSlice(n.IP); n.State&unix.NUD_INCOMPLETE == 0 || address.Unmap() != peer {
			continue
		}
		if err := netlink.NeighDel(n); err != nil && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("forget the neighbour %s on %s: %w", peer, device.Name, err)
		}
		return true, nil
	}
	return false, nil
}

// reach makes sure that a holder of our addresses that we hear can hear us.
func (g *group) reach(now time.Time, peer netip.Addr) {
	if len(g.peers) == 0 || now.Sub(g.reachedAt) < healEvery { // multicast needs no neighbours
		return
	}
	g.reachedAt = now
	e, device := g.engine, g.device
	e.keeper.do(func() {
		waited, err := askAnew(device, peer)
		e.post(func(now time.Time) {
			g.complain(now, err)
			if waited && g.machine.state != initialize {
				g.send(now, g.machine.priority)
			}
		})
	})
}

// introduce shows the peers the hardware address of one that begins to listen for them, and
// drops the adverts that its own kernel kept for them since the link went down. A master
// whose kernel asked for that address in vain meanwhile would ask once a second and keep its
// adverts until then; with short intervals two would hold the addresses.
func (g *group) introduce() {
	if len(g.peers) == 0 { // multicast needs no neighbours
		return
	}
	e, announcer, device, peers, own := g.engine, g.announcer, g.device, g.peers, []netip.Addr{g.own}
	e.keeper.do(func() {
		var failed []error
		for _, peer := range peers {
			_, err := askAnew(device, peer)
			failed = append(failed, err)
		}
		if announcer != nil {
			failed = append(failed, announcer.announce(own))
		}
		if err := errors.Join(failed...); err != nil {
			e.post(func(now time.Time) { g.complain(now, err) })
		}
	})
}
