package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
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

// hold sets the addresses or renews their lifetime, and returns how many are set.
func (a *addresses) hold() (set int, err error) {
	var failed []error
	for _, address := range a.list {
		entry := a.entry(address)
		entry.ValidLft = int(lifetime / time.Second)
		entry.PreferedLft = entry.ValidLft
		if err := netlink.AddrReplace(a.link(), entry); err != nil {
			failed = append(failed, fmt.Errorf("set %s on %s: %w", address, a.device.Name, err))
			continue
		}
		set++
	}
	return set, errors.Join(failed...)
}

// release removes the addresses; one that is not there, or
// whose interface is gone, is no error.
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

// lost is a virtual address that vanished from an interface.
type lost struct {
	address netip.Addr
	device  int
}

// watchLost reports removed addresses until stop is closed. A watch that breaks, as when
// more changes come than the kernel keeps for us, is begun again; the refresh puts back
// what was removed meanwhile.
func watchLost(stop <-chan struct{}, log *slog.Logger) (<-chan lost, error) {
	updates, end, err := subscribe()
	if err != nil {
		return nil, err
	}
	out := make(chan lost, 64)
	go func() {
		for {
			again := forward(updates, out, stop)
			end()
			for range updates { // the library's goroutine ends when its last update is taken
			}
			if !again {
				return
			}
			log.Warn("the watch of the machine's addresses broke; it is begun again")
			for updates = nil; updates == nil; {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
				}
				if updates, end, err = subscribe(); err != nil {
					log.Error("virtual addresses", "err", err)
				}
			}
		}
	}()
	return out, nil
}

func subscribe() (updates chan netlink.AddrUpdate, end func(), err error) {
	updates = make(chan netlink.AddrUpdate, 64)
	done := make(chan struct{})
	if err := netlink.AddrSubscribe(updates, done); err != nil {
		return nil, nil, fmt.Errorf("watch the addresses of the machine: %w", err)
	}
	return updates, func() { close(done) }, nil
}

// forward returns true when updates ended by itself.
func forward(updates <-chan netlink.AddrUpdate, out chan<- lost, stop <-chan struct{}) bool {
	for {
		select {
		case <-stop:
			return false
		case update, ok := <-updates:
			if !ok {
				return true
			}
			address, valid := netip.AddrFromSlice(update.LinkAddress.IP)
			if update.NewAddr || !valid {
				continue
			}
			select {
			case out <- lost{address.Unmap(), update.LinkIndex}:
			case <-stop:
				return false
			}
		}
	}
}
