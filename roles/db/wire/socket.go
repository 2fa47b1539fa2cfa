package wire

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a client's connection, which can be waited for in two ways: by the runtime's poller,
// as all of Go's, or by the kernel, in a system call that blocks its thread. The latter takes two
// system calls for a command and its answer and wakes one thread, where the poller takes five and more; but
// a thread waits with it, and a processor until the runtime takes that back.
//
// The connection's goroutine alone reads, writes, changes between the two and closes. The rest is for any.
type socket struct {
	local, remote net.Addr
	since         *atomic.Int64 // when the running statement began; 0: none runs

	mu          sync.Mutex
	conn        net.Conn  // the poller's; nil while the kernel waits, and once that is closed
	file        *os.File  // of the kernel's wait; nil while the poller waits, and once it is closed
	fd          int       // file's
	place       *place    // that it has while the kernel waits
	read, write time.Time // deadlines
}

// kernelWait is how long a system call of the kernel's wait may block. After that the poller waits.
const kernelWait = 10 * time.Millisecond

// newSocket takes over a connection; nil where it is neither of TCP nor a Unix socket.
func newSocket(nc net.Conn, since *atomic.Int64) *socket {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		tune(nc)
		return &socket{conn: nc, local: nc.LocalAddr(), remote: nc.RemoteAddr(), since: since}
	}
	return nil
}

// tune sets what Go would set otherwise.
func tune(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		tc.SetNoDelay(true)
		// A peer that vanishes without a word is noticed after a minute and a half.
		tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
}

func (s *socket) busy() bool { return s.since.Load() != 0 }

// inKernel says whether the kernel waits.
func (s *socket) inKernel() bool { return s.file != nil }

// toKernel changes to the kernel's wait, where the place for that is free; after an error the poller
// goes on.
func (s *socket) toKernel(p *place) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || !p.take(s) {
		return nil
	}
	defer func() {
		if err != nil {
			p.leave(s)
		}
	}()
	// The poller would hear of everything that comes for as long as its own descriptor is open.
	fd := -1
	if e := s.controlLocked(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return e
	}
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	limit := unix.NsecToTimeval(int64(kernelWait))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			unix.Close(fd)
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	s.conn.Close()
	s.conn, s.file, s.fd = nil, os.NewFile(uintptr(fd), "client"), fd
	s.place = p
	return nil
}

// toPoller changes back. Where that cannot be, for want of descriptors, the kernel goes on waiting.
func (s *socket) toPoller() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	conn, err := net.FileConn(s.file) // which makes the socket non-blocking
	if err != nil {
		unix.SetNonblock(s.fd, false)
		return err
	}
	tune(conn)
	conn.SetReadDeadline(s.read)
	conn.SetWriteDeadline(s.write)
	s.closeFile()
	s.conn = conn
	return nil
}

// Read is io.Reader's.
func (s *socket) Read(p []byte) (int, error) {
	for s.inKernel() {
		if s.late(&s.read) {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := syscall.Read(s.fd, p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == syscall.EAGAIN:
			s.toPoller()
		case err != syscall.EINTR:
			return 0, os.NewSyscallError("read", err)
		}
	}
	if s.conn == nil {
		return 0, net.ErrClosed
	}
	return s.conn.Read(p)
}

// Write is io.Writer's.
func (s *socket) Write(p []byte) (written int, err error) {
	for s.inKernel() {
		if s.late(&s.write) {
			return written, os.ErrDeadlineExceeded
		}
		n, err := syscall.Write(s.fd, p[written:])
		written += max(n, 0)
		switch {
		case err != nil && err != syscall.EAGAIN && err != syscall.EINTR:
			return written, os.NewSyscallError("write", err)
		case written == len(p):
			return written, nil
		case err != syscall.EINTR:
			s.toPoller() // the client is slow
		}
	}
	if s.conn == nil {
		return written, net.ErrClosed
	}
	n, err := s.conn.Write(p[written:])
	return written + n, err
}

func (s *socket) late(deadline *time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !deadline.IsZero() && !time.Now().Before(*deadline)
}

// control calls f with the descriptor, which stays open meanwhile.
func (s *socket) control(f func(fd uintptr)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.controlLocked(f)
}

func (s *socket) controlLocked(f func(fd uintptr)) error {
	switch {
	case s.file != nil:
		f(uintptr(s.fd))
		return nil
	case s.conn == nil:
		return net.ErrClosed
	}
	sys, err := s.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return sys.Control(f)
}

// Close is for the connection's goroutine; others cut.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.file != nil:
		return s.closeFile()
	case s.conn == nil:
		return net.ErrClosed
	}
	return s.conn.Close()
}

func (s *socket) closeFile() error {
	err := s.file.Close()
	s.file = nil
	s.place.leave(s)
	return err
}

// cut ends every read and write.
func (s *socket) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.file != nil:
		unix.Shutdown(s.fd, unix.SHUT_RDWR)
	case s.conn != nil:
		s.conn.Close()
	}
}

// CloseWrite tells the client that nothing more will come.
func (s *socket) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return unix.Shutdown(s.fd, unix.SHUT_WR)
	}
	if w, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return net.ErrClosed
}

func (s *socket) LocalAddr() net.Addr  { return s.local }
func (s *socket) RemoteAddr() net.Addr { return s.remote }

// SetReadDeadline bounds reads, the one under way too; that of the kernel's wait after kernelWait.
func (s *socket) SetReadDeadline(t time.Time) error {
	return s.setDeadline(t, &s.read, net.Conn.SetReadDeadline)
}

// SetWriteDeadline bounds writes likewise.
func (s *socket) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(t, &s.write, net.Conn.SetWriteDeadline)
}

// SetDeadline is both.
func (s *socket) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

func (s *socket) setDeadline(t time.Time, own *time.Time, set func(net.Conn, time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	*own = t
	switch {
	case s.file != nil:
		return nil
	case s.conn == nil:
		return net.ErrClosed
	}
	return set(s.conn, t)
}
