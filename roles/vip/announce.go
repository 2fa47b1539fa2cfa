package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
)

const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	ethernet = 6 // bytes of a hardware address

	icmpv6                = 58
	neighborSolicitation  = 135
	neighborAdvertisement = 136
)

var (
	broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes  = netip.MustParseAddr("ff02::1")
)

// announcer tells the network segment which machine holds an address now.
type announcer struct {
	device *net.Interface
	arp    *packet.Conn
	ipv6   *packet.Conn
}

func openAnnouncer(device *net.Interface) (*announcer, error) {
	if len(device.HardwareAddr) != ethernet {
		return nil, fmt.Errorf("interface %s has no Ethernet address: name another one in vip.interface", device.Name)
	}
	// The sockets only send: the filter keeps arriving frames from filling them.
	drop, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return nil, err
	}
	config := &packet.Config{Filter: drop}
	arp, err := packet.Listen(device, packet.Datagram, etherARP, config)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket on %s: %w", device.Name, err)
	}
	ipv6, err := packet.Listen(device, packet.Datagram, etherIPv6, config)
	if err != nil {
		arp.Close()
		return nil, fmt.Errorf("open a packet socket on %s: %w", device.Name, err)
	}
	return &announcer{device: device, arp: arp, ipv6: ipv6}, nil
}

func (a *announcer) close() {
	if a == nil {
		return
	}
	a.arp.Close()
	a.ipv6.Close()
}

// announce sends a gratuitous ARP request or an unsolicited neighbour advertisement
// for each address.
func (a *announcer) announce(addresses []netip.Addr) error {
	var failed []error
	for _, address := range addresses {
		conn, frame, to := a.arp, gratuitousARP, broadcast
		if address.Is6() {
			// 33:33 and the last four bytes of the group: RFC 2464 section 7.
			conn, frame, to = a.ipv6, unsolicitedNA, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
		}
		if err := write(conn, frame(a.device.HardwareAddr, address), to); err != nil {
			failed = append(failed, fmt.Errorf("announce %s on %s: %w", address, a.device.Name, err))
		}
	}
	return errors.Join(failed...)
}

// write sends a frame. The first attempt after the interface was down only tells that it
// was, so there is a second.
func write(conn *packet.Conn, frame []byte, to net.HardwareAddr) error {
	_, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: to})
	if err != nil {
		_, err = conn.WriteTo(frame, &packet.Addr{HardwareAddr: to})
	}
	return err
}

// gratuitousARP is an ARP request (RFC 826) with sender = target = the address, the
// form of RFC 5227 section 3 that keepalived sends too.
//
//	0 hardware type 1 | 2 protocol 0x0800 | 4 lengths 6, 4 | 6 operation 1
//	8 sender MAC | 14 sender IP | 18 target MAC 0 | 24 target IP
func gratuitousARP(mac net.HardwareAddr, address netip.Addr) []byte {
	out := []byte{0, 1, 0x08, 0, 6, 4, 0, 1}
	out = append(out, mac...)
	out = append(out, address.AsSlice()...)
	out = append(out, make([]byte, 6)...)
	return append(out, address.AsSlice()...)
}

// unsolicitedNA is an IPv6 packet with a neighbour advertisement (RFC 4861 section
// 4.4) to all nodes, flags router 0, solicited 0, override 1.
//
//	0  IPv6 header, 40 bytes, next header ICMPv6, hop limit 255
//	40 type 136 | code 0 | checksum | flags | target address
//	64 option 2 (target link-layer address), length 1 | MAC
func unsolicitedNA(mac net.HardwareAddr, address netip.Addr) []byte {
	const payload = 32
	from, to := address.As16(), allNodes.As16()
	out := []byte{0x60, 0, 0, 0, 0, payload, icmpv6, hopLimit}
	out = append(out, from[:]...)
	out = append(out, to[:]...)
	out = append(out, neighborAdvertisement, 0, 0, 0, 0x20, 0, 0, 0)
	out = append(out, from[:]...)
	out = append(out, 2, 1)
	out = append(out, mac...)
	setICMPv6Checksum(out)
	return out
}

// setICMPv6Checksum sets the checksum of a packet with its IPv6 header (RFC 8200 section
// 8.1).
func setICMPv6Checksum(packet []byte) {
	sum := add(add(uint32(len(packet)-40)+icmpv6, packet[8:40]), packet[40:])
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(packet[42:], ^uint16(sum))
}
