package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/dolthub/go-mysql-server/sql"
)

// Capability flags (MySQL source documentation, "Capabilities Flags").
const (
	capLongPassword     = 1 << 0
	capFoundRows        = 1 << 1
	capLongFlag         = 1 << 2
	capConnectWithDB    = 1 << 3
	capCompress         = 1 << 5
	capLocalFiles       = 1 << 7
	capIgnoreSpace      = 1 << 8
	capProtocol41       = 1 << 9
	capInteractive      = 1 << 10
	capSSL              = 1 << 11
	capTransactions     = 1 << 13
	capSecureConnection = 1 << 15
	capMultiStatements  = 1 << 16
	capMultiResults     = 1 << 17
	capPSMultiResults   = 1 << 18
	capPluginAuth       = 1 << 19
	capConnectAttrs     = 1 << 20
	capAuthLenenc       = 1 << 21
	capSessionTrack     = 1 << 23
	capDeprecateEOF     = 1 << 24
	capZstd             = 1 << 26

	// offered leaves out what is not built: query attributes, optional metadata, expired
	// passwords.
	offered = capLongPassword | capFoundRows | capLongFlag | capConnectWithDB | capIgnoreSpace | capLocalFiles |
		capProtocol41 | capInteractive | capTransactions | capSecureConnection |
		capMultiStatements | capMultiResults | capPSMultiResults | capPluginAuth |
		capConnectAttrs | capAuthLenenc | capSessionTrack | capDeprecateEOF |
		capCompress | capZstd
)

// handshakePacket bounds a packet before the client is known.
const handshakePacket = 64 << 10

// handshake takes the connection from accept to its first OK.
func (c *conn) handshake() error {
	c.scramble = c.srv.auth.scramble()
	if err := c.writeHandshake(c.scramble); err != nil {
		return err
	}
	if err := c.readProxy(); err != nil {
		return err
	}
	p, err := c.readPacket(handshakePacket, 0)
	if err != nil {
		return err
	}
	hello, wantTLS, err := parseHello(p)
	if err != nil {
		return err
	}
	if wantTLS {
		if c.cfg.TLS == nil {
			return Errorf(erHandshake, "Bad handshake: the client asks for TLS, which this server does not offer")
		}
		if err := c.startTLS(); err != nil {
			return err
		}
		if p, err = c.readPacket(handshakePacket, 0); err != nil {
			return err
		}
		if hello, _, err = parseHello(p); err != nil {
			return err
		}
	}
	if hello.short {
		return errMalformed
	}
	mask := uint32(offered)
	if c.cfg.TLS != nil {
		mask |= capSSL
	}
	c.caps = hello.caps & mask
	c.client.Capabilities = c.caps
	c.client.Attrs = hello.attrs
	c.client.User = hello.user
	c.client.Database = hello.database
	if c.client.Collation, err = handshakeCollation(uint16(hello.collation)); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(c.ctx, c.fixed)
	defer cancel()
	if err := c.login(ctx, login{user: hello.user, plugin: hello.plugin, response: hello.response, scramble: c.scramble}); err != nil {
		return err
	}
	if err := c.srv.takeSeat(c); err != nil {
		return err
	}
	if err := c.open(ctx); err != nil {
		return err
	}
	return c.startCompression(int(hello.zstdLevel))
}

// open begins the engine's session and answers the login with OK.
func (c *conn) open(ctx context.Context) error {
	if err := c.newSession(ctx, c.client.Database); err != nil {
		return err
	}
	c.told = c.state.Database
	if err := c.writeOK(0, 0, "", false); err != nil {
		return err
	}
	return c.flush()
}

// newSession opens a session for c.client and changes to database.
func (c *conn) newSession(ctx context.Context, database string) error {
	session, err := c.srv.engine.Open(ctx, c.client)
	if err != nil {
		return asError(err)
	}
	c.session = session
	if database != "" {
		if err := session.Use(ctx, database); err != nil {
			return asError(err)
		}
	}
	c.state = session.State()
	return nil
}

// writeHandshake sends "Protocol::HandshakeV10":
//
//	1 byte    10
//	string    server version, NUL
//	4 bytes   connection id
//	8 bytes   scramble, first part
//	1 byte    0
//	2 bytes   capabilities, low half
//	1 byte    collation id
//	2 bytes   status
//	2 bytes   capabilities, high half
//	1 byte    length of scramble and its NUL (21)
//	10 bytes  0
//	13 bytes  scramble, second part, NUL
//	string    name of the default authentication plugin, NUL
func (c *conn) writeHandshake(scramble []byte) error {
	caps := uint32(offered)
	if c.cfg.TLS != nil {
		caps |= capSSL
	}
	c.begin()
	b := append(c.wbuf, 10)
	b = append(append(b, c.cfg.Version...), 0)
	b = appendU32(b, c.id)
	b = append(append(b, scramble[:8]...), 0)
	b = appendU16(b, uint16(caps))
	b = append(b, collationUTF8mb4)
	b = appendU16(b, statusAutocommit)
	b = appendU16(b, uint16(caps>>16))
	b = append(b, byte(len(scramble)+1))
	b = append(b, make([]byte, 10)...)
	b = append(append(b, scramble[8:]...), 0)
	c.wbuf = append(append(b, pluginSha2...), 0)
	if err := c.stream.end(); err != nil {
		return err
	}
	return c.flush()
}

// hello is what a client says of itself.
type hello struct {
	caps      uint32
	collation uint8
	short     bool // only the first 32 bytes: a request for TLS
	user      string
	response  []byte
	database  string
	plugin    string
	attrs     []Attr
	zstdLevel uint8
}

// parseHello reads "Protocol::HandshakeResponse41", or the SSLRequest that is its
// beginning (tls is then true):
//
//	4 bytes   capabilities
//	4 bytes   largest packet the client takes
//	1 byte    collation id
//	23 bytes  filler
//	string    user, NUL
//	bytes     authentication response: length-encoded (capAuthLenenc), or one byte of
//	          length (capSecureConnection), or up to a NUL
//	string    database, NUL (capConnectWithDB)
//	string    plugin name, NUL (capPluginAuth)
//	lenenc    length of the attributes, each two length-encoded strings (capConnectAttrs)
//	1 byte    level of compression (capZstd)
func parseHello(p []byte) (h hello, tls bool, err error) {
	r := reader{p: p}
	h.caps = r.u32()
	if !r.bad && h.caps&capProtocol41 == 0 {
		return h, false, Errorf(erHandshake, "Bad handshake: the client speaks the protocol from before MySQL 4.1")
	}
	r.u32()
	h.collation = r.u8()
	r.take(23)
	if r.bad {
		return h, false, errMalformed
	}
	if len(r.p) == 0 {
		h.short = true
		if h.caps&capSSL == 0 {
			return h, false, errMalformed
		}
		return h, true, nil
	}
	h.user = string(r.nulbytes())
	switch {
	case h.caps&capAuthLenenc != 0:
		h.response = r.lenbytes()
	case h.caps&capSecureConnection != 0:
		h.response = r.take(int(r.u8()))
	default:
		h.response = r.nulbytes()
	}
	if h.caps&capConnectWithDB != 0 && !r.bad && len(r.p) > 0 {
		h.database = string(r.tailbytes())
	}
	if h.caps&capPluginAuth != 0 && !r.bad && len(r.p) > 0 {
		h.plugin = string(r.tailbytes())
	}
	if h.caps&capConnectAttrs != 0 && !r.bad && len(r.p) > 0 {
		h.attrs = parseAttrs(&r)
	}
	if h.caps&capZstd != 0 && !r.bad && len(r.p) > 0 {
		h.zstdLevel = r.u8()
	}
	if r.bad {
		return h, false, errMalformed
	}
	h.response = append([]byte(nil), h.response...)
	return h, false, nil
}

// parseAttrs reads connection attributes; at most 128 of them are kept.
func parseAttrs(r *reader) []Attr {
	in := reader{p: r.lenbytes()}
	var attrs []Attr
	for len(in.p) > 0 && !in.bad {
		name, value := in.lenbytes(), in.lenbytes()
		if !in.bad && len(attrs) < 128 {
			attrs = append(attrs, Attr{Name: string(name), Value: string(value)})
		}
	}
	r.bad = r.bad || in.bad
	return attrs
}

// startTLS puts TLS between the socket and the packets.
func (c *conn) startTLS() error {
	t := tls.Server(&replay{Conn: c.nc, first: c.unread()}, c.cfg.TLS)
	ctx, cancel := context.WithDeadline(c.ctx, c.fixed)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.srv.stats.tlsErrors.Add(1)
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.srv.stats.tlsHandshakes.Add(1)
	c.nc = t
	state := t.ConnectionState()
	c.client.TLS = &state
	return nil
}

// replay is a connection whose first bytes have been read already.
type replay struct {
	net.Conn
	first []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}

// maxCollation is the highest collation id of MySQL 8.0; the engine's table ends there.
const maxCollation = 323

// handshakeCollation checks the collation that a client names. Zero and numbers that
// do not exist leave the session with the server's defaults, as MySQL does; character
// sets that cannot carry SQL text are refused.
func handshakeCollation(id uint16) (sql.CollationID, error) {
	collation := sql.CollationID(id)
	if id == 0 || id > maxCollation || collation.Name() == "" {
		return 0, nil
	}
	set := collation.CharacterSet()
	switch set.Name() {
	case "ucs2", "utf16", "utf16le", "utf32":
		return 0, Errorf(1231, "Variable 'character_set_client' can't be set to the value of '%s'", set.Name())
	}
	if set.Encoder() == nil {
		return 0, Errorf(erUnknownCharset, "Unknown character set: '%s': use utf8mb4", set.Name())
	}
	return collation, nil
}
