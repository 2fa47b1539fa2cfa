package wire

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// Config shapes a Server. It may be replaced while the server runs (Reconfigure);
// connections take the new values with their next command, TLS and the prefixes with
// the next connection.
type Config struct {
	// Version is @@version and what the handshake says. Clients parse its beginning
	// ("8.0.36-…"). Required.
	Version string
	// TLS offers TLS 1.2 and 1.3 on every connection; nil offers none. For REQUIRE X509, ClientAuth must be VerifyClientCertIfGiven.
	TLS *tls.Config
	// ProxyFrom are the peers whose PROXY header (v1, v2) is believed. From them it is
	// optional; from anyone else it ends the connection.
	ProxyFrom []netip.Prefix

	MaxConnections int // ≥ 1, default 151; an administrator gets one more
	// MaxPreparedStatements bounds the open statements of one connection (1461),
	// default 16,382.
	MaxPreparedStatements int
	// MaxAllowedPacket bounds what a client may send in one logical packet, long data
	// included (1153); bytes, 1024..1 GiB, default 64 MiB.
	MaxAllowedPacket int

	ConnectTimeout  time.Duration // accept to the end of the handshake; default 10s
	WaitTimeout     time.Duration // idle between commands; default 8h
	NetReadTimeout  time.Duration // between two reads inside a packet; default 30s
	NetWriteTimeout time.Duration // until a block of an answer is taken; default 60s

	// CursorMemory is how much of a server-side cursor's result stays in memory, the
	// rest goes to an unlinked file in CursorDir; bytes, default 1 MiB.
	CursorMemory int
	// CursorDir is where that file is made; "" is the system's temporary folder.
	CursorDir string
	// CursorLimit bounds the cursors of one connection together (error 1041 beyond);
	// bytes, default 1 GiB.
	CursorLimit int64

	Log *slog.Logger // default: discard
}

// withDefaults fills in what is zero and checks the rest.
func (c Config) withDefaults() (*Config, error) {
	if c.Version == "" {
		return nil, errors.New("wire: Config.Version is empty: clients need a version such as 8.0.36-stack")
	}
	setDefault(&c.MaxConnections, 151)
	setDefault(&c.MaxPreparedStatements, 16382)
	setDefault(&c.MaxAllowedPacket, 64<<20)
	setDefault(&c.ConnectTimeout, 10*time.Second)
	setDefault(&c.WaitTimeout, 8*time.Hour)
	setDefault(&c.NetReadTimeout, 30*time.Second)
	setDefault(&c.NetWriteTimeout, 60*time.Second)
	setDefault(&c.CursorMemory, 1<<20)
	setDefault(&c.CursorLimit, 1<<30)
	if c.MaxAllowedPacket < 1024 || c.MaxAllowedPacket > 1<<30 {
		return nil, errors.New("wire: Config.MaxAllowedPacket is outside 1024 bytes to 1 GiB")
	}
	if c.MaxConnections < 1 {
		return nil, errors.New("wire: Config.MaxConnections is below 1")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.TLS != nil && c.TLS.MinVersion != 0 && c.TLS.MinVersion < tls.VersionTLS12 {
		return nil, errors.New("wire: Config.TLS allows TLS 1.0 or 1.1: the least is 1.2")
	}
	return &c, nil
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
