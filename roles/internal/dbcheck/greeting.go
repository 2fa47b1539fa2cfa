package dbcheck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxGreeting bounds the first packet of a server, in bytes. MySQL's has about 80, and an error in
// its place a sentence.
const maxGreeting = 1024

// clientSSL is CLIENT_SSL of the capability flags.
const clientSSL = 0x800

var errNotMySQL = errors.New("the server does not greet as a MySQL server does")

// Greeting is the first packet of a server.
type Greeting struct {
	Version string
	TLS     bool // it offers TLS
}

// ReadGreeting reads the first packet of a server and returns it with its bytes, head and all. The
// error is io's, that the server speaks another protocol, or what it says instead of a greeting.
func ReadGreeting(r io.Reader) (g Greeting, packet []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errNotMySQL
		}
		return g, nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n < 3 || n > maxGreeting || head[3] != 0 {
		return g, nil, errNotMySQL
	}
	packet = make([]byte, 4+n)
	copy(packet, head[:])
	if _, err := io.ReadFull(r, packet[4:]); err != nil {
		return g, nil, err
	}
	g, err = parseGreeting(packet[4:])
	return g, packet, err
}

// parseGreeting reads HandshakeV10, or an error packet in its place:
//
//	1 byte   10                    1 byte   0xff
//	string   version, NUL          2 bytes  code
//	4 bytes  connection            string   text
//	8 bytes  scramble
//	1 byte   0
//	2 bytes  capabilities, low half; more follows
func parseGreeting(p []byte) (g Greeting, err error) {
	if p[0] == 0xff {
		text := strings.ToValidUTF8(string(p[3:min(len(p), 200)]), "?")
		return g, fmt.Errorf("refused by the server: error %d %q", binary.LittleEndian.Uint16(p[1:]), text)
	}
	end := bytes.IndexByte(p, 0)
	const rest = 4 + 8 + 1 + 2
	if p[0] != 10 || end < 1 || len(p) < end+1+rest {
		return g, errNotMySQL
	}
	g.Version = strings.ToValidUTF8(string(p[1:end]), "?")
	g.TLS = binary.LittleEndian.Uint16(p[end+1+rest-2:])&clientSSL != 0
	return g, nil
}
