package loop

import (
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptBurst is how many connections are accepted in one turn; more wait in the
// kernel's queue while the open ones get their share.
const acceptBurst = 64

// Listener accepts from a listening socket, level-triggered: what one turn leaves, the
// next finds.
type Listener struct {
	loop    *Loop
	fd      int
	shared  bool
	tok     Token
	accept  func(fd int, peer netip.AddrPort)
	timer   Timer
	starved *atomic.Uint64
}

// Listen starts to accept from fd, a non-blocking listening socket, which stays the
// caller's. shared says that other loops or processes wait on the same socket: one of
// them is woken for each connection (EPOLLEXCLUSIVE). accept owns the descriptors it
// gets: non-blocking, close-on-exec, TCP_NODELAY where that exists. starved counts the
// times that no descriptor was left for a connection.
func (l *Loop) Listen(fd int, shared bool, accept func(fd int, peer netip.AddrPort), starved *atomic.Uint64) (*Listener, error) {
	n := &Listener{loop: l, fd: fd, shared: shared, accept: accept, starved: starved}
	return n, n.open()
}

func (n *Listener) open() (err error) {
	events := uint32(unix.EPOLLIN)
	if n.shared {
		events |= unix.EPOLLEXCLUSIVE
	}
	n.tok, err = n.loop.add(n.fd, n, events)
	return err
}

// Close stops accepting. The socket stays open.
func (n *Listener) Close() {
	n.loop.Detach(n.tok, n.fd)
	n.loop.Drop(&n.timer)
}

// Ready accepts what waits.
func (n *Listener) Ready(Event) {
	for range acceptBurst {
		fd, peer, e := accept(n.fd)
		switch e {
		case 0:
			n.accept(fd, peer)
			if !n.loop.valid(n.tok) { // closed meanwhile
				return
			}
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			// The socket stays ready: look away for a while instead of spinning.
			n.starved.Add(1)
			n.loop.Detach(n.tok, n.fd)
			n.loop.Arm(&n.timer, n, 100*time.Millisecond)
			return
		}
	}
}

// Expired looks at the socket again after descriptors had run out.
func (n *Listener) Expired(*Timer) {
	if n.open() != nil {
		n.loop.Arm(&n.timer, n, 100*time.Millisecond)
	}
}

func accept(ln int) (int, netip.AddrPort, syscall.Errno) {
	var sa unix.RawSockaddrAny
	fd, e := accept4(ln, &sa)
	if e != 0 {
		return -1, netip.AddrPort{}, e
	}
	if sa.Addr.Family == unix.AF_INET || sa.Addr.Family == unix.AF_INET6 {
		NoDelay(fd)
	}
	return fd, addrOf(&sa), 0
}
