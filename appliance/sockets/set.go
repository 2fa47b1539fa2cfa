// Package sockets owns every listening socket of the process: it creates them once,
// takes them from systemd, keeps them by address over reloads, crashes of children and
// upgrades, and passes descriptors between processes (SCM_RIGHTS, unix(7)).
//
// It never accepts a connection, and it never binds an address again that it already
// holds: a second bind followed by a close would reset the connections queued on the
// socket that closes.
package sockets

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// Set is the listening sockets of one role, looked up by the address of their
// config.Bind. It is immutable and safe for concurrent use.
type Set struct {
	groups map[netip.AddrPort][]int
}

// NewSet makes a Set of descriptors by address. The map is kept, not copied.
func NewSet(groups map[netip.AddrPort][]int) *Set {
	return &Set{groups: groups}
}

// Get returns the descriptors of a Bind's address: one per SO_REUSEPORT member,
// non-blocking, already listening. The result is nil if the address is not there and
// must not be changed. The caller never closes them. Their number may differ from the
// number of loops (a socket from systemd, a changed loop count): a loop then serves
// several, or several loops share one by EPOLLEXCLUSIVE.
func (s *Set) Get(addr netip.AddrPort) []int {
	if s == nil {
		return nil
	}
	return s.groups[addr]
}

// Addrs returns the addresses of the set in a stable order.
func (s *Set) Addrs() []netip.AddrPort {
	if s == nil {
		return nil
	}
	addrs := make([]netip.AddrPort, 0, len(s.groups))
	for a := range s.groups {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	return addrs
}

// Open opens the sockets of binds for a process that has no supervisor, such as the
// test of a role. A bind with port 0 takes a free port: Get finds it under the address
// as written, LocalAddr tells the port. The caller closes the set.
func Open(binds []config.Bind) (*Set, error) {
	r := NewRegistry()
	if err := r.Open(binds); err != nil {
		return nil, err
	}
	groups := make(map[netip.AddrPort][]int, len(binds))
	for _, b := range binds {
		groups[b.Addr] = r.FDs(b.Addr)
	}
	return NewSet(groups), nil
}

// Close closes every descriptor of a set that Open made. A role never calls it.
func (s *Set) Close() error {
	var errs []error
	for _, fds := range s.groups {
		for _, fd := range fds {
			errs = append(errs, unix.Close(fd))
		}
	}
	s.groups = nil
	return errors.Join(errs...)
}

// LocalAddr returns the address that a socket is bound to.
func LocalAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address of descriptor %d: %w", fd, err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			if ifi, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				ip = ip.WithZone(ifi.Name)
			}
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("address of descriptor %d: not an IP socket", fd)
}

// Listener returns a net.Listener on a duplicate of fd, for a role that serves with
// goroutines. Closing it leaves fd open and listening.
func Listener(fd int) (net.Listener, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate of socket %d: %w", fd, err)
	}
	f := os.NewFile(uintptr(dup), "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listener on socket %d: %w", fd, err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return l, nil
}
