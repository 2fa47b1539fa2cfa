package replica

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/db/binlog/event"
)

// input is a connection whose other side has said everything already.
type input struct {
	net.Conn
	r *bytes.Reader
}

func (i input) Read(b []byte) (int, error)       { return i.r.Read(b) }
func (i input) Write(b []byte) (int, error)      { return len(b), nil }
func (i input) SetReadDeadline(time.Time) error  { return nil }
func (i input) SetWriteDeadline(time.Time) error { return nil }
func (i input) Close() error                     { return nil }

// packet frames a payload.
func packet(payload ...byte) []byte {
	return append([]byte{byte(len(payload)), byte(len(payload) >> 8), byte(len(payload) >> 16), 0}, payload...)
}

var testGreeting = packet(append(append(append([]byte{10}, "8.0.40-stack\x00"...), 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0xff, 0xff, 45, 2, 0, 0xff, 0xdf, 21,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0), append([]byte("abcdefghijkl\x00"), "caching_sha2_password\x00"...)...)...)

// Whatever a server says before the log: an error or a login, never a panic, and no memory
// beyond what it has sent.
func FuzzLogin(f *testing.F) {
	f.Add(append(bytes.Clone(testGreeting), packet(0, 0, 0, 2, 0, 0, 0)...))
	f.Add(append(append(bytes.Clone(testGreeting), packet(1, 4)...), packet(1, 'k')...))
	f.Add(append(bytes.Clone(testGreeting), packet(append([]byte{0xfe}, "mysql_native_password\x00abcdefghijklmnopqrst\x00"...)...)...))
	f.Add(append(append(append(bytes.Clone(testGreeting), packet(0, 0, 0, 2, 0, 0, 0)...), packet(1)...), packet(3, 'd', 'e', 'f')...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newConn(input{r: bytes.NewReader(b)})
		if _, err := c.login(&Settings{User: "u", Password: "p", PublicKey: true}); err != nil {
			return
		}
		_, _ = c.query("SELECT 1")
	})
}

// Whatever comes as a log: what reaches the queue are transactions from their beginning on, each
// of whose events has a header.
func FuzzReceiver(f *testing.F) {
	// Without checksums what is changed gets further.
	for _, sums := range []bool{true, false} {
		f.Add(packets(mysqlLog(), sums), false)
		f.Add(packets(mariaLog(), sums), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, maria bool) {
		v := newReceiver(b, maria)
		go feed(v)
		src := &source{q: v.q}
		inside := false
		for {
			ev, err := src.Next(t.Context())
			if err != nil {
				return
			}
			h, err := event.ParseHeader(ev)
			if err != nil {
				t.Fatal(err)
			}
			begins := h.Type == event.TypeGTID || h.Type == event.TypeAnonymousGTID
			if begins == inside {
				t.Fatalf("an event of type %v, inside a transaction: %v", h.Type, inside)
			}
			inside = !src.cur.last || src.cur.read < len(src.cur.head)+len(src.cur.marks)
		}
	})
}

// feed lets the receiver run into its queue.
func feed(v *receiver) { v.q.(*queue).fail(v.run()) }

func newReceiver(b []byte, maria bool) *receiver {
	c := newConn(input{r: bytes.NewReader(b)})
	c.limit = event.MaxSize + 1
	return &receiver{c: c, q: newQueue(), maria: maria, clock: func() {}, bytes: new(atomic.Uint64), arrived: new(atomic.Uint64), heard: &arrivals{}}
}

func FuzzDomains(f *testing.F) {
	f.Add("0-1-100,1-2-5")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDomains(text)
		if err != nil {
			return
		}
		back, err := ParseDomains(d.String())
		if err != nil || back.String() != d.String() {
			t.Fatalf("%q became %v, then %v, %v", text, d, back, err)
		}
	})
}
