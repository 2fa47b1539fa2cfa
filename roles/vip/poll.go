package vip

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for packets, rings and a deadline. A wait is an ordinary system call for
// the Go scheduler, so that it holds up no garbage collection. Nothing here allocates
// after newPoller.
type poller struct {
	epoll, timer int
	bell         *bell
	spec         unix.ItimerSpec
	events       [64]unix.EpollEvent
	buffer       [8]byte
}

func newPoller() (*poller, error) {
	p := &poller{epoll: -1, timer: -1}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err == nil {
			p.bell, err = newBell(unix.EFD_NONBLOCK)
		}
	}
	if err == nil {
		err = errors.Join(p.add(p.timer), p.add(p.bell.fd))
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("prepare to wait for adverts: %w", err)
	}
	return p, nil
}

func (p *poller) add(fd int) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// listen has wait return a descriptor or leave it out for a while.
func (p *poller) listen(fd int, on bool) error {
	event := &unix.EpollEvent{Fd: int32(fd)}
	if on {
		event.Events = unix.EPOLLIN
	}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, event)
}

// remove forgets a descriptor before it is closed.
func (p *poller) remove(fd int) { unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) }

// wait returns what is readable, the timer and the bell left out, at the latest after d.
func (p *poller) wait(d time.Duration) []unix.EpollEvent {
	p.spec.Value = unix.NsecToTimespec(int64(max(d, 1)))
	unix.TimerfdSettime(p.timer, 0, &p.spec, nil)
	n, err := unix.EpollWait(p.epoll, p.events[:], -1)
	if err != nil {
		return nil // EINTR
	}
	ready := p.events[:0]
	for _, event := range p.events[:n] {
		switch int(event.Fd) {
		case p.timer: // set again before the next wait
		case p.bell.fd:
			p.bell.answer(&p.buffer)
		default:
			ready = append(ready, event)
		}
	}
	return ready
}

func (p *poller) close() {
	if p.bell != nil {
		p.bell.close()
	}
	for _, fd := range []int{p.epoll, p.timer} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
