// Package proxyproto reads and writes the header with which a proxy says, in front of
// everything else on a connection, whose connection it forwards: HAProxy, "The PROXY
// protocol Versions 1 & 2" (proxy-protocol.txt). It never reads from a connection and
// never decides whom to believe.
package proxyproto

import "net/netip"

// Sizes in bytes.
const (
	// MaxLine is the longest version 1 header, line end included.
	MaxLine = 107
	// MaxSize is the longest header that Parse takes; version 2 could have 65,551.
	MaxSize = 4096
)

// Header is what a proxy says of a connection. The byte slices of a parsed one alias
// the input.
type Header struct {
	// Version is 1 or 2.
	Version int
	// Local says that the proxy speaks for itself (version 2, LOCAL): a health check.
	Local bool
	// Source is the client, Destination what it connected to. Both are invalid where the
	// header names no internet addresses (LOCAL, UNKNOWN, UNSPEC, Unix sockets): then the
	// addresses of the socket count. IPv4 is never in its IPv6 form.
	Source, Destination netip.AddrPort
	// ALPN is the protocol chosen in TLS, Authority the host name that the client asked
	// for (SNI), UniqueID the proxy's name for the connection, NetNS its network
	// namespace. nil = not there.
	ALPN, Authority, UniqueID, NetNS []byte
	// SSL is what is known of the client's TLS.
	SSL SSL
	// Checksum says that the header carries a CRC32C, which Parse has checked.
	Checksum bool
}

// SSL is the TLV PP2_TYPE_SSL.
type SSL struct {
	// Present says that the TLV is there.
	Present bool
	// Client are the bits ClientSSL, ClientCertConn and ClientCertSession.
	Client byte
	// Verify is 0 if the client's certificate was verified.
	Verify uint32
	// Version of TLS in OpenSSL's words ("TLSv1.3"), CommonName of the client's
	// certificate, Cipher. nil = not there.
	Version, CommonName, Cipher []byte
}

// The bits of SSL.Client.
const (
	ClientSSL         = 1 << iota // the client came over TLS
	ClientCertConn                // it gave a certificate on this connection
	ClientCertSession             // it did so in this TLS session
)

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// Version 2, all numbers big endian:
//
//	 0  12  signature
//	12   1  version 2 in the high half, command in the low: 0 LOCAL, 1 PROXY
//	13   1  address family in the high half, transport in the low: 0x00 UNSPEC, 0x11 TCP
//	        over IPv4, 0x21 TCP over IPv6, 0x31 Unix stream (0x.2 are datagrams)
//	14   2  length of what follows
//	16      addresses: IPv4 source 4, destination 4, source port 2, destination port 2;
//	        IPv6 16, 16, 2, 2; Unix 108, 108
//	        TLVs: type 1, length 2, value
const (
	headSize = 16

	commandLocal = 0x20
	commandProxy = 0x21

	familyUnspec = 0x00
	familyTCP4   = 0x11
	familyTCP6   = 0x21
	familyUnix   = 0x31

	sizeIPv4 = 12
	sizeIPv6 = 36
	sizeUnix = 216
)

// TLV types. The value of PP2_TYPE_SSL is client 1, verify 4, and TLVs of its own.
const (
	typeALPN      = 0x01
	typeAuthority = 0x02
	typeCRC32C    = 0x03
	typeUniqueID  = 0x05
	typeSSL       = 0x20
	typeNetNS     = 0x30

	typeSSLVersion = 0x21
	typeSSLCN      = 0x22
	typeSSLCipher  = 0x23

	tlvHead = 3
	sslHead = 5

	maxAuthority = 255
	maxUniqueID  = 128
)
