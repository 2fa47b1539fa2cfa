package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// Clean removes what a net child that was killed has left: the virtual addresses of node
// with the form that only a net child gives them, a single address whose lifetime is
// running out. It returns what it has removed. Nobody must serve the node meanwhile.
func Clean(node *config.Node) (removed []string, err error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of the machine: %w", err)
	}
	var failed []error
	for _, a := range list {
		if !leftOver(node, &a) {
			continue
		}
		err := netlink.AddrDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: a.LinkIndex}}, &a)
		switch {
		case errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV): // its time was over
		case errors.Is(err, unix.EPERM):
			return removed, fmt.Errorf("remove %s: %w: run it as root, or with CAP_NET_ADMIN", a.IP, err)
		case err != nil:
			failed = append(failed, fmt.Errorf("remove %s: %w", a.IP, err))
		default:
			removed = append(removed, a.IP.String())
		}
	}
	return removed, errors.Join(failed...)
}

func leftOver(node *config.Node, a *netlink.Addr) bool {
	ones, bits := a.Mask.Size()
	if ones != bits || a.ValidLft <= 0 || a.ValidLft > int(lifetime.Seconds()) {
		return false
	}
	return slices.ContainsFunc(node.VIP, func(v config.VIP) bool {
		return slices.ContainsFunc(v.Addresses, func(own netip.Addr) bool { return a.IP.Equal(own.AsSlice()) })
	})
}
