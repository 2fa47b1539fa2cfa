package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// protocol is the IP protocol number of VRRP.
const protocol = 112

// The groups that adverts are sent to where no unicast peers are given.
var (
	group4 = netip.MustParseAddr("224.0.0.18")
	group6 = netip.MustParseAddr("ff02::12")
)

// Advert is the payload of a VRRP advertisement. On the wire, version 3 (RFC 9568
// section 5.1):
//
//	0     version (4 bits) | type 1 (4 bits)
//	1     VRID             1..255
//	2     priority         0 = the sender gives up, 255 = it owns the addresses
//	3     count of addresses
//	4..5  reserved (4 bits) | advert interval in centiseconds (12 bits)
//	6..7  checksum
//	8…    addresses, 4 or 16 bytes each
//
// Version 2 (RFC 3768 section 5.1) has at 4 the authentication type and at 5 the
// interval in seconds, and 8 bytes of authentication data follow the addresses.
type Advert struct {
	Version   int // 2 or 3
	VRID      uint8
	Priority  uint8
	Interval  time.Duration // v3: 10 ms to 40.95 s; v2: 1 to 255 s
	Addresses []netip.Addr  // all of one family; v2: IPv4 only
}

const (
	typeAdvertisement = 1
	headLength        = 8
	authLength        = 8 // version 2 only
	maxAddresses      = 32
)

// Append encodes a. from and to are the addresses of the IP header, for the checksum
// of version 3.
func (a *Advert) Append(out []byte, from, to netip.Addr) ([]byte, error) {
	start := len(out)
	out, err := a.encode(out)
	if err != nil {
		return nil, err
	}
	a.finish(out[start:], from, to)
	return out, nil
}

// encode appends a with a checksum of 0. Like everything that a single advert costs, it
// does not allocate where out has room.
func (a *Advert) encode(out []byte) ([]byte, error) {
	if len(a.Addresses) == 0 || len(a.Addresses) > maxAddresses {
		return nil, fmt.Errorf("encode a VRRP advert: %d addresses: 1 to %d are possible", len(a.Addresses), maxAddresses)
	}
	out = append(out, byte(a.Version<<4|typeAdvertisement), a.VRID, a.Priority, byte(len(a.Addresses)))
	switch a.Version {
	case 3:
		out = binary.BigEndian.AppendUint16(out, uint16(a.Interval/(10*time.Millisecond))&0x0fff)
	case 2:
		out = append(out, 0, byte(a.Interval/time.Second))
	default:
		return nil, fmt.Errorf("encode a VRRP advert: version %d: 2 and 3 exist", a.Version)
	}
	out = append(out, 0, 0)
	for _, address := range a.Addresses {
		if address.Is4() {
			b := address.As4()
			out = append(out, b[:]...)
		} else {
			b := address.As16()
			out = append(out, b[:]...)
		}
	}
	if a.Version == 2 {
		var none [authLength]byte
		out = append(out, none[:]...)
	}
	return out, nil
}

// finish sets the checksum of an encoded advert and of what follows it.
func (a *Advert) finish(payload []byte, from, to netip.Addr) {
	if a.Version == 2 {
		from, to = netip.Addr{}, netip.Addr{}
	}
	binary.BigEndian.PutUint16(payload[6:], checksum(payload, from, to))
}

// The reasons why a packet is no advert for us; each is counted by itself.
var (
	errShort    = errors.New("too short")
	errVersion  = errors.New("unknown version")
	errType     = errors.New("not an advertisement")
	errAuth     = errors.New("authentication is not in use here")
	errChecksum = errors.New("wrong checksum")
	errLength   = errors.New("length does not fit the number of addresses")
	errVRID     = errors.New("VRID 0")
	errInterval = errors.New("interval 0")
)

// Parse decodes the payload of a packet that came from and went to these addresses into
// a, whose list of addresses it uses again. It returns the trailer that authenticates
// the advert, empty where there is none. The error is one of the err… values of this
// file.
func (a *Advert) Parse(payload []byte, from, to netip.Addr) (trailer []byte, err error) {
	if len(payload) < headLength {
		return nil, errShort
	}
	*a = Advert{Version: int(payload[0] >> 4), VRID: payload[1], Priority: payload[2], Addresses: a.Addresses[:0]}
	size := 4
	if from.Is6() {
		size = 16
	}
	count := int(payload[3])
	want := headLength + count*size
	switch {
	case a.Version == 3:
		a.Interval = time.Duration(binary.BigEndian.Uint16(payload[4:])&0x0fff) * 10 * time.Millisecond
	case a.Version == 2 && from.Is4():
		a.Interval = time.Duration(payload[5]) * time.Second
		want += authLength
	default:
		return nil, errVersion
	}
	switch {
	case payload[0]&0x0f != typeAdvertisement:
		return nil, errType
	case count == 0 || len(payload) < want, len(payload) > want && (a.Version != 3 || len(payload) != want+trailerLength):
		return nil, errLength
	case checksum(payload, from, to) != 0 && !(from.Is4() && checksum(payload, netip.Addr{}, netip.Addr{}) == 0):
		return nil, errChecksum
	case a.Version == 2 && payload[4] != 0:
		return nil, errAuth
	case a.VRID == 0:
		return nil, errVRID
	case a.Interval == 0:
		return nil, errInterval
	}
	for rest := payload[headLength : headLength+count*size]; len(rest) > 0; rest = rest[size:] {
		address, _ := netip.AddrFromSlice(rest[:size])
		a.Addresses = append(a.Addresses, address)
	}
	return payload[want:], nil
}

// checksum is the Internet checksum (RFC 1071) of payload, with a pseudo-header of
// from and to where they are given. Over a payload that holds its checksum it is 0.
//
// Version 3 over IPv6 has the pseudo-header. Over IPv4 implementations differ: RFC 5798
// was read both ways and keepalived sends it, so we send it and accept both.
func checksum(payload []byte, from, to netip.Addr) uint16 {
	var sum uint32
	if from.IsValid() {
		f, t := from.As16(), to.As16()
		if from.Is4() {
			sum = add(add(sum, f[12:]), t[12:])
		} else {
			sum = add(add(sum, f[:]), t[:])
		}
		sum += uint32(len(payload)) + protocol
	}
	sum = add(sum, payload)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// add sums b as big-endian 16-bit words.
func add(sum uint32, b []byte) uint32 {
	for len(b) >= 2 {
		sum += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}
