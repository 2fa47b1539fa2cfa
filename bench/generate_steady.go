package main

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	steadyRate  = 5000 // requests per second
	steadyConns = 64
	modestRate  = 1000 // of those that a greedy connection must not harm
	modestConns = 16
)

var steadyRequest = []byte("GET /200.bin HTTP/1.1\r\nHost: bench\r\n\r\n")

// pacer sends a request every pause, to the connections in turn, and measures
// from the moment that it was due: one that waits for the answer before it on its
// connection waits on the server's account. One thread, woken to the microsecond: the
// timers of the Go scheduler are too coarse beside latencies of 100 µs.
type pacer struct {
	ep        int
	pause     time.Duration
	conns     []*paced
	began     time.Time
	total     int
	sent      int // requests that were due
	latencies []time.Duration
}

type paced struct {
	file    *net.TCPConn // keeps the descriptor open
	fd      int
	due     []time.Duration // of requests sent (the first) or waiting
	answer  []byte
	pending bool
}

func sendSteadily(address string, d time.Duration) (outcome, error) {
	return sendAt(address, d, steadyRate, steadyConns)
}

// sendModestly comes before others on its core: what is to be seen is the server, not the
// greedy client that shares the core.
func sendModestly(address string, d time.Duration) (outcome, error) {
	runtime.LockOSThread()
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, 0); err != nil {
		return outcome{}, fmt.Errorf("real-time scheduling of the measuring client (root is needed): %w", err)
	}
	return sendAt(address, d, modestRate, modestConns)
}

func sendAt(address string, d time.Duration, rate, conns int) (o outcome, err error) {
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // little is allocated; a collection would look like the server's delay
	// The kernel rounds waits of ordinary threads up by 50 µs.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return o, fmt.Errorf("set the timer slack: %w", err)
	}
	pause := time.Second / time.Duration(rate)
	p := &pacer{pause: pause, total: int(d / pause)}
	p.latencies = make([]time.Duration, 0, p.total)
	if p.ep, err = unix.EpollCreate1(0); err != nil {
		return o, err
	}
	for range conns {
		if err := p.open(address); err != nil {
			return o, err
		}
	}
	p.began = time.Now()
	for len(p.latencies) < p.total {
		if err := p.turn(); err != nil {
			return o, err
		}
		if time.Since(p.began) > d+10*time.Second {
			return o, fmt.Errorf("%s left %d of %d requests unanswered for 10 s", address, p.total-len(p.latencies), p.total)
		}
	}
	o.Count, o.Took = float64(p.total), time.Since(p.began)
	slices.Sort(p.latencies)
	o.P50, o.P99, o.Max = p.latencies[p.total/2], p.latencies[p.total*99/100], p.latencies[p.total-1]
	return o, nil
}

func (p *pacer) open(address string) error {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	s := &paced{file: c.(*net.TCPConn), answer: make([]byte, 0, 4096)}
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(p.conns))}
	p.conns = append(p.conns, s)
	return unix.EpollCtl(p.ep, unix.EPOLL_CTL_ADD, s.fd, &ev)
}

// turn sends what is due, waits for the next moment or an answer, and takes answers.
func (p *pacer) turn() error {
	now := time.Since(p.began)
	for p.sent < p.total && now >= time.Duration(p.sent)*p.pause {
		c := p.conns[p.sent%len(p.conns)]
		c.due = append(c.due, time.Duration(p.sent)*p.pause)
		p.sent++
		if err := c.next(); err != nil {
			return err
		}
	}
	wait := time.Second
	if p.sent < p.total {
		wait = max(0, time.Duration(p.sent)*p.pause-time.Since(p.began))
	}
	var events [steadyConns]unix.EpollEvent
	n, err := waitFor(p.ep, events[:], wait)
	if err != nil {
		return err
	}
	for _, ev := range events[:n] {
		if err := p.take(p.conns[ev.Fd]); err != nil {
			return err
		}
	}
	return nil
}

// next sends the oldest request that is due, unless one is on its way.
func (c *paced) next() error {
	if c.pending || len(c.due) == 0 {
		return nil
	}
	c.pending = true
	_, err := unix.Write(c.fd, steadyRequest)
	return err
}

// take reads an answer, perhaps a part of one.
func (p *pacer) take(c *paced) error {
	n, err := unix.Read(c.fd, c.answer[len(c.answer):cap(c.answer)])
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil || n == 0 {
		return fmt.Errorf("connection lost after %d answers: %w", len(p.latencies), err)
	}
	c.answer = c.answer[:len(c.answer)+n]
	whole, err := complete(c.answer)
	if err != nil || !whole {
		return err
	}
	p.latencies = append(p.latencies, time.Since(p.began)-c.due[0])
	c.answer, c.pending = c.answer[:0], false
	c.due = c.due[:copy(c.due, c.due[1:])]
	return c.next()
}

// complete says whether an answer is there with its body.
func complete(answer []byte) (bool, error) {
	head, body, ok := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !ok {
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("answered %.40q", head)
	}
	_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	if len(length) == 0 {
		_, length, _ = bytes.Cut(head, []byte("content-length: "))
		length, _, _ = bytes.Cut(length, []byte("\r\n"))
	}
	n, err := strconv.Atoi(string(length))
	return err == nil && len(body) == n, err
}

// waitFor is epoll_pwait2(2), whose time-out has nanoseconds.
func waitFor(ep int, events []unix.EpollEvent, d time.Duration) (int, error) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	if e != 0 && e != unix.EINTR {
		return 0, fmt.Errorf("epoll_pwait2: %w", e)
	}
	if e != 0 {
		return 0, nil
	}
	return int(n), nil
}
