package sockets

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// backlog is the length of the accept queue that is asked for; the kernel cuts it to
// net.core.somaxconn (4096 by default).
const backlog = 8192

// ipprotoTCP rather than 0 and never IPPROTO_MPTCP: a reuseport program cannot be
// attached to an MPTCP listener.
const ipprotoTCP = unix.IPPROTO_TCP

// listenGroup opens the members of one bind.
func listenGroup(b config.Bind) ([]int, error) {
	n := max(b.Group, 1)
	if n > 1 {
		// Members carry SO_REUSEPORT, which would let us join the group of another
		// process of the same user unnoticed and steal half of its connections: a bind
		// without it first proves that nobody listens there.
		if err := probeFree(b); err != nil {
			return nil, openError(b, err)
		}
	}
	fds := make([]int, 0, n)
	for range n {
		fd, err := listenOne(b, n > 1)
		if err != nil {
			closeAll(fds)
			return nil, openError(b, err)
		}
		fds = append(fds, fd)
		if b.Addr.Port() == 0 {
			if b.Addr, err = LocalAddr(fd); err != nil {
				closeAll(fds)
				return nil, err
			}
		}
	}
	return fds, nil
}

func probeFree(b config.Bind) error {
	fd, err := bindOne(b, false)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func listenOne(b config.Bind, reuseport bool) (int, error) {
	fd, err := bindOne(b, reuseport)
	if err != nil {
		return -1, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bindOne returns a bound, non-blocking TCP socket that does not listen yet.
func bindOne(b config.Bind, reuseport bool) (int, error) {
	addr := b.Addr.Addr()
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, ipprotoTCP)
	if err != nil {
		return -1, err
	}
	fail := func(err error) (int, error) {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fail(err)
	}
	if reuseport {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fail(err)
		}
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fail(err)
		}
	}
	if b.Freebind {
		// IP_FREEBIND is the one option for both families on every kernel we know.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1); err != nil {
			return fail(err)
		}
	}
	sa, err := sockaddr(b.Addr)
	if err != nil {
		return fail(err)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fail(err)
	}
	return fd, nil
}

func sockaddr(ap netip.AddrPort) (unix.Sockaddr, error) {
	addr := ap.Addr()
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: addr.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(ap.Port()), Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		ifi, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, err
		}
		sa.ZoneId = uint32(ifi.Index)
	}
	return sa, nil
}

// openError turns the errno of a bind into the sentence for the operator.
func openError(b config.Bind, err error) error {
	what := fmt.Sprintf("listen on %s for %s", b.Addr, owner(b))
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		by := "another program"
		if h := holder(b.Addr); h != "" {
			by = h
		}
		return fmt.Errorf("%s: the port is in use by %s; stop it or choose another bind: %w", what, by, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%s: no interface of this server has the address %s; correct the bind or the node's address: %w",
			what, b.Addr.Addr(), err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: ports below 1024 need CAP_NET_BIND_SERVICE; start as root or by the packaged unit, or choose a port from 1024 up: %w",
			what, err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%s: no file descriptor left; raise LimitNOFILE of the unit: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func owner(b config.Bind) string {
	if b.Owner == "" || b.Owner == b.Role {
		return b.Role
	}
	return b.Role + " " + b.Owner
}
