package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	hopLimit = 255  // RFC 9568 section 5.1.1.3: another value came through a router
	tos      = 0xc0 // internetwork control, as keepalived sends
)

// arrival is a received packet, as far as its IP header tells.
type arrival struct {
	from, to netip.Addr
	hops     int
	payload  []byte
}

// transport sends and receives VRRP packets of one address family on one interface.
// send and receive may be called concurrently with each other.
type transport struct {
	device *net.Interface
	own    netip.Addr
	to     []netip.Addr // unicast peers, or the group
	v4     *ipv4.PacketConn
	v6     *ipv6.PacketConn
	conn   *net.IPConn
	closed chan struct{} // tells the reader that an error is the end
}

// openTransport needs NET_RAW. An empty list of peers means multicast.
func openTransport(device *net.Interface, own netip.Addr, peers []netip.Addr) (*transport, error) {
	t := &transport{device: device, own: own, to: peers, closed: make(chan struct{})}
	network, any, group := "ip4:112", "0.0.0.0", group4
	if own.Is6() {
		network, any, group = "ip6:112", "::", group6
	}
	var listen net.ListenConfig
	listen.Control = func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device.Name) }); cerr != nil {
			return cerr
		}
		return err
	}
	conn, err := listen.ListenPacket(context.Background(), network, any)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("open a VRRP socket on %s: %w: the net child needs NET_RAW (AmbientCapabilities in the unit, or run as root)", device.Name, err)
		}
		return nil, fmt.Errorf("open a VRRP socket on %s: %w", device.Name, err)
	}
	t.conn = conn.(*net.IPConn)
	multicast := len(peers) == 0
	if multicast {
		t.to = []netip.Addr{group}
	}
	if own.Is6() {
		err = t.prepare6(conn, multicast)
	} else {
		err = t.prepare4(conn, multicast)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("prepare the VRRP socket on %s: %w", device.Name, err)
	}
	return t, nil
}

// close ends receive; it is called once.
func (t *transport) close() error {
	close(t.closed)
	return t.conn.Close()
}

// look asks the kernel for the index of an interface and whether it is up and has a
// link, without the lock that netlink waits for.
func (t *transport) look(name string) (index int, running bool, err error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, false, err
	}
	raw, err := t.conn.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	cerr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlIfreq(int(fd), unix.SIOCGIFINDEX, request); err != nil {
			return
		}
		index = int(request.Uint32())
		err = unix.IoctlIfreq(int(fd), unix.SIOCGIFFLAGS, request)
		const want = unix.IFF_UP | unix.IFF_RUNNING
		running = request.Uint16()&want == want
	})
	return index, running, errors.Join(cerr, err)
}

func (t *transport) prepare4(conn net.PacketConn, multicast bool) error {
	t.v4 = ipv4.NewPacketConn(conn)
	errs := []error{
		t.v4.SetTTL(hopLimit), t.v4.SetTOS(tos),
		t.v4.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst|ipv4.FlagSrc, true),
	}
	if multicast {
		errs = append(errs, t.v4.SetMulticastTTL(hopLimit), t.v4.SetMulticastInterface(t.device), t.v4.SetMulticastLoopback(false),
			t.v4.JoinGroup(t.device, &net.IPAddr{IP: group4.AsSlice()}))
	}
	return errors.Join(errs...)
}

func (t *transport) prepare6(conn net.PacketConn, multicast bool) error {
	t.v6 = ipv6.NewPacketConn(conn)
	errs := []error{
		t.v6.SetHopLimit(hopLimit), t.v6.SetTrafficClass(tos),
		t.v6.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst|ipv6.FlagSrc, true),
	}
	if multicast {
		errs = append(errs, t.v6.SetMulticastHopLimit(hopLimit), t.v6.SetMulticastInterface(t.device), t.v6.SetMulticastLoopback(false),
			t.v6.JoinGroup(t.device, &net.IPAddr{IP: group6.AsSlice()}))
	}
	return errors.Join(errs...)
}

// send sends a to every peer, or to the group. It returns the first error; the other
// peers get theirs all the same.
func (t *transport) send(a *Advert) error {
	var failed error
	for _, to := range t.to {
		payload, err := a.Append(nil, t.own, to)
		if err != nil {
			return err
		}
		target := &net.IPAddr{IP: to.AsSlice()}
		if to.Is6() {
			if to.IsLinkLocalUnicast() || to.IsMulticast() {
				target.Zone = t.device.Name
			}
			_, err = t.v6.WriteTo(payload, &ipv6.ControlMessage{Src: t.own.AsSlice(), IfIndex: t.device.Index}, target)
		} else {
			_, err = t.v4.WriteTo(payload, &ipv4.ControlMessage{Src: t.own.AsSlice(), IfIndex: t.device.Index}, target)
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("send an advert to %s: %w", to, err)
		}
	}
	return failed
}

// receive blocks until a packet arrives or the transport is closed. buffer holds the
// payload that is returned.
func (t *transport) receive(buffer []byte) (arrival, error) {
	var p arrival
	var n int
	var source net.Addr
	var to net.IP
	if t.v4 != nil {
		var control *ipv4.ControlMessage
		var err error
		if n, control, source, err = t.v4.ReadFrom(buffer); err != nil {
			return p, err
		}
		if control != nil {
			p.hops, to = control.TTL, control.Dst
		}
	} else {
		var control *ipv6.ControlMessage
		var err error
		if n, control, source, err = t.v6.ReadFrom(buffer); err != nil {
			return p, err
		}
		if control != nil {
			p.hops, to = control.HopLimit, control.Dst
		}
	}
	p.payload = buffer[:n]
	if ip, ok := source.(*net.IPAddr); ok {
		p.from, _ = netip.AddrFromSlice(ip.IP)
		p.from = p.from.Unmap()
	}
	p.to, _ = netip.AddrFromSlice(to)
	p.to = p.to.Unmap()
	return p, nil
}
