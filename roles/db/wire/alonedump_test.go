package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"
)

// logged is a stub whose sessions have a log: what is put into events.
type logged struct {
	*stub
	events chan []byte
	acks   chan uint64
	closed chan struct{}
}

type loggedSession struct {
	*stubSession
	log *logged
}

func (e *logged) Open(ctx context.Context, c Client) (Session, error) {
	s, err := e.stub.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &loggedSession{s.(*stubSession), e}, nil
}

func (s *loggedSession) Register(context.Context, Replica) error      { return nil }
func (s *loggedSession) Dump(context.Context, DumpFrom) (Dump, error) { return s.log, nil }

func (e *logged) Next(ctx context.Context, wait bool) ([]byte, error) {
	if !wait {
		select {
		case ev := <-e.events:
			return ev, nil
		default:
			return nil, nil
		}
	}
	select {
	case ev := <-e.events:
		return ev, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *logged) Acknowledged(_, seq uint64) { e.acks <- seq }
func (e *logged) Close()                     { e.closed <- struct{}{} }

// A replica's connection for which the kernel waited goes over to the poller for a dump, in which one goroutine writes the
// log while another reads acknowledgements, with pauses longer than the kernel waits; and it ends as any other.
func TestDumpOfOneWhoWasAlone(t *testing.T) {
	needsTwoProcessors(t)
	cert, _ := certificate(t)
	e := &logged{newStub(), make(chan []byte), make(chan uint64, 1), make(chan struct{}, 1)}
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
	files := openFiles(t)
	for _, secure := range []bool{false, true} {
		for how, end := range map[string]func(r *raw){
			"its client leaves": func(r *raw) { r.nc.Close() },
			"it quits":          func(r *raw) { r.nc.Write([]byte{1, 0, 0, 0, comQuit}); r.expectClosed() },
			"killed":            func(r *raw) { s.Kill(r.id, false); r.expectClosed() },
		} {
			r := dial(t, addr)
			if secure {
				r.startTLS()
			}
			r.write(r.hello(basicCaps, "root", "", ""))
			r.expectOK()
			sock := r.untilAlone(s)
			r.command(comBinlogDump, 4, 0, 0, 0, 0, 0, 9, 0, 0, 0)
			large := bytes.Repeat([]byte("a large event "), 1<<20)
			for n, event := range [][]byte{[]byte("first"), []byte("second"), large, []byte("last")} {
				e.events <- event
				if n == 2 {
					time.Sleep(3 * kernelWait) // the client is slow to read: the answer fills the buffers
				}
				r.nc.Write(ack(uint64(n)))
				if seq := receive(t, "an acknowledgement", e.acks); seq != uint64(n) {
					t.Fatalf("acknowledged is %d, want %d", seq, n)
				}
				if got := r.read(); string(got) != "\x00"+string(event) {
					t.Fatalf("event %d has %d bytes that begin %.20q", n, len(got), got)
				}
				if s.alone.place.holder.Load() == sock {
					t.Fatal("the kernel waits for a connection that two goroutines use")
				}
				time.Sleep(2 * kernelWait) // nobody says anything for longer than the kernel waits
			}
			// The place is free for another meanwhile.
			other := login1(t, addr, basicCaps)
			other.untilAlone(s)
			e.events <- []byte("beside another")
			if got := r.read(); !strings.HasSuffix(string(got), "beside another") {
				t.Fatalf("got %q", got)
			}
			end(r)
			receive(t, how+": the dump ends", e.closed)
			r.nc.Close()
			other.command(comQuit)
			io.Copy(io.Discard, other.nc)
			other.nc.Close()
			eventually(t, how+": the connections have ended", func() bool { return s.Stats().Connections == 0 && s.alone.place.holder.Load() == nil })
			eventually(t, how+": no descriptor is left over", func() bool { return openFiles(t) <= files })
		}
	}
}

// ack is an acknowledgement as a replica sends it.
func ack(seq uint64) []byte {
	p := binary.LittleEndian.AppendUint64([]byte{ackSize, 0, 0, 0, ackMark}, 1)
	return binary.LittleEndian.AppendUint64(p, seq)
}
