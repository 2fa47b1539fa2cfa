package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"
)

// asked is a session that notes what a replica asks for, and has a log with one event.
type asked struct {
	*stubSession
	replica *Replica
	from    *DumpFrom
	logs    int // open
}

func (s *asked) Register(_ context.Context, r Replica) error {
	s.replica = &r
	return nil
}

func (s *asked) Dump(_ context.Context, from DumpFrom) (Dump, error) {
	s.from = &from
	s.logs++
	return &oneEvent{session: s}, nil
}

type oneEvent struct {
	session *asked
	sent    bool
}

func (l *oneEvent) Next(_ context.Context, wait bool) ([]byte, error) {
	switch {
	case !l.sent:
		l.sent = true
		return []byte("an event"), nil
	case wait:
		return nil, ErrShutdown
	}
	return nil, nil
}

func (l *oneEvent) Acknowledged(uint64, uint64) {}
func (l *oneEvent) Close()                      { l.session.logs-- }

// written keeps what a connection is sent, whose other side says nothing more and stays.
type written struct {
	*memoryConn
	out  bytes.Buffer
	wake sync.Once
	past chan struct{} // closed with a deadline that has passed
}

func (c *written) Write(p []byte) (int, error) { return c.out.Write(p) }

func (c *written) Read([]byte) (int, error) {
	<-c.past
	return 0, os.ErrDeadlineExceeded
}

func (c *written) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		c.wake.Do(func() { close(c.past) })
	}
	return nil
}

// replicaCommand gives a connection a command of a replica, and returns what was asked for, what was answered, and the
// reason why the connection ends, nil: it goes on.
func replicaCommand(t *testing.T, s *Server, p []byte) (a *asked, answer []byte, err error) {
	t.Helper()
	nc := &written{memoryConn: &memoryConn{in: bytes.NewReader(nil)}, past: make(chan struct{})}
	c := newConn(s, s.cfg.Load(), &withAddr{memoryConn: nc.memoryConn}, 1)
	c.nc, c.raw = nc, nc
	c.readTimeout, c.writeTimeout, c.caps = time.Second, time.Second, basicCaps
	if err := c.newSession(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	a = &asked{stubSession: c.session.(*stubSession)}
	c.session = a
	err = c.command(p)
	if e := c.flush(); e != nil {
		t.Fatal(e)
	}
	if a.logs != 0 {
		t.Fatal("the log is not closed")
	}
	c.close()
	return a, nc.out.Bytes(), err
}

func fuzzReplica(f *testing.F) *Server {
	f.Helper()
	s, err := New(Config{Version: "8", MaxAllowedPacket: 1 << 20}, newStub())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	return s
}

// malformedPacket reports whether an answer is error 1835, and nothing else.
func malformedPacket(answer []byte) bool {
	return len(answer) > headerSize+3 && answer[headerSize] == 0xff && binary.LittleEndian.Uint16(answer[headerSize+1:]) == erMalformedPacket
}

// checkDump compares what a dump was asked for with what the packet says, and its answer: the event, then the end of the log or of
// the connection; nil: the packet is none.
func checkDump(t *testing.T, s *Server, p []byte, want *DumpFrom) {
	t.Helper()
	a, answer, err := replicaCommand(t, s, p)
	switch {
	case want == nil:
		if a.from != nil || err != nil || !malformedPacket(answer) {
			t.Fatalf("%x is taken as %+v, %v, and answered with %x", p, a.from, err, answer)
		}
		return
	case a.from == nil || !reflect.DeepEqual(*a.from, *want):
		t.Fatalf("%x is taken as %+v, want %+v", p, a.from, want)
	case !bytes.HasPrefix(answer, append([]byte{9, 0, 0, 0, 0}, "an event"...)):
		t.Fatalf("%x is answered with %x", p, answer)
	}
	// Without dumpNonBlock the log is waited for, until a shutdown ends it.
	if want.NonBlock != (err == nil) || err != nil && !errors.Is(err, ErrConnectionKilled) {
		t.Fatalf("%x ends with %v", p, err)
	}
}

// FuzzDump gives a connection a COM_BINLOG_DUMP, which is cut by hand here: offset u32, flags u16, server u32, file.
func FuzzDump(f *testing.F) {
	f.Add(append([]byte{4, 0, 0, 0, 0, 0, 9, 0, 0, 0}, "binlog.000001"...))
	f.Add([]byte{4, 0, 0, 0, 2, 0, 0x2a, 0, 0, 0}) // MariaDB: from the beginning, by GTID
	f.Add(append([]byte{0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 0}, "a\x00b"...))
	f.Add([]byte{4, 0, 0, 0, 0, 0, 9})
	s := fuzzReplica(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		var want *DumpFrom
		if len(p) >= 10 {
			le := binary.LittleEndian
			want = &DumpFrom{Offset: uint64(le.Uint32(p)), NonBlock: p[4]&1 != 0, Server: le.Uint32(p[6:]), File: string(p[10:])}
		}
		checkDump(t, s, append([]byte{comBinlogDump}, p...), want)
	})
}

// FuzzDumpGTID does so with COM_BINLOG_DUMP_GTID: flags u16, server u32, length u32 and file, offset u64, length u32 and set.
func FuzzDumpGTID(f *testing.F) {
	set := append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, "0123456789abcdef\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00"...)
	whole := append([]byte{4, 0, 7, 0, 0, 0, 2, 0, 0, 0, 'a', 'b', 4, 0, 0, 0, 0, 0, 0, 0, byte(len(set)), 0, 0, 0}, set...)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte{1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 0, 7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	s := fuzzReplica(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		var want *DumpFrom
		le := binary.LittleEndian
		if len(p) >= 10 {
			file := uint64(le.Uint32(p[6:]))
			if at := 10 + file + 8; uint64(len(p)) >= at+4 {
				if size := uint64(le.Uint32(p[at:])); uint64(len(p)) >= at+4+size {
					want = &DumpFrom{ByGTID: true, NonBlock: p[0]&1 != 0, Server: le.Uint32(p[2:]), GTIDs: append([]byte(nil), p[at+4:at+4+size]...)}
				}
			}
		}
		checkDump(t, s, append([]byte{comBinlogDumpGTID}, p...), want)
	})
}

// FuzzRegister does so with COM_REGISTER_SLAVE: server u32; host, user and password behind a byte of length each; port u16. What
// follows is not looked at.
func FuzzRegister(f *testing.F) {
	f.Add([]byte{7, 0, 0, 0, 1, 'h', 1, 'u', 1, 'p', 0xea, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{7, 0, 0, 0, 0, 0, 0, 0xea, 0x0c})
	f.Add([]byte{7, 0, 0, 0, 255, 'h', 0, 0, 0, 0})
	s := fuzzReplica(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		var want *Replica
		if len(p) >= 4 {
			var texts [][]byte
			rest := p[4:]
			for range 3 {
				if len(rest) > 0 && len(rest) > int(rest[0]) {
					texts, rest = append(texts, rest[1:1+int(rest[0])]), rest[1+int(rest[0]):]
				} else {
					rest = nil
				}
			}
			if len(texts) == 3 && len(rest) >= 2 {
				want = &Replica{Server: binary.LittleEndian.Uint32(p), Host: string(texts[0]), Port: binary.LittleEndian.Uint16(rest)}
			}
		}
		a, answer, err := replicaCommand(t, s, append([]byte{comRegisterSlave}, p...))
		switch {
		case err != nil || !reflect.DeepEqual(a.replica, want):
			t.Fatalf("%x is taken as %+v, %v, want %+v", p, a.replica, err, want)
		case want == nil && !malformedPacket(answer), want != nil && answer[headerSize] != 0:
			t.Fatalf("%x is answered with %x", p, answer)
		}
	})
}

// FuzzAcknowledgement reads what may be an acknowledgement: one is the 17 bytes of one, and is written as it was.
func FuzzAcknowledgement(f *testing.F) {
	f.Add(append([]byte{ackMark}, make([]byte, 16)...))
	f.Add(append([]byte{ackMark, 4, 0, 0, 0, 0, 0, 0, 0}, "binlog.000001"...)) // of MySQL's semi-synchronous replica
	f.Add(append([]byte{0}, make([]byte, 16)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		epoch, seq, ok := parseAck(p)
		if want := len(p) == ackSize && p[0] == ackMark; ok != want {
			t.Fatalf("%x is an acknowledgement: %v", p, ok)
		}
		le := binary.LittleEndian
		if again := le.AppendUint64(le.AppendUint64([]byte{ackMark}, epoch), seq); ok && !bytes.Equal(again, p) {
			t.Fatalf("%x is read as %x", p, again)
		}
	})
}
