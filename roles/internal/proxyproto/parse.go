package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
)

// The errors of Parse, each a clause about the header.
var (
	errSignature = errors.New("the PROXY header has a wrong signature")
	errVersion   = errors.New("the PROXY header has a version or command that does not exist")
	errFamily    = errors.New("the PROXY header has an address family or transport that cannot be")
	errLong      = errors.New("the PROXY header is longer than 4096 bytes")
	errShort     = errors.New("the PROXY header is too short for its addresses")
	errTLV       = errors.New("the PROXY header has a field that does not fit in it")
	errTwice     = errors.New("the PROXY header has a field twice")
	errField     = errors.New("the PROXY header has a field of a length that cannot be")
	errChecksum  = errors.New("the PROXY header has a wrong checksum")
	errLongLine  = errors.New("the PROXY line is longer than 107 bytes")
	errForm      = errors.New("the PROXY line is not of the form PROXY TCP4 SOURCE DESTINATION PORT PORT")
	errAddress   = errors.New("the PROXY line has an address or port that does not parse")
)

// Parse reads the header at the beginning of b into h and returns its length; 0 without
// an error asks for more bytes. It is strict: what the specification does not allow to be
// sent is an error.
func (h *Header) Parse(b []byte) (n int, err error) {
	*h = Header{}
	if len(b) > 0 && b[0] == signature1[0] {
		return h.parseLine(b)
	}
	if !bytes.HasPrefix(b, []byte(signature2[:min(len(b), len(signature2))])) {
		return 0, errSignature
	}
	// The first bytes say enough to refuse at once.
	if len(b) > 12 && b[12] != commandLocal && b[12] != commandProxy {
		return 0, errVersion
	}
	if len(b) < headSize {
		return 0, nil
	}
	n = headSize + int(binary.BigEndian.Uint16(b[14:]))
	if n > MaxSize {
		return 0, errLong
	}
	if len(b) < n {
		return 0, nil
	}
	h.Version = 2
	if b[12] == commandLocal { // what else it says must be ignored
		h.Local = true
		return n, nil
	}
	size, err := h.parseAddresses(b[13], b[headSize:n])
	if err == nil {
		err = h.parseTLVs(b[:n], headSize+size)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// parseAddresses returns how many bytes of body they are.
func (h *Header) parseAddresses(family byte, body []byte) (size int, err error) {
	switch family {
	case familyUnspec:
		return 0, nil
	case familyTCP4:
		size = sizeIPv4
	case familyTCP6:
		size = sizeIPv6
	case familyUnix:
		size = sizeUnix
	default:
		return 0, errFamily
	}
	if len(body) < size {
		return 0, errShort
	}
	port := func(at int) uint16 { return binary.BigEndian.Uint16(body[at:]) }
	switch family {
	case familyTCP4:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), port(8))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[4:])), port(10))
	case familyTCP6:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), port(32))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[16:])).Unmap(), port(34))
	}
	return size, nil
}

// parseTLVs reads those of the header b from at on.
func (h *Header) parseTLVs(b []byte, at int) error {
	for at < len(b) {
		kind, value, err := tlv(b[at:])
		if err != nil {
			return err
		}
		at += tlvHead
		if err := h.take(kind, value, b, at); err != nil {
			return err
		}
		at += len(value)
	}
	return nil
}

// take keeps the value of one TLV, which stands at b[at:].
func (h *Header) take(kind byte, value, b []byte, at int) error {
	switch kind {
	case typeALPN:
		return keep(&h.ALPN, value, MaxSize)
	case typeAuthority:
		return keep(&h.Authority, value, maxAuthority)
	case typeUniqueID:
		return keep(&h.UniqueID, value, maxUniqueID)
	case typeNetNS:
		return keep(&h.NetNS, value, MaxSize)
	case typeSSL:
		return h.SSL.parse(value)
	case typeCRC32C:
		if h.Checksum {
			return errTwice
		}
		h.Checksum = true
		if len(value) != 4 {
			return errField
		}
		if binary.BigEndian.Uint32(value) != checksum(b, at) {
			return errChecksum
		}
	}
	return nil // others are the proxy's own matter
}

// keep stores a value that may come once.
func keep(into *[]byte, value []byte, most int) error {
	if *into != nil {
		return errTwice
	}
	if len(value) > most {
		return errField
	}
	*into = value
	return nil
}

func (s *SSL) parse(b []byte) error {
	if s.Present {
		return errTwice
	}
	if len(b) < sslHead {
		return errField
	}
	s.Present, s.Client, s.Verify = true, b[0], binary.BigEndian.Uint32(b[1:])
	for b = b[sslHead:]; len(b) > 0; {
		kind, value, err := tlv(b)
		if err != nil {
			return err
		}
		b = b[tlvHead+len(value):]
		switch kind {
		case typeSSLVersion:
			err = keep(&s.Version, value, MaxSize)
		case typeSSLCN:
			err = keep(&s.CommonName, value, MaxSize)
		case typeSSLCipher:
			err = keep(&s.Cipher, value, MaxSize)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tlv reads the first of b; its value is never nil.
func tlv(b []byte) (kind byte, value []byte, err error) {
	if len(b) < tlvHead {
		return 0, nil, errTLV
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if len(b) < tlvHead+n {
		return 0, nil, errTLV
	}
	return b[0], b[tlvHead : tlvHead+n : tlvHead+n], nil
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      = make([]byte, 4)
)

// checksum is the CRC32C of the header b with the four bytes at b[at:], its own, as 0.
func checksum(b []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, b[:at])
	sum = crc32.Update(sum, castagnoli, zeros)
	return crc32.Update(sum, castagnoli, b[at+4:])
}

// parseLine reads version 1, in which every field is set apart by one space:
//
//	PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
//	PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n
//	PROXY UNKNOWN …\r\n
func (h *Header) parseLine(b []byte) (n int, err error) {
	if !bytes.HasPrefix(b, []byte(signature1[:min(len(b), len(signature1))])) {
		return 0, errSignature
	}
	end := bytes.IndexByte(b[:min(len(b), MaxLine)], '\n')
	switch {
	case end < 0 && len(b) >= MaxLine:
		return 0, errLongLine
	case end < 0:
		return 0, nil
	case b[end-1] != '\r':
		return 0, errForm
	}
	h.Version = 1
	rest := b[len(signature1) : end-1]
	proto, rest := field(rest)
	if string(proto) == "UNKNOWN" { // what else it says must be ignored
		return end + 1, nil
	}
	v4 := string(proto) == "TCP4"
	if !v4 && string(proto) != "TCP6" {
		return 0, errForm
	}
	var text [3][]byte
	for i := range text {
		if text[i], rest = field(rest); len(rest) == 0 {
			return 0, errForm
		}
	}
	source, ok1 := endpoint(text[0], text[2], v4)
	destination, ok2 := endpoint(text[1], rest, v4)
	if !ok1 || !ok2 {
		return 0, errAddress
	}
	h.Source, h.Destination = source, destination
	return end + 1, nil
}

// field cuts b at its first space.
func field(b []byte) (first, rest []byte) {
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// endpoint reads an address and a port, which has no sign and no leading zeros.
func endpoint(address, port []byte, v4 bool) (netip.AddrPort, bool) {
	var ap netip.AddrPort
	a, err := netip.ParseAddr(string(address))
	if err != nil || a.Is4() != v4 || a.Zone() != "" {
		return ap, false
	}
	if len(port) == 0 || len(port) > 5 || len(port) > 1 && port[0] == '0' {
		return ap, false
	}
	n := 0
	for _, c := range port {
		if c < '0' || c > '9' {
			return ap, false
		}
		n = n*10 + int(c-'0')
	}
	if n > 65535 {
		return ap, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}
