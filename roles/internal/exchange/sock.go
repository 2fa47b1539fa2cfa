package exchange

import (
	"syscall"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// sock is one end of a connection on a loop, plain or TLS: what has been read and not
// used, what has been written and not sent. Client connections and Streams embed it.
type sock struct {
	w   *Worker
	fd  int
	tok loop.Token
	// pend is what has been read and not used: in the buffer in, or, within a callback,
	// in the worker's scratch.
	pend []byte
	in   *buffer
	// out is what the kernel did not take yet.
	out *buffer
	tls *secure
	// owner hears when writing stalls.
	owner interface{ stalled() }
	errno syscall.Errno

	readable   bool // there may be bytes: the last read did not find the end of them
	hup        bool // the peer has closed its direction, or all: a short read is not the last
	reset      bool // both directions are closed
	eof        bool
	failed     bool // errno says why
	connecting bool
	shut       bool // our direction is closed
}

// filled is what fill found.
type filled uint8

const (
	got    filled = iota // pend has grown
	dry                  // nothing there now
	ended                // the peer will send no more
	broken               // errno
	full                 // pend holds the most that was asked for
)

// event notes what epoll said about reading.
func (s *sock) event(ev loop.Event) {
	if ev&(loop.In|loop.RdHup|loop.Hup|loop.Err) == 0 {
		return
	}
	s.readable = true
	if s.tls != nil {
		s.tls.readable = true
	}
	if ev&(loop.RdHup|loop.Hup|loop.Err) != 0 {
		s.hup = true
		if ev&(loop.Hup|loop.Err) != 0 {
			s.reset = true
		}
	}
}

// fill reads more behind pend, up to most bytes in all.
func (s *sock) fill(most int) filled {
	if len(s.pend) >= most {
		return full
	}
	if len(s.pend) == 0 {
		s.settle()
		s.w.useScratch(s)
		n, f := s.recv(s.w.scratch[:min(most, len(s.w.scratch))])
		s.pend = s.w.scratch[:n]
		return f
	}
	s.keep(min(most, max(2*len(s.pend), 1<<10)) - len(s.pend))
	n, f := s.recv(s.in.b[s.in.w:min(len(s.in.b), s.in.r+most)])
	s.in.w += n
	s.pend = s.in.bytes()
	return f
}

// keep moves pend into a buffer of the socket's own that has room for n more.
func (s *sock) keep(n int) {
	if s.in == nil {
		s.in = s.w.bufs.get(len(s.pend) + n)
		s.in.w = copy(s.in.b, s.pend)
		if s.w.scratchOwner == s {
			s.w.scratchOwner = nil
		}
	} else {
		s.in.r = s.in.w - len(s.pend)
		s.in = s.w.bufs.room(s.in, n)
	}
	s.pend = s.in.bytes()
}

// use drops the first n bytes of pend.
func (s *sock) use(n int) { s.pend = s.pend[n:] }

// settle leaves nothing in the scratch and no buffer without content.
func (s *sock) settle() {
	if len(s.pend) > 0 {
		if s.in == nil {
			s.keep(0)
		}
		return
	}
	s.pend = nil
	if s.in != nil {
		s.w.bufs.put(s.in)
		s.in = nil
	}
}

func (s *sock) recv(p []byte) (int, filled) {
	if s.tls != nil {
		return s.tls.recv(p)
	}
	n, e := loop.Recv(s.fd, p)
	switch {
	case e == unix.EAGAIN:
		s.readable = false
		return 0, dry
	case e != 0:
		s.readable, s.failed, s.errno = false, true, e
		return 0, broken
	case n == 0:
		s.readable, s.eof = false, true
		return 0, ended
	}
	// A short read has emptied the socket, unless the end of the stream is waiting
	// behind: that makes no event of its own.
	if n < len(p) && !s.hup {
		s.readable = false
	}
	return n, got
}

const (
	// corked is how many bytes are collected before they are sent; larger pieces go out
	// together with what was collected, uncopied.
	corked = 16 << 10
	small  = 8 << 10
)

// write sends p soon, or keeps what the kernel does not take. Errors show as failed.
func (s *sock) write(p []byte) {
	w := s.w
	switch {
	case s.failed || s.shut || len(p) == 0:
	case w.corkOwner == s:
		if len(w.cork)+len(p) <= corked {
			w.cork = append(w.cork, p...)
			return
		}
		w.corkOwner = nil
		s.send(w.cork, p)
		w.cork = w.cork[:0]
	case s.blocked() && s.tls == nil || s.connecting:
		s.out = w.bufs.add(s.out, p)
	case len(p) <= small:
		w.flush()
		w.corkOwner = s
		w.cork = append(w.cork[:0], p...)
	default:
		s.send(p, nil)
	}
}

// blocked says whether the peer reads too slowly for now.
func (s *sock) blocked() bool { return s.out != nil && s.out.len() > 0 }

// unsent returns the number of bytes that were written and not sent.
func (s *sock) unsent() (n int) {
	if s.out != nil {
		n = s.out.len()
	}
	if s.w.corkOwner == s {
		n += len(s.w.cork)
	}
	return n
}

func (s *sock) send(a, b []byte) {
	if s.tls != nil {
		s.tls.send(a, b)
		return
	}
	s.transmit(a, b)
}

// transmit hands bytes to the kernel and keeps the rest.
func (s *sock) transmit(a, b []byte) {
	if s.failed {
		return
	}
	var n int
	var e syscall.Errno
	if s.blocked() {
		e = unix.EAGAIN
	} else if len(b) == 0 && s.w.more {
		n, e = loop.SendMore(s.fd, a)
	} else if len(b) == 0 {
		n, e = loop.Send(s.fd, a)
	} else {
		n, e = loop.Send2(s.fd, a, b)
	}
	if e != 0 && e != unix.EAGAIN {
		s.fail(e)
		return
	}
	if n == len(a)+len(b) {
		return
	}
	if n < len(a) {
		s.out = s.w.bufs.add(s.out, a[n:])
		n = len(a)
	}
	if n-len(a) < len(b) {
		s.out = s.w.bufs.add(s.out, b[n-len(a):])
	}
	s.owner.stalled()
}

func (s *sock) fail(e syscall.Errno) {
	s.failed, s.errno = true, e
	s.readable = true // what the peer said before it closed may still be there
	s.w.l.Again(s.tok)
}

// flushOut sends what was kept, as far as the kernel takes it. It reports whether
// anything was sent.
func (s *sock) flushOut() (progress bool) {
	for s.blocked() && !s.failed {
		n, e := loop.Send(s.fd, s.out.bytes())
		if e == unix.EAGAIN {
			return progress
		}
		if e != 0 {
			s.fail(e)
			return progress
		}
		s.out.r += n
		progress = true
	}
	if s.out != nil && s.out.len() == 0 {
		s.w.bufs.put(s.out)
		s.out = nil
	}
	return progress
}

// shutdown closes our direction once everything is sent.
func (s *sock) shutdown() {
	if s.shut {
		return
	}
	s.w.flushOf(s)
	if s.tls != nil {
		s.tls.closeWrite()
	}
	s.shut = true
	if !s.blocked() {
		loop.Shutdown(s.fd, unix.SHUT_WR)
	}
}

// drop releases the descriptor and all buffers.
func (s *sock) drop() {
	if s.w.corkOwner == s {
		s.w.corkOwner, s.w.cork = nil, s.w.cork[:0]
	}
	if s.w.scratchOwner == s {
		s.w.scratchOwner = nil
	}
	s.pend = nil
	s.settle()
	if s.out != nil {
		s.w.bufs.put(s.out)
		s.out = nil
	}
	if s.tls != nil {
		s.w.hold(-secureBytes)
		s.tls = nil
	}
	s.w.l.Remove(s.tok)
	if s.fd >= 0 {
		loop.Close(s.fd)
		s.fd = -1
	}
}
