package sockets

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// MaxMeta is the most bytes that travel beside a passed connection.
const MaxMeta = 64 << 10

// sendWait bounds how long Send may hold its caller, who may be an event loop.
const sendWait = 2 * time.Millisecond

// ErrFull says that the newer generation does not keep up; the connection stays with
// the caller, who may try again or serve it to its end.
var ErrFull = errors.New("passage is full")

// Passage carries idle connections from an old generation of a role to a newer one:
// one SOCK_SEQPACKET message per connection, its descriptor by SCM_RIGHTS and up to
// MaxMeta bytes of the role's own description beside it.
type Passage struct {
	fd int
	f  *os.File
}

// NewPassage returns the two ends. Both may send and receive.
func NewPassage() (a, b *Passage, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("passage between generations: %w", err)
	}
	return PassageFrom(fds[0]), PassageFrom(fds[1]), nil
}

// PassageFrom wraps a descriptor received from the supervisor. It owns fd.
func PassageFrom(fd int) *Passage {
	unix.SetNonblock(fd, true)
	return &Passage{fd: fd, f: os.NewFile(uintptr(fd), "passage")}
}

// FD returns the descriptor, which stays the Passage's.
func (p *Passage) FD() int { return p.fd }

// Send passes a connection. On success the newer generation owns it and the caller
// closes its own descriptor without shutdown. It takes at most 2 ms: ErrFull says that
// nothing was sent. Safe for concurrent use, and callable from an event loop.
func (p *Passage) Send(fd int, meta []byte) error {
	if len(meta) > MaxMeta {
		return fmt.Errorf("passage: %d bytes beside a connection, at most %d", len(meta), MaxMeta)
	}
	// One byte always travels: an empty message would read as the end.
	buf := make([]byte, 1+len(meta))
	copy(buf[1:], meta)
	rights := unix.UnixRights(fd)
	end := time.Now().Add(sendWait)
	for {
		err := unix.Sendmsg(p.fd, buf, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ETOOMANYREFS), errors.Is(err, unix.ENOBUFS):
			return ErrFull
		case !errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("passage: %w", err)
		}
		left := time.Until(end)
		if left <= 0 {
			return ErrFull
		}
		ts := unix.NsecToTimespec(int64(left))
		if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}, &ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("passage: %w", err)
		}
	}
}

// Receive waits for the next connection, which the caller owns. io.EOF says that the
// other end is closed. One goroutine receives.
func (p *Passage) Receive() (fd int, meta []byte, err error) {
	buf := make([]byte, 1+MaxMeta)
	for {
		n, fds, err := recvRights(p.f, buf, 1)
		if err != nil {
			return -1, nil, err
		}
		if n == 0 {
			closeAll(fds)
			return -1, nil, io.EOF
		}
		if len(fds) != 1 {
			// The kernel could not install the descriptor (table full): that
			// connection is lost, the next may arrive.
			closeAll(fds)
			continue
		}
		return fds[0], append([]byte(nil), buf[1:n]...), nil
	}
}

// StopReceiving refuses what the other end sends from now on; what is queued is still
// received, then Receive returns io.EOF. The refused connections stay with their sender.
func (p *Passage) StopReceiving() error { return unix.Shutdown(p.fd, unix.SHUT_RD) }

// Close ends this side; the other side receives what is queued, then io.EOF.
func (p *Passage) Close() error { return p.f.Close() }
