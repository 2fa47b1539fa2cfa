package lan

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is a client that asks for a page at a fixed pace, each time over a connection of
// its own and whatever became of the ones before. What it calls a gap is what a client
// sees: the time between two answers.
type Probe struct {
	address  unix.SockaddrInet4
	pace     int64 // ns
	stop     atomic.Bool
	finished chan struct{}
	problem  error

	epoll   int
	open    []*attempt // in the order in which they were begun
	by      map[int32]*attempt
	request []byte
	buffer  []byte

	mu      sync.Mutex
	answers []int64 // clock
	sent    int64
}

type attempt struct {
	fd    int32
	begun int64
	asked bool
	ended bool
}

// patience is how long an attempt may take. It ends before the kernel sends a lost SYN
// again after 1 s: such a client would be answered later than the next one.
const patience = int64(250 * time.Millisecond)

// StartProbe asks for http://address/ from a host, once per pace.
func (l *LAN) StartProbe(host string, address netip.AddrPort, pace time.Duration) (*Probe, error) {
	p := &Probe{pace: int64(pace), finished: make(chan struct{}), by: make(map[int32]*attempt), buffer: make([]byte, 4096),
		address: unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())},
		request: []byte("GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")}
	ready := make(chan error)
	go func() {
		defer close(p.finished)
		runtime.LockOSThread() // never unlocked: it belongs to the namespace
		l.enter(host, func() error {
			var err error
			p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			ready <- err
			if err != nil {
				return err
			}
			punctual()
			p.problem = p.run()
			return nil
		})
	}()
	select {
	case err := <-ready:
		return p, err
	case <-p.finished:
		return nil, fmt.Errorf("probe: no host %s", host)
	}
}

func (p *Probe) run() error {
	defer unix.Close(p.epoll)
	defer func() {
		for _, a := range p.open {
			p.end(a)
		}
	}()
	events := make([]unix.EpollEvent, 64)
	wait := []unix.PollFd{{Fd: int32(p.epoll), Events: unix.POLLIN}}
	for due := clock(); !p.stop.Load(); {
		now := clock()
		if now >= due {
			if err := p.begin(now); err != nil {
				return err
			}
			due += ((now-due)/p.pace + 1) * p.pace
		}
		for len(p.open) > 0 && (p.open[0].ended || now-p.open[0].begun > patience) {
			p.end(p.open[0])
			p.open = p.open[1:]
		}
		timeout := unix.NsecToTimespec(max(0, due-clock()))
		if n, err := unix.Ppoll(wait, &timeout, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("probe: wait: %w", err)
		} else if n <= 0 {
			continue
		}
		n, err := unix.EpollWait(p.epoll, events, 0)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("probe: wait: %w", err)
		}
		for _, e := range events[:max(0, n)] {
			if a := p.by[e.Fd]; a != nil {
				p.turn(a)
			}
		}
	}
	return nil
}

// begin opens a connection. One that ends is reset, so that a thousand a second leave no
// ports behind.
func (p *Probe) begin(now int64) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("probe: open a socket: %w", err)
	}
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	p.mu.Lock()
	p.sent++
	p.mu.Unlock()
	a := &attempt{fd: int32(fd), begun: now}
	p.open, p.by[a.fd] = append(p.open, a), a
	if err := unix.Connect(fd, &p.address); err != nil && err != unix.EINPROGRESS {
		p.end(a) // no route: the host has no link
		return nil
	}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLIN | unix.EPOLLRDHUP, Fd: a.fd})
}

// turn sends the request once the connection stands and reads the head of the answer.
func (p *Probe) turn(a *attempt) {
	if !a.asked {
		if n, err := unix.Write(int(a.fd), p.request); n != len(p.request) || err != nil {
			p.end(a)
			return
		}
		a.asked = true
		unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, int(a.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: a.fd})
		return
	}
	n, err := unix.Read(int(a.fd), p.buffer)
	if err == unix.EAGAIN {
		return
	}
	p.end(a)
	if n <= 0 || !bytes.HasPrefix(p.buffer[:n], []byte("HTTP/1.1 200")) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) < maxBeats {
		p.answers = append(p.answers, clock())
	}
}

func (p *Probe) end(a *attempt) {
	if !a.ended {
		a.ended = true
		delete(p.by, a.fd)
		unix.Close(int(a.fd))
	}
}

// Stop ends the probe.
func (p *Probe) Stop() error {
	p.stop.Store(true)
	<-p.finished
	return p.problem
}

// Gap is the longest time without an answer from since until now; what is before the first
// answer and after the last one counts.
func (p *Probe) Gap(since time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, now, gap := clockOf(since), clock(), int64(0)
	for _, at := range p.answers {
		if at > last {
			gap, last = max(gap, at-last), at
		}
	}
	return time.Duration(max(gap, now-last))
}

// Answered is the time of the last answer, zero if there was none.
func (p *Probe) Answered() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) == 0 {
		return time.Time{}
	}
	return timeOf(p.answers[len(p.answers)-1])
}

// Counts are the attempts that were begun and those that were answered.
func (p *Probe) Counts() (sent, answered int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, int64(len(p.answers))
}
