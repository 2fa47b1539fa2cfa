package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// The headers of a connection that a proxy opens for itself, such as a health check.
const (
	LocalV1 = "PROXY UNKNOWN\r\n"
	LocalV2 = signature2 + "\x20\x00\x00\x00"
)

// Append writes the header in the form of its Version. Values that are too long for
// their field are left out.
func (h *Header) Append(b []byte) []byte {
	if h.Version == 1 {
		return h.appendLine(b)
	}
	return h.appendBinary(b)
}

// ends says in which family both addresses can be written; invalid addresses in none.
func (h *Header) ends() (src, dst netip.Addr, v4, ok bool) {
	src, dst = h.Source.Addr().Unmap(), h.Destination.Addr().Unmap()
	return src, dst, src.Is4() && dst.Is4(), src.IsValid() && dst.IsValid() && !h.Local
}

// appendLine writes version 1; its form stands at parseLine.
func (h *Header) appendLine(b []byte) []byte {
	src, dst, v4, ok := h.ends()
	if !ok {
		return append(b, LocalV1...)
	}
	if v4 {
		b = append(b, signature1+"TCP4 "...)
	} else {
		b = append(b, signature1+"TCP6 "...)
	}
	for _, a := range [2]netip.Addr{src, dst} {
		if !v4 {
			a = netip.AddrFrom16(a.As16())
		}
		b = a.AppendTo(b)
		b = append(b, ' ')
	}
	b = strconv.AppendUint(b, uint64(h.Source.Port()), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(h.Destination.Port()), 10)
	return append(b, '\r', '\n')
}

// appendBinary writes version 2; its layout stands at headSize.
func (h *Header) appendBinary(b []byte) []byte {
	begin := len(b)
	if h.Local {
		return append(b, LocalV2...)
	}
	b = append(b, signature2...)
	src, dst, v4, ok := h.ends()
	family := byte(familyTCP6)
	switch {
	case !ok:
		family = familyUnspec
	case v4:
		family = familyTCP4
	}
	b = append(b, commandProxy, family, 0, 0)
	switch family {
	case familyTCP4:
		s, d := src.As4(), dst.As4()
		b = append(append(b, s[:]...), d[:]...)
	case familyTCP6:
		s, d := src.As16(), dst.As16()
		b = append(append(b, s[:]...), d[:]...)
	}
	if ok {
		b = binary.BigEndian.AppendUint16(b, h.Source.Port())
		b = binary.BigEndian.AppendUint16(b, h.Destination.Port())
	}
	sum := 0
	if h.Checksum {
		b = append(b, typeCRC32C, 0, 4, 0, 0, 0, 0)
		sum = len(b) - 4
	}
	b = appendTLV(b, typeALPN, h.ALPN, maxAuthority) // RFC 7301: a name has one byte of length
	b = appendTLV(b, typeAuthority, h.Authority, maxAuthority)
	b = appendTLV(b, typeUniqueID, h.UniqueID, maxUniqueID)
	b = h.SSL.append(b)
	b = appendTLV(b, typeNetNS, h.NetNS, maxOther)
	binary.BigEndian.PutUint16(b[begin+14:], uint16(len(b)-begin-headSize))
	if h.Checksum {
		binary.BigEndian.PutUint32(b[sum:], checksum(b[begin:], sum-begin))
	}
	return b
}

// maxOther bounds the values that have no bound of their own, so that a header with all
// of them stays below MaxSize.
const maxOther = 512

func appendTLV(b []byte, kind byte, value []byte, most int) []byte {
	if value == nil || len(value) > most {
		return b
	}
	b = append(b, kind, byte(len(value)>>8), byte(len(value)))
	return append(b, value...)
}

// append writes the TLV PP2_TYPE_SSL: client 1, verify 4, TLVs.
func (s *SSL) append(b []byte) []byte {
	if !s.Present {
		return b
	}
	b = append(b, typeSSL, 0, 0)
	begin := len(b)
	b = append(b, s.Client)
	b = binary.BigEndian.AppendUint32(b, s.Verify)
	b = appendTLV(b, typeSSLVersion, s.Version, maxOther)
	b = appendTLV(b, typeSSLCN, s.CommonName, maxOther)
	b = appendTLV(b, typeSSLCipher, s.Cipher, maxOther)
	binary.BigEndian.PutUint16(b[begin-2:], uint16(len(b)-begin))
	return b
}
