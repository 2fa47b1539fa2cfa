package exchange

import (
	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// File is an open regular file that is released once when it is no longer needed, on
// the loop that used it.
type File interface {
	Fd() int
	Release()
}

// fileSegment is what is left to send of a file.
type fileSegment struct {
	f      File
	off, n int64
	warm   int64 // up to here the page cache was seen to hold it
	streak bool  // part of a streamed body: more may follow
	away   bool  // a worker is reading it
}

const (
	// fileChunk is sent at once through memory. sendfileChunk is what one call of sendfile
	// may send in a turn: nothing is copied, so it costs the loop about as much as the
	// requests of a turn (quantumRequests). With 64 KiB a file of 1 MiB cost twice as much.
	fileChunk     = 64 << 10
	sendfileChunk = 1 << 20
	// warmWindow is looked up, or read ahead, at once.
	warmWindow = 1 << 20
	warmProbe  = 256 << 10
)

// EndFile finishes an answer with n bytes of a regular file from off, by sendfile
// (through memory over TLS). Content-Length is n. Pages that are not in memory are
// read by a worker first. A file that turns out shorter cuts the connection. f is
// released when the last byte is sent or the exchange ends. For HEAD, 204 and 304
// nothing is sent.
func (x *Exchange) EndFile(f File, off, n int64) {
	h := &x.w.header
	if x.status != 204 && x.status != 304 {
		h.Int("Content-Length", n)
	}
	x.closeHead(h, x.noBody || n == 0)
	x.ev, x.body = nil, nil
	if x.noBody || n == 0 {
		f.Release()
		x.complete()
		return
	}
	x.phase = inFile
	x.file = fileSegment{f: f, off: off, n: n}
	x.again()
}

// WriteFile sends a piece of a file within a streamed body. Nothing may be written
// until Drained is called, which happens in any case.
func (x *Exchange) WriteFile(f File, off, n int64) {
	if x.remain >= 0 {
		n = min(n, x.remain)
		x.remain -= n
	}
	x.starved = true
	if x.noBody || n == 0 {
		f.Release()
		gen := x.gen
		x.w.l.Later(func() {
			if x.gen == gen {
				x.drained()
			}
		})
		return
	}
	if x.chunkedOut {
		x.chunkHead(int(n))
	}
	x.file = fileSegment{f: f, off: off, n: n, streak: true}
	x.again()
}

// sendFile sends within the quantum of the turn.
func (x *Exchange) sendFile(bytes *int) {
	c, s := x.c, &x.file
	if s.away {
		return
	}
	for s.n > 0 {
		if x.blocked() || x.failed() {
			return
		}
		if *bytes <= 0 {
			x.again()
			return
		}
		if !x.warm() { // what was written before goes out at the end of the callback
			return
		}
		if x.st == nil {
			x.w.flushHead(&c.sock)
			if x.blocked() || x.failed() {
				return
			}
		}
		sent, ok := x.filePiece()
		if !ok {
			return
		}
		*bytes -= sent
		s.off += int64(sent)
		s.n -= int64(sent)
		x.bytesOut += int64(sent)
	}
	streak := s.streak
	x.dropFile()
	if !streak {
		x.complete()
		return
	}
	if x.chunkedOut {
		c.write(lineEnd)
		x.bytesOut += 2
	}
	if !x.blocked() {
		x.drained()
	}
}

// filePiece sends the next bytes; false: nothing more can be done now.
func (x *Exchange) filePiece() (sent int, ok bool) {
	c, s := x.c, &x.file
	if c.tls != nil || x.st != nil {
		n := min(s.n, fileChunk)
		if x.w.fileBuf == nil {
			x.w.fileBuf = make([]byte, fileChunk)
		}
		got, e := loop.ReadCached(s.f.Fd(), x.w.fileBuf[:n], s.off)
		if e == unix.EOPNOTSUPP { // the window has just been read
			m, err := unix.Pread(s.f.Fd(), x.w.fileBuf[:n], s.off)
			if got, e = m, 0; err != nil {
				e = unix.EIO
			}
		}
		if e == unix.EAGAIN {
			s.warm = 0
			x.again()
			return 0, false
		}
		if e != 0 || got == 0 {
			x.gone(Internal)
			return 0, false
		}
		if x.st != nil {
			x.st.write(x.w.fileBuf[:got], !s.streak && int64(got) == s.n)
			return got, true
		}
		c.write(x.w.fileBuf[:got])
		x.w.flushOf(&c.sock)
		return got, true
	}
	got, e := loop.Sendfile(c.fd, s.f.Fd(), s.off, int(min(s.n, s.warm-s.off, sendfileChunk)))
	switch {
	case e == unix.EAGAIN:
		c.stalledFile()
		return 0, false
	case e == unix.EINTR:
		return 0, true
	case e != 0:
		c.fail(e)
		return 0, false
	case got == 0: // truncated since it was opened: the length is already promised
		x.gone(Internal)
		return 0, false
	}
	return got, true
}

// warm sees to it that the next bytes are in memory, so that sending them does not
// wait for a disk. false: a worker is reading them.
func (x *Exchange) warm() bool {
	s := &x.file
	if s.off < s.warm {
		return true
	}
	end := min(s.off+warmWindow, s.off+s.n)
	var b [1]byte
	for at := s.off; ; at = min(at+warmProbe, end-1) {
		if _, e := loop.ReadCached(s.f.Fd(), b[:], at); e != 0 {
			break
		}
		if at >= end-1 {
			s.warm = end
			return true
		}
	}
	s.away = true
	f, off := s.f, s.off
	s.f = keptFile{f, x.w}
	fd := f.Fd()
	t := x.Ticket()
	x.w.set.offload(func() {
		p := make([]byte, 64<<10)
		for off := off; off < end; {
			n, err := unix.Pread(fd, p[:min(int64(len(p)), end-off)], off)
			if n <= 0 || err != nil {
				return
			}
			off += int64(n)
		}
	}, func() {
		if !t.w.l.Post(func() {
			if !t.Valid() || x.file.f == nil {
				f.Release()
				return
			}
			x.file.f, x.file.away, x.file.warm = f, false, end
			x.again()
		}) {
			f.Release()
		}
	})
	return false
}

// keptFile stands for a file that a worker reads: released by the worker's return.
type keptFile struct {
	File
	w *Worker
}

// Release leaves the file to the worker that still reads it.
func (keptFile) Release() {}

func (x *Exchange) dropFile() {
	if f := x.file.f; f != nil {
		x.file = fileSegment{}
		f.Release()
	}
}

// stalledFile waits for room in the socket though nothing is kept to be sent.
func (c *conn) stalledFile() {
	c.w.l.Arm(&c.timer, c, c.x.front.Timeouts.Body)
}
