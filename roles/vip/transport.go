package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

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
	payload  []byte // until the next receive
}

// transport sends and receives VRRP packets of one address family on one interface. It
// never blocks and, once open, never allocates.
type transport struct {
	device *net.Interface
	own    netip.Addr
	to     []netip.Addr // unicast peers, or the group
	fd     int
	others int // gets what is not for us but worth a line in the log; -1: none

	out     []byte // scratch of an advert that is encoded
	in      [maxPacket]byte
	name    unix.RawSockaddrInet6 // address of the other side, of either family
	control ancillary
	vector  unix.Iovec
	header  unix.Msghdr
}

// ancillary holds control messages (cmsg(3)), aligned as the kernel wants it.
type ancillary struct {
	_     [0]uint64
	bytes [128]byte
}

// openTransport needs NET_RAW. An empty list of peers means multicast.
func openTransport(device *net.Interface, own netip.Addr, peers []netip.Addr) (*transport, error) {
	t := &transport{device: device, own: own, to: peers, others: -1, out: make([]byte, 0, maxPacket)}
	family := unix.AF_INET
	if own.Is6() {
		family = unix.AF_INET6
	}
	var err error
	if t.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol); err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("open a VRRP socket on %s: %w: the net child needs NET_RAW (AmbientCapabilities in the unit, or run as root)", device.Name, err)
		}
		return nil, fmt.Errorf("open a VRRP socket on %s: %w", device.Name, err)
	}
	if err := t.prepare(len(peers) == 0); err != nil {
		unix.Close(t.fd)
		return nil, fmt.Errorf("prepare the VRRP socket on %s with the address %s: %w", device.Name, own, err)
	}
	return t, nil
}

func (t *transport) prepare(multicast bool) error {
	if err := unix.BindToDevice(t.fd, t.device.Name); err != nil {
		return err
	}
	set := func(level, option, value int) error { return unix.SetsockoptInt(t.fd, level, option, value) }
	// Before every other packet of this machine, where its queue tells them apart (7 is
	// TC_PRIO_CONTROL of linux/pkt_sched.h); setting TOS changes it, so it comes last.
	if t.own.Is4() {
		errs := []error{set(unix.IPPROTO_IP, unix.IP_TTL, hopLimit), set(unix.IPPROTO_IP, unix.IP_TOS, tos)}
		if multicast {
			t.to = []netip.Addr{group4}
			request := &unix.IPMreqn{Multiaddr: group4.As4(), Address: t.own.As4(), Ifindex: int32(t.device.Index)}
			errs = append(errs, set(unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, hopLimit), set(unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
				unix.SetsockoptIPMreqn(t.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, request),
				unix.SetsockoptIPMreqn(t.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, request))
		}
		return errors.Join(append(errs, set(unix.SOL_SOCKET, unix.SO_PRIORITY, 7))...)
	}
	errs := []error{set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hopLimit), set(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos),
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1), set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)}
	if multicast {
		t.to = []netip.Addr{group6}
		request := &unix.IPv6Mreq{Multiaddr: group6.As16(), Interface: uint32(t.device.Index)}
		errs = append(errs, set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit), set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
			set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, t.device.Index),
			unix.SetsockoptIPv6Mreq(t.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, request))
	}
	return errors.Join(append(errs, set(unix.SOL_SOCKET, unix.SO_PRIORITY, 7))...)
}

func (t *transport) close() {
	if t.others >= 0 {
		unix.Close(t.others)
	}
	unix.Close(t.fd)
}

// link is an interface as it is now.
type link struct {
	index   int
	running bool // up, and with a link
	mac     [6]byte
}

// look asks the kernel for an interface without the lock that netlink waits for.
func (t *transport) look(name string) (l link, err error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return l, err
	}
	if err := unix.IoctlIfreq(t.fd, unix.SIOCGIFINDEX, request); err != nil {
		return l, err
	}
	l.index = int(request.Uint32())
	if err := unix.IoctlIfreq(t.fd, unix.SIOCGIFFLAGS, request); err != nil {
		return l, err
	}
	const want = unix.IFF_UP | unix.IFF_RUNNING
	l.running = request.Uint16()&want == want
	// struct ifreq with a struct sockaddr: netdevice(7).
	hardware := struct {
		name   [unix.IFNAMSIZ]byte
		family uint16
		mac    [6]byte
		_      [16]byte
	}{}
	copy(hardware.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(t.fd), unix.SIOCGIFHWADDR, uintptr(unsafe.Pointer(&hardware))); errno != 0 {
		return l, errno
	}
	l.mac = hardware.mac
	return l, nil
}

// ownLost tells whether the machine has lost the address that adverts come from: no
// socket can be bound to it.
func (t *transport) ownLost() bool {
	family, own := unix.AF_INET, unix.Sockaddr(nil)
	if t.own.Is4() {
		own = &unix.SockaddrInet4{Addr: t.own.As4()}
	} else {
		family, own = unix.AF_INET6, &unix.SockaddrInet6{Addr: t.own.As16(), ZoneId: uint32(t.device.Index)}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, own) == unix.EADDRNOTAVAIL
}

// send sends a to every peer, or to the group. It returns the first error; the other
// peers get theirs all the same. left is false where this machine kept all of them: a
// peer that is not there (EHOSTUNREACH) is no reason.
func (t *transport) send(a *Advert, auth *authenticator) (left bool, failed error) {
	if auth != nil {
		auth.next()
	}
	for _, to := range t.to {
		payload, err := a.encode(t.out[:0])
		if err != nil {
			return false, err
		}
		if auth != nil {
			payload = auth.seal(payload, t.own, to)
		}
		a.finish(payload, t.own, to)
		err = t.write(payload, to)
		left = left || err == nil || err == unix.EHOSTUNREACH
		if err != nil && failed == nil {
			failed = fmt.Errorf("send an advert to %s: %w", to, err)
		}
	}
	return left, failed
}

func (t *transport) write(payload []byte, to netip.Addr) error {
	t.message(payload)
	head := (*unix.Cmsghdr)(unsafe.Pointer(&t.control.bytes[0]))
	data := unsafe.Pointer(&t.control.bytes[unix.CmsgLen(0)])
	if to.Is4() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&t.name)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.As4()}
		t.header.Namelen = unix.SizeofSockaddrInet4
		*head = unix.Cmsghdr{Level: unix.IPPROTO_IP, Type: unix.IP_PKTINFO}
		head.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Ifindex: int32(t.device.Index), Spec_dst: t.own.As4()}
		t.header.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	} else {
		t.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.As16()}
		if to.IsLinkLocalUnicast() || to.IsMulticast() {
			t.name.Scope_id = uint32(t.device.Index)
		}
		*head = unix.Cmsghdr{Level: unix.IPPROTO_IPV6, Type: unix.IPV6_PKTINFO}
		head.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
		*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: t.own.As16(), Ifindex: uint32(t.device.Index)}
		t.header.SetControllen(unix.CmsgSpace(unix.SizeofInet6Pktinfo))
	}
	// MSG_CONFIRM keeps the peer's hardware address: once the kernel had given it up in a
	// partition it would ask for it only once a second after the heal, two masters all the while.
	if _, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(t.fd), uintptr(unsafe.Pointer(&t.header)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL|unix.MSG_CONFIRM); errno != 0 {
		return errno
	}
	return nil
}

// message points the header at the buffers of this transport.
func (t *transport) message(buffer []byte) {
	t.vector.Base = unsafe.SliceData(buffer)
	t.vector.SetLen(len(buffer))
	t.header.Name, t.header.Namelen = (*byte)(unsafe.Pointer(&t.name)), unix.SizeofSockaddrInet6
	t.header.Iov = &t.vector
	t.header.SetIovlen(1)
	t.header.Control, t.header.Flags = &t.control.bytes[0], 0
	t.header.SetControllen(len(t.control.bytes))
}

// receive takes a packet from one of the sockets, and returns false when no more wait. A
// packet whose header cannot be read has hops 0.
func (t *transport) receive(fd int) (p arrival, more bool) {
	t.message(t.in[:])
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&t.header)), unix.MSG_DONTWAIT)
	switch {
	case errno == unix.EINTR:
		return p, true
	case errno != 0: // EAGAIN, or the state of an interface that is gone
		return p, false
	case t.own.Is4():
		return parseIPv4(t.in[:n]), true
	}
	p.payload = t.in[:n]
	p.from = netip.AddrFrom16(t.name.Addr)
	t.readControl(&p, int(t.header.Controllen))
	return p, true
}

// readControl takes destination and hop limit from the ancillary data (cmsg(3)), which
// the kernel has written.
func (t *transport) readControl(p *arrival, length int) {
	rest := t.control.bytes[:min(length, len(t.control.bytes))]
	for len(rest) >= unix.SizeofCmsghdr {
		head := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(rest)))
		size := int(head.Len)
		if size < unix.SizeofCmsghdr || size > len(rest) {
			return
		}
		data := rest[unix.CmsgLen(0):size]
		switch {
		case head.Level != unix.IPPROTO_IPV6:
		case head.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
			p.hops = int(*(*int32)(unsafe.Pointer(unsafe.SliceData(data))))
		case head.Type == unix.IPV6_PKTINFO && len(data) >= 16:
			p.to = netip.AddrFrom16([16]byte(data[:16]))
		}
		rest = rest[min(len(rest), unix.CmsgSpace(len(data))):]
	}
}

// parseIPv4 takes a packet of a raw IPv4 socket apart, which begins with its header (RFC
// 791 section 3.1):
//
//	0 version 4 | header length in words   8 TTL   12 source   16 destination
func parseIPv4(packet []byte) arrival {
	if len(packet) < 20 {
		return arrival{}
	}
	length := int(packet[0]&0x0f) * 4
	if length < 20 || length > len(packet) {
		return arrival{}
	}
	return arrival{
		from: netip.AddrFrom4([4]byte(packet[12:16])), to: netip.AddrFrom4([4]byte(packet[16:20])),
		hops: int(packet[8]), payload: packet[length:],
	}
}
