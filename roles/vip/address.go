package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// lifetime is given to the kernel with each address: an owner that was killed or
	// frozen, and so does not refresh it, loses the address without anybody's help.
	lifetime = 2 * time.Second
	refresh  = 500 * time.Millisecond
)

// addresses puts the virtual addresses of one router on its interface.
type addresses struct {
	device *net.Interface
	list   []netip.Addr
}

// hold sets the addresses or renews their lifetime, and returns which are set.
func (a *addresses) hold() (set []netip.Addr, err error) {
	var failed []error
	foreign := a.foreign()
	for _, address := range a.list {
		if slices.Contains(foreign, address) {
			failed = append(failed, fmt.Errorf("set %s on %s: it is there as an address of a network, which would be lost with the virtual one: remove it there, or from vip", address, a.device.Name))
			continue
		}
		entry := a.entry(address)
		entry.ValidLft = int(lifetime / time.Second)
		entry.PreferedLft = entry.ValidLft
		if err := netlink.AddrReplace(a.link(), entry); err != nil {
			failed = append(failed, fmt.Errorf("set %s on %s: %w", address, a.device.Name, err))
			continue
		}
		set = append(set, address)
	}
	return set, errors.Join(failed...)
}

// foreign are those of the addresses that stand on the interface with the prefix of a
// network. Of IPv6 the kernel knows an address once: setting ours would change that one.
func (a *addresses) foreign() (list []netip.Addr) {
	if !slices.ContainsFunc(a.list, netip.Addr.Is6) {
		return nil
	}
	// An incomplete answer, or none, is as good as that nothing is in the way.
	present, _ := netlink.AddrList(a.link(), netlink.FAMILY_V6)
	for _, entry := range present {
		address, _ := netip.AddrFromSlice(entry.IP)
		if bits, _ := entry.Mask.Size(); bits < 128 && a.has(address) {
			list = append(list, address)
		}
	}
	return list
}

// release removes the addresses; one that is not there, or whose interface is gone, is no
// error.
func (a *addresses) release() error {
	var failed []error
	for _, address := range a.list {
		err := netlink.AddrDel(a.link(), a.entry(address))
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
			failed = append(failed, fmt.Errorf("remove %s from %s: %w", address, a.device.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (a *addresses) link() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: a.device.Index, Name: a.device.Name}}
}

// entry is a /32 or /128, so that no route to a network comes or goes with it. Without
// NODAD the kernel would keep an IPv6 address unusable for a second or two.
func (a *addresses) entry(address netip.Addr) *netlink.Addr {
	bits := address.BitLen()
	entry := &netlink.Addr{IPNet: &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(bits, bits)}}
	if address.Is6() {
		entry.Flags = unix.IFA_F_NODAD
	}
	return entry
}

func (a *addresses) has(address netip.Addr) bool {
	for _, own := range a.list {
		if own == address {
			return true
		}
	}
	return false
}

// change is an address that vanished from an interface, or a link that changed where
// address is invalid.
type change struct {
	device  int
	address netip.Addr
}

// watchChanges reports to tell until stop is closed. A watch that breaks, as when more
// changes come than the kernel keeps for us, is begun again; the refresh puts back what
// was removed meanwhile.
func watchChanges(stop <-chan struct{}, log *slog.Logger, tell func(change)) error {
	w, err := subscribe()
	if err != nil {
		return err
	}
	go func() {
		for {
			again := w.forward(tell, stop)
			w.close()
			if !again {
				return
			}
			log.Warn("the watch of the machine's addresses broke; it is begun again")
			for w = nil; w == nil; {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
				}
				if w, err = subscribe(); err != nil {
					log.Error("virtual addresses", "err", err)
				}
			}
		}
	}()
	return nil
}

type subscription struct {
	addresses chan netlink.AddrUpdate
	links     chan netlink.LinkUpdate
	done      chan struct{}
}

func subscribe() (*subscription, error) {
	w := &subscription{make(chan netlink.AddrUpdate, 64), make(chan netlink.LinkUpdate, 64), make(chan struct{})}
	if err := netlink.AddrSubscribe(w.addresses, w.done); err != nil {
		return nil, fmt.Errorf("watch the addresses of the machine: %w", err)
	}
	if err := netlink.LinkSubscribe(w.links, w.done); err != nil {
		close(w.done)
		return nil, fmt.Errorf("watch the interfaces of the machine: %w", err)
	}
	return w, nil
}

// close takes what still comes, so that the library's goroutines end.
func (w *subscription) close() {
	close(w.done)
	go func() {
		for range w.links {
		}
	}()
	for range w.addresses {
	}
}

// forward returns true when the updates ended by themselves.
func (w *subscription) forward(tell func(change), stop <-chan struct{}) bool {
	for {
		select {
		case <-stop:
			return false
		case update, ok := <-w.links:
			if !ok {
				return true
			}
			tell(change{device: int(update.Index)})
		case update, ok := <-w.addresses:
			if !ok {
				return true
			}
			if address, valid := netip.AddrFromSlice(update.LinkAddress.IP); valid && !update.NewAddr {
				tell(change{update.LinkIndex, address.Unmap()})
			}
		}
	}
}
