package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// The commands of a replica ("Replication Protocol"):
//
//	COM_REGISTER_SLAVE    server id, u32; host, user and password, each a byte of length
//	                      and its bytes; port, u16; rank, u32; source id, u32
//	COM_BINLOG_DUMP       offset, u32; flags, u16; server id, u32; file, to the end
//	COM_BINLOG_DUMP_GTID  flags, u16; server id, u32; file: length u32 and bytes; offset,
//	                      u64; executed set: length u32 and bytes
//
// A dump is answered with packets of a byte 0 and an event each, without an end; with
// dumpNonBlock, EOF ends it where the log ends.
const dumpNonBlock = 1

// An acknowledgement is a packet that a replica of ours sends on the connection of its
// dump, whenever it likes; its sequence number is not looked at:
//
//	1 byte   ackMark
//	8 bytes  epoch, little endian
//	8 bytes  number of the newest transaction that is durable on the replica, little endian
//
// Nothing answers it. The only other packet that may come is COM_QUIT.
const (
	ackMark = 0xef
	ackSize = 17
	// upstreamLimit bounds what a reader of the log may send at once, bytes.
	upstreamLimit = 1 << 10
)

// writeDirect is the size from which an event is not copied into the write buffer, bytes.
const writeDirect = 64 << 10

// parseRegister reads the argument of COM_REGISTER_SLAVE.
func parseRegister(p []byte) (Replica, bool) {
	r := reader{p: p}
	var out Replica
	out.Server = r.u32()
	out.Host = string(r.take(int(r.u8())))
	r.take(int(r.u8()))
	r.take(int(r.u8()))
	out.Port = r.u16()
	return out, !r.bad
}

// parseDump reads the argument of COM_BINLOG_DUMP.
func parseDump(p []byte) (DumpFrom, bool) {
	r := reader{p: p}
	out := DumpFrom{Offset: uint64(r.u32())}
	out.NonBlock = r.u16()&dumpNonBlock != 0
	out.Server = r.u32()
	out.File = string(r.p)
	return out, !r.bad
}

// parseDumpGTID reads the argument of COM_BINLOG_DUMP_GTID. The position in it counts for
// nothing, as in MySQL.
func parseDumpGTID(p []byte) (DumpFrom, bool) {
	r := reader{p: p}
	out := DumpFrom{ByGTID: true}
	out.NonBlock = r.u16()&dumpNonBlock != 0
	out.Server = r.u32()
	r.take(int(r.u32()))
	r.u64()
	out.GTIDs = append([]byte(nil), r.take(int(r.u32()))...)
	return out, !r.bad
}

// register answers COM_REGISTER_SLAVE.
func (c *conn) register(arg []byte) error {
	source, ok := c.session.(Source)
	if !ok {
		return c.writeErr(Errorf(erUnknownCommand, "Unknown command"))
	}
	replica, ok := parseRegister(arg)
	if !ok {
		return c.malformed("COM_REGISTER_SLAVE")
	}
	cause, err := c.run(func(ctx context.Context) error { return source.Register(ctx, replica) })
	if err != nil {
		return c.answer(cause, err)
	}
	return c.writeOK(0, 0, "", false)
}

// dump answers COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID.
func (c *conn) dump(what string, from DumpFrom, ok bool) error {
	source, is := c.session.(Source)
	if !is {
		return c.writeErr(Errorf(erUnknownCommand, "Unknown command"))
	}
	if !ok {
		return c.malformed(what)
	}
	cause, err := c.run(func(ctx context.Context) error {
		d, err := source.Dump(ctx, from)
		if err != nil {
			return err
		}
		defer d.Close()
		return c.sendLog(ctx, d, from.NonBlock)
	})
	switch {
	case err == nil:
		return c.writeEOF(0)
	case errors.Is(err, ErrShutdown), errors.Is(cause, ErrShutdown),
		errors.Is(err, ErrConnectionKilled), errors.Is(cause, ErrConnectionKilled), errors.Is(cause, ErrQueryKilled):
		// Without a word: replicas take an error packet for a reason not to come back.
		c.flush()
		return ErrConnectionKilled
	case cause == nil && (errors.Is(err, ErrClientGone) || errors.Is(err, io.EOF) || errors.Is(err, errMalformed)):
		return err
	}
	return c.answer(cause, err)
}

// sendLog writes events until there are no more, where nonBlock, or an error.
func (c *conn) sendLog(ctx context.Context, d Dump, nonBlock bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.sock != nil {
		if err := c.sock.toPoller(); err != nil { // two goroutines use it from now on
			return err
		}
	}
	c.srv.dumpBegins(c)
	defer c.srv.dumpEnds(c)
	if c.zip == nil {
		u := c.listenUpstream(cancel, d)
		defer u.stop()
	}
	for {
		ev, err := d.Next(ctx, false)
		if ev == nil && err == nil {
			if err := c.flush(); err != nil {
				return err
			}
			if nonBlock {
				return nil
			}
			idle, last := c.idling(ctx)
			if last {
				return ErrShutdown
			}
			ev, err = d.Next(idle, true)
			if err != nil && ctx.Err() == nil && idle.Err() != nil {
				continue // what is there yet is still sent
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			err = c.writeEvent(ev)
		}
		if err != nil {
			return err
		}
	}
}

// idling is the context of a wait for new events, which ends at a shutdown; last says
// that the shutdown has come and there is nothing left to wait for.
func (c *conn) idling(ctx context.Context) (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastEvents {
		return nil, true
	}
	if c.idle == nil || c.idle.Err() != nil {
		c.idle, c.endIdle = context.WithCancel(ctx)
	}
	return c.idle, false
}

// endDump lets a dump send what the log holds, and end.
func (c *conn) endDump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastEvents = true
	if c.endIdle != nil {
		c.endIdle()
	}
}

// dumpBegins counts a connection that sends the log.
func (s *Server) dumpBegins(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dumping[c] = struct{}{}
	s.endDumps()
}

func (s *Server) dumpEnds(c *conn) {
	s.mu.Lock()
	delete(s.dumping, c)
	s.mu.Unlock()
	c.mu.Lock()
	if c.endIdle != nil {
		c.endIdle()
	}
	c.idle, c.endIdle = nil, nil
	c.mu.Unlock()
}

// endDumps ends the dumps of a server that is shutting down, once nobody else is connected
// who could still write. s.mu is held.
func (s *Server) endDumps() {
	if !s.draining || len(s.conns) > len(s.dumping) {
		return
	}
	for c := range s.dumping {
		c.endDump()
	}
}

// writeEvent writes an event as a packet; a large one without a copy of it.
func (c *conn) writeEvent(ev []byte) error {
	if len(ev) < writeDirect {
		c.begin()
		c.wbuf = append(append(c.wbuf, 0), ev...)
		return c.stream.end()
	}
	if err := c.flush(); err != nil {
		return err
	}
	for rest, first := ev, 1; ; first = 0 {
		n := min(len(rest), maxChunk-first)
		size := n + first
		c.wbuf = append(c.wbuf[:0], byte(size), byte(size>>8), byte(size>>16), c.seq)
		c.wbuf = append(c.wbuf, make([]byte, first)...)
		c.seq++
		err := c.flush()
		if err == nil {
			err = c.write(rest[:n])
		}
		if err != nil {
			return err
		}
		if rest = rest[n:]; size < maxChunk {
			return nil
		}
	}
}

// upstream reads what the client sends while the log is sent to it.
type upstream struct {
	c      *conn
	cancel context.CancelCauseFunc
	dump   Dump
	done   chan struct{}

	mu      sync.Mutex
	stopped bool
}

// listenUpstream begins to read. Until stop has returned, what the connection has
// received belongs to its goroutine.
func (c *conn) listenUpstream(cancel context.CancelCauseFunc, d Dump) *upstream {
	u := &upstream{c: c, cancel: cancel, dump: d, done: make(chan struct{})}
	if len(c.rbuf) < readBuffer {
		grown := make([]byte, readBuffer)
		c.rend = copy(grown, c.rbuf[c.rpos:c.rend])
		c.rbuf, c.rpos = grown, 0
	}
	go func() {
		defer close(u.done)
		defer func() {
			if c.recovered(recover()) {
				cancel(ErrClientGone)
			}
		}()
		if err := u.read(); err != nil {
			cancel(err)
		}
	}()
	return u
}

// stop ends the reading and waits for that.
func (u *upstream) stop() {
	u.mu.Lock()
	u.stopped = true
	u.c.raw.SetReadDeadline(time.Unix(1, 0))
	u.mu.Unlock()
	<-u.done
}

// read takes packets until it is stopped, with nil, or says why the dump has to end.
func (u *upstream) read() error {
	c := u.c
	for {
		for {
			p, ok, err := u.packet()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := u.take(p); err != nil {
				return err
			}
		}
		if c.rpos > 0 {
			c.rend = copy(c.rbuf, c.rbuf[c.rpos:c.rend])
			c.rpos = 0
		}
		u.mu.Lock()
		stopped := u.stopped
		if !stopped {
			c.nc.SetReadDeadline(time.Time{})
		}
		u.mu.Unlock()
		if stopped {
			return nil
		}
		// Woken or not, the dump's context says whether it has to end.
		n, err := c.nc.Read(c.rbuf[c.rend:])
		c.rend += n
		c.bytesIn.Add(uint64(n))
		if err != nil && n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrClientGone
		}
	}
}

// packet splits the next packet off what has come.
func (u *upstream) packet() (p []byte, ok bool, err error) {
	c := u.c
	h := c.rbuf[c.rpos:c.rend]
	if len(h) < headerSize {
		return nil, false, nil
	}
	n := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	if n > upstreamLimit {
		return nil, false, fmt.Errorf("%w: a reader of the binary log sent a packet of %d bytes", errMalformed, n)
	}
	if len(h) < headerSize+n {
		return nil, false, nil
	}
	c.rpos += headerSize + n
	return h[headerSize : headerSize+n], true, nil
}

// take acts on a packet.
func (u *upstream) take(p []byte) error {
	epoch, seq, ok := parseAck(p)
	switch {
	case ok:
		u.dump.Acknowledged(epoch, seq)
		return nil
	case len(p) == 1 && p[0] == comQuit:
		return io.EOF
	}
	return fmt.Errorf("%w: a reader of the binary log sent something else than an acknowledgement", errMalformed)
}

// parseAck reads an acknowledgement.
func parseAck(p []byte) (epoch, seq uint64, ok bool) {
	if len(p) != ackSize || p[0] != ackMark {
		return 0, 0, false
	}
	r := reader{p: p[1:]}
	return r.u64(), r.u64(), true
}
