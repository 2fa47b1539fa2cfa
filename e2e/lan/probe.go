package lan

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is a client that asks for a page at a fixed pace, each time over a connection of
// its own and whatever became of the ones before. What it calls a gap is what a client
// sees: the time between two answers.
type Probe struct{ *helper }

// StartProbe asks for http://address/ (IPv4) from a host, once per pace.
func (l *LAN) StartProbe(host string, address netip.AddrPort, pace time.Duration) (*Probe, error) {
	h, err := startHelper(fmt.Sprintf("probe %v %v", pace, address), "ip", "netns", "exec", l.Namespace(host))
	return &Probe{h}, err
}

// Gap is the longest time without an answer since a time, up to the last question whose
// fate is known: what is before the first answer and after the last one counts.
func (p *Probe) Gap(since time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, newest, gap := clockOf(since), int64(0), int64(0)
	for _, r := range p.records {
		newest = max(newest, r.begun)
		if r.done > last {
			gap, last = max(gap, r.done-last), r.done
		}
	}
	return time.Duration(max(gap, newest-last))
}

// Answered is the time of the last answer that is known, zero if there is none.
func (p *Probe) Answered() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.records) - 1; i >= 0; i-- {
		if done := p.records[i].done; done > 0 {
			return timeOf(done)
		}
	}
	return time.Time{}
}

// Counts are the attempts whose fate is known and those that were answered.
func (p *Probe) Counts() (ended, answered int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		if r.done > 0 {
			answered++
		}
	}
	return len(p.records), answered
}

// asking is the loop of a probe's process.
type asking struct {
	address unix.SockaddrInet4
	report  func(record)
	epoll   int
	open    []*attempt // in the order in which they were begun
	by      map[int32]*attempt
	request []byte
	buffer  []byte
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

func ask(address netip.AddrPort, pace int64, stop *atomic.Bool, report func(record)) (err error) {
	a := &asking{report: report, by: make(map[int32]*attempt), buffer: make([]byte, 4096),
		address: unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())},
		request: []byte("GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")}
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	for due := clock(); !stop.Load(); {
		now := clock()
		if now >= due {
			if err := a.begin(now); err != nil {
				return err
			}
			due += ((now-due)/pace + 1) * pace
		}
		for len(a.open) > 0 && (a.open[0].ended || now-a.open[0].begun > patience) {
			a.end(a.open[0], 0)
			a.open = a.open[1:]
		}
		if err := a.wait(max(0, due-clock())); err != nil {
			return fmt.Errorf("probe: wait: %w", err)
		}
	}
	return nil
}

// wait handles what happens until a timeout in ns, which epoll itself does not know.
func (a *asking) wait(timeout int64) error {
	at := unix.NsecToTimespec(timeout)
	if n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(a.epoll), Events: unix.POLLIN}}, &at, nil); n <= 0 {
		if err == unix.EINTR {
			return nil
		}
		return err
	}
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(a.epoll, events[:], 0)
	if err != nil && err != unix.EINTR {
		return err
	}
	for _, e := range events[:max(0, n)] {
		if t := a.by[e.Fd]; t != nil {
			a.turn(t)
		}
	}
	return nil
}

// begin opens a connection. One that ends is reset, so that a thousand a second leave no
// ports behind.
func (a *asking) begin(now int64) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("probe: open a socket: %w", err)
	}
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	t := &attempt{fd: int32(fd), begun: now}
	a.open, a.by[t.fd] = append(a.open, t), t
	if err := unix.Connect(fd, &a.address); err != nil && err != unix.EINPROGRESS {
		a.end(t, 0) // no route: the host has no link
		return nil
	}
	return unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLIN | unix.EPOLLRDHUP, Fd: t.fd})
}

// turn sends the request once the connection stands and reads the head of the answer.
func (a *asking) turn(t *attempt) {
	if !t.asked {
		if n, err := unix.Write(int(t.fd), a.request); n != len(a.request) || err != nil {
			a.end(t, 0)
			return
		}
		t.asked = true
		unix.EpollCtl(a.epoll, unix.EPOLL_CTL_MOD, int(t.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: t.fd})
		return
	}
	n, err := unix.Read(int(t.fd), a.buffer)
	switch {
	case err == unix.EAGAIN:
	case n > 0 && bytes.HasPrefix(a.buffer[:n], []byte("HTTP/1.1 200")):
		a.end(t, clock())
	default:
		a.end(t, 0)
	}
}

func (a *asking) end(t *attempt, answered int64) {
	if !t.ended {
		t.ended = true
		delete(a.by, t.fd)
		unix.Close(int(t.fd))
		a.report(record{t.begun, answered})
	}
}
