package vip

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
)

// strangerAfter is when a holder asks whether somebody else holds its addresses too: not
// at once, because the machine of a holder that was killed or frozen answers for them
// until their lifetime ends. Afterwards it asks again and again.
const (
	strangerAfter = lifetime + 500*time.Millisecond
	strangerEvery = 30 * time.Second
)

// sighting is another machine that answers for a virtual address.
type sighting struct {
	address netip.Addr
	mac     net.HardwareAddr
}

// openStrangers opens a socket for ARP and one for neighbour advertisements.
func openStrangers(device *net.Interface, list []netip.Addr) (*strangers, error) {
	s := &strangers{device: device, list: list}
	for _, family := range []struct {
		protocol int
		filter   []bpf.Instruction
		wanted   func(netip.Addr) bool
		conn     **packet.Conn
	}{
		{etherARP, []bpf.Instruction{bpf.RetConstant{Val: 28}}, netip.Addr.Is4, &s.arp},
		// Only ICMPv6 (next header at 6) of type 136 (at 40).
		{etherIPv6, []bpf.Instruction{bpf.LoadAbsolute{Off: 6, Size: 1}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmpv6, SkipTrue: 3},
			bpf.LoadAbsolute{Off: 40, Size: 1}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: neighborAdvertisement, SkipTrue: 1},
			bpf.RetConstant{Val: 128}, bpf.RetConstant{Val: 0}}, netip.Addr.Is6, &s.ipv6},
	} {
		if !slices.ContainsFunc(list, family.wanted) {
			continue
		}
		filter, err := bpf.Assemble(family.filter)
		if err == nil {
			*family.conn, err = packet.Listen(device, packet.Datagram, family.protocol, &packet.Config{Filter: filter})
		}
		if err != nil {
			s.close()
			return nil, fmt.Errorf("watch %s for strangers: %w", device.Name, err)
		}
	}
	return s, nil
}

// strangers looks out for machines that hold the addresses without speaking VRRP. It is not on the way of
// any advert.
type strangers struct {
	device    *net.Interface
	list      []netip.Addr
	arp, ipv6 *packet.Conn
	closed    atomic.Bool
}

// watch tells of packets in which another machine claims one of the addresses, at most one
// a second of each family, until close.
func (s *strangers) watch(tell func(sighting)) {
	if s == nil {
		return
	}
	if s.arp != nil {
		go s.read(s.arp, claimARP, tell)
	}
	if s.ipv6 != nil {
		go s.read(s.ipv6, claimNA, tell)
	}
}

// readAgain is when a socket is read again whose interface was set down.
const readAgain = 100 * time.Millisecond

// read ends when the socket is closed.
func (s *strangers) read(conn *packet.Conn, parse func([]byte) (netip.Addr, net.HardwareAddr), tell func(sighting)) {
	buffer := make([]byte, 128)
	var told time.Time
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			if s.closed.Load() {
				return
			}
			time.Sleep(readAgain)
			continue
		}
		address, mac := parse(buffer[:n])
		if mac != nil && slices.Contains(s.list, address) && !slices.Equal(mac, s.device.HardwareAddr) && time.Since(told) >= time.Second {
			told = time.Now()
			tell(sighting{address, mac})
		}
	}
}

// probe asks the segment for each address, as RFC 5227 section 2.1.1 and RFC 4862 section
// 5.4.2 do before an address is used. Our own kernel does not hear it.
func (s *strangers) probe() error {
	for _, address := range s.list {
		var err error
		if address.Is4() {
			err = write(s.arp, probeARP(s.device.HardwareAddr, address), broadcast)
		} else {
			group := solicitedNode(address).As16()
			to := net.HardwareAddr{0x33, 0x33, group[12], group[13], group[14], group[15]}
			err = write(s.ipv6, probeNS(address), to)
		}
		if err != nil {
			return fmt.Errorf("ask %s who else has %s: %w", s.device.Name, address, err)
		}
	}
	return nil
}

func (s *strangers) close() {
	if s == nil {
		return
	}
	s.closed.Store(true)
	for _, conn := range []*packet.Conn{s.arp, s.ipv6} {
		if conn != nil {
			conn.Close()
		}
	}
}

// claimARP is who says in an ARP packet that it has which address; mac is nil where
// nobody does. A probe has no sender address.
func claimARP(b []byte) (netip.Addr, net.HardwareAddr) {
	if len(b) < 28 || b[4] != 6 || b[5] != 4 {
		return netip.Addr{}, nil
	}
	return netip.AddrFrom4([4]byte(b[14:18])), slices.Clone(net.HardwareAddr(b[8:14]))
}

// claimNA is the same for a neighbour advertisement with its IPv6 header (RFC 4861
// section 4.4), whose option 2 has the link-layer address.
func claimNA(b []byte) (netip.Addr, net.HardwareAddr) {
	if len(b) < 72 || b[6] != icmpv6 || b[7] != hopLimit || b[40] != neighborAdvertisement || b[64] != 2 || b[65] != 1 {
		return netip.Addr{}, nil
	}
	return netip.AddrFrom16([16]byte(b[48:64])), slices.Clone(net.HardwareAddr(b[66:72]))
}

// probeARP is a gratuitous ARP request without a sender address (RFC 5227 section 2.1.1).
func probeARP(mac net.HardwareAddr, address netip.Addr) []byte {
	out := gratuitousARP(mac, address)
	clear(out[14:18])
	return out
}

// probeNS is a neighbour solicitation from nobody to the solicited-node group (RFC 4861
// section 4.3), without options, as duplicate address detection sends it.
func probeNS(address netip.Addr) []byte {
	const payload = 24
	to, target := solicitedNode(address).As16(), address.As16()
	out := []byte{0x60, 0, 0, 0, 0, payload, icmpv6, hopLimit}
	out = append(out, make([]byte, 16)...)
	out = append(out, to[:]...)
	out = append(out, neighborSolicitation, 0, 0, 0, 0, 0, 0, 0)
	out = append(out, target[:]...)
	setICMPv6Checksum(out)
	return out
}

// solicitedNode is ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1).
func solicitedNode(address netip.Addr) netip.Addr {
	b := address.As16()
	return netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}
