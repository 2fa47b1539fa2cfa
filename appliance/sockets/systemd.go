package sockets

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// maxActivated bounds LISTEN_FDS.
const maxActivated = 4096

// firstActivated is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstActivated = 3

// Activated returns the sockets that systemd passed to this process (sd_listen_fds(3)):
// LISTEN_PID must be pid. Each must be a listening TCP socket, and an IPv6 one must not
// take IPv4 as well, since a bind of the config is one address.
func Activated(environ []string, pid int) ([]Group, error) {
	if lookup(environ, "LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(lookup(environ, "LISTEN_FDS"))
	if err != nil || n < 0 || n > maxActivated {
		return nil, fmt.Errorf("LISTEN_FDS=%q: not a number of sockets; start by the unit, not by hand", lookup(environ, "LISTEN_FDS"))
	}
	names := strings.Split(lookup(environ, "LISTEN_FDNAMES"), ":")
	groups := make([]Group, 0, n)
	for i := range n {
		fd := firstActivated + i
		name := ""
		if i < len(names) {
			name = names[i]
		}
		unix.CloseOnExec(fd)
		addr, err := checkActivated(fd)
		if err != nil {
			return nil, fmt.Errorf("socket %q passed by systemd: %w", name, err)
		}
		groups = append(groups, Group{Addr: addr, FDs: []int{fd}, Name: name})
	}
	return groups, nil
}

func checkActivated(fd int) (netip.AddrPort, error) {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("descriptor %d is not a socket; remove it from the unit", fd)
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || typ != unix.SOCK_STREAM || listening == 0 {
		return netip.AddrPort{}, fmt.Errorf("descriptor %d is not a listening stream socket; use ListenStream= and Accept=no", fd)
	}
	addr, err := LocalAddr(fd)
	if err != nil {
		return addr, fmt.Errorf("descriptor %d is not a TCP socket; ListenStream= takes address:port here", fd)
	}
	if addr.Addr().Is6() {
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		if err == nil && only == 0 && addr.Addr().IsUnspecified() {
			return addr, fmt.Errorf("%s takes IPv4 too; set BindIPv6Only=ipv6-only and add ListenStream=0.0.0.0:%d", addr, addr.Port())
		}
	}
	return addr, unix.SetNonblock(fd, true)
}

// matchActivated holds a passed socket against the binds of the config. A name of the
// form ROLE or ROLE.OWNER ("lb.https") must be that of the bind; systemd's default, the
// name of the socket unit, says nothing.
func matchActivated(g Group, binds []config.Bind) error {
	i := slices.IndexFunc(binds, func(b config.Bind) bool { return b.Addr == g.Addr })
	if i < 0 {
		return fmt.Errorf("socket %q passed by systemd listens on %s, which no bind of the config names; "+
			"remove its ListenStream= or add the bind", g.Name, g.Addr)
	}
	if g.Name == "" || g.Name == "unknown" || strings.HasSuffix(g.Name, ".socket") {
		return nil
	}
	b := binds[i]
	if g.Name != b.Role && g.Name != b.Role+"."+b.Owner {
		return fmt.Errorf("socket %q passed by systemd listens on %s, which the config gives to %q; "+
			"correct FileDescriptorName= or the address", g.Name, g.Addr, b.Role+"."+b.Owner)
	}
	return nil
}

func lookup(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}
