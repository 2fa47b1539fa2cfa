package dbcheck

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// greeting is the first packet of MariaDB 10.11, with TLS and without.
func greeting(tls bool) []byte {
	low := byte(0xf7)
	if tls {
		low = 0xff
	}
	body := "\x0a5.5.5-10.11.6-MariaDB\x00\x2a\x00\x00\x00abcdefgh\x00\xfe" + string([]byte{low}) + "\x2d\x02\x00\xff\x81\x15" +
		"\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00"
	return append([]byte{byte(len(body)), 0, 0, 0}, body...)
}

func TestReadGreeting(t *testing.T) {
	for _, tls := range []bool{true, false} {
		want := greeting(tls)
		g, packet, err := ReadGreeting(iotest.OneByteReader(bytes.NewReader(append(want, "more"...))))
		if err != nil || g.Version != "5.5.5-10.11.6-MariaDB" || g.TLS != tls || !bytes.Equal(packet, want) {
			t.Errorf("tls %v: %+v %q %v", tls, g, packet, err)
		}
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "EOF"},
		{"a web server", "HTTP/1.1 400 Bad Request\r\n\r\n", "does not greet"},
		{"half a head", "\x10\x00", "does not greet"},
		{"a long packet", "\xff\xff\xff\x00\x0a", "does not greet"},
		{"cut", string(greeting(true)[:30]), "EOF"},
		{"without capabilities", "\x06\x00\x00\x00\x0a8.0\x00x", "does not greet"},
		{"full", "\x17\x00\x00\x00\xff\x10\x04Too many connections", `error 1040 "Too many connections"`},
	} {
		if _, _, err := ReadGreeting(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzReadGreeting(f *testing.F) {
	f.Add(greeting(true))
	f.Add(greeting(false))
	f.Add([]byte("\x17\x00\x00\x00\xff\x10\x04Too many connections"))
	f.Add([]byte("\x03\x00\x00\x00\x0a\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		g, packet, err := ReadGreeting(r)
		if read := len(in) - r.Len(); read > 4+maxGreeting {
			t.Fatalf("%d bytes were read", read)
		}
		if err != nil {
			return
		}
		if !bytes.HasPrefix(in, packet) || len(packet) < 4+1+1+15 || strings.ContainsRune(g.Version, 0) {
			t.Fatalf("%+v of %q", g, packet)
		}
	})
}

func TestParseRow(t *testing.T) {
	s, err := parseRow([]driver.Value{[]byte("db2"), int64(64), []byte("db1"), int64(0), []byte("1"), []byte("1500")})
	if want := (State{Name: "db2", Epoch: 64, Primary: "db1", Follows: true, Lag: 1500 * time.Millisecond, LagKnown: true}); err != nil || s != want {
		t.Errorf("%+v %v", s, err)
	}
	s, err = parseRow([]driver.Value{[]byte("db1"), uint64(1 << 63), []byte("db1"), int64(1), int64(0), nil})
	if want := (State{Name: "db1", Epoch: 1 << 63, Primary: "db1", Open: true}); err != nil || s != want {
		t.Errorf("%+v %v", s, err)
	}
	for _, row := range [][]driver.Value{
		{[]byte("db1"), []byte("-1"), []byte(""), int64(1), int64(0), nil},
		{[]byte("db1"), nil, []byte(""), int64(1), int64(0), nil},
		{[]byte("db1"), int64(1), []byte(""), int64(1), int64(0), []byte("-5")},
	} {
		if s, err := parseRow(row); err == nil || s != (State{}) {
			t.Errorf("%v: %+v", row, s)
		}
	}
	if s, err := parseRow([]driver.Value{nil, int64(1), nil, nil, nil, []byte("9223372036854775807")}); err != nil || s.Lag != maxLag || s.Open {
		t.Errorf("%+v %v", s, err)
	}
}

// A server that goes on sending is not read for ever.
func TestAnswersAreBounded(t *testing.T) {
	b := &bounded{Conn: endless{}, begin: []byte("xyz"), left: maxAnswer}
	n, err := io.Copy(io.Discard, struct{ io.Reader }{b})
	if n != maxAnswer+3 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }
