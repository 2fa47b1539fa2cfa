package vip

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// limit has the kernel drop what is not for the virtual router, so that a flood of it
// does not occupy the thread of the adverts. What only an operator should know of, adverts
// of our VRID that come from no peer or through a router, goes to a socket of its own,
// which holds a few of them.
func (t *transport) limit(vrid uint8, peers []netip.Addr) error {
	if err := attach(t.fd, filterOf(t.own, vrid, peers, false)); err != nil {
		return fmt.Errorf("limit what arrives on %s: %w", t.device.Name, err)
	}
	family := unix.AF_INET
	if t.own.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return fmt.Errorf("open a second VRRP socket on %s: %w", t.device.Name, err)
	}
	t.others = fd
	err = attach(fd, filterOf(t.own, vrid, peers, true))
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0) // the kernel makes it 2 KiB
	}
	if err == nil {
		err = unix.BindToDevice(fd, t.device.Name)
	}
	if err == nil && family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
	}
	if err == nil && family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	if err != nil {
		return fmt.Errorf("prepare the second VRRP socket on %s: %w", t.device.Name, err)
	}
	return nil
}

func attach(fd int, list []bpf.Instruction) error {
	raw, err := bpf.Assemble(list)
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// filterOf passes packets of a VRID with hop limit 255 that come from a peer, or from
// anybody but us where there is no list of peers. With others it passes the rest of the
// VRID's packets.
func filterOf(own netip.Addr, vrid uint8, peers []netip.Addr, others bool) []bpf.Instruction {
	drop := bpf.RetConstant{Val: 0}
	expected, unexpected := bpf.RetConstant{Val: maxPacket}, drop
	if others {
		expected, unexpected = unexpected, expected
	}
	// A packet begins with its IP header on a raw IPv4 socket, and after it on an IPv6 one:
	// there the header is at SKF_NET_OFF of linux/filter.h. The VRID is byte 1 of an advert.
	const header = 0xfff00000
	list := []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: 1, Size: 1}}
	hops, source := uint32(8), uint32(12)
	if own.Is6() {
		list = []bpf.Instruction{bpf.LoadAbsolute{Off: 1, Size: 1}}
		hops, source = header+7, header+8
	}
	list = append(list, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(vrid), SkipTrue: 1}, drop,
		bpf.LoadAbsolute{Off: hops, Size: 1}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: hopLimit, SkipTrue: 1}, unexpected)
	list = append(list, endFrom(source, own, drop)...)
	for _, peer := range peers {
		list = append(list, endFrom(source, peer, expected)...)
	}
	if len(peers) == 0 {
		return append(list, expected)
	}
	return append(list, unexpected)
}

// endFrom ends the program for packets whose source, at that offset, is address.
func endFrom(source uint32, address netip.Addr, end bpf.Instruction) []bpf.Instruction {
	b := address.AsSlice()
	var list []bpf.Instruction
	for i := 0; i < len(b); i += 4 {
		rest := (len(b) - i - 4) / 4 * 2 // instructions up to the end
		list = append(list, bpf.LoadAbsolute{Off: source + uint32(i), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(b[i:]), SkipTrue: uint8(rest + 1)})
	}
	return append(list, end)
}
