package vip

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// The priorities of SCHED_FIFO, 1..99: below what the kernel's own threads use (50), the
// adverts above what sets the addresses.
const (
	advertPriority = 40
	keeperPriority = 39
)

// realtime keeps the calling goroutine on a thread of its own, which runs before every
// ordinary process where the machine allows it (CAP_SYS_NICE, or LimitRTPRIO of the
// unit). Threads and processes that it starts are ordinary ones.
func realtime(log *slog.Logger, priority uint32) {
	runtime.LockOSThread()
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: priority}
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		log.Warn("VRRP runs without real-time priority: on a busy machine adverts may be late", "err", err,
			"cure", "LimitRTPRIO=50 in the unit, or CAP_SYS_NICE")
	}
}

// bell wakes a thread that waits for its descriptor. It may be rung by any goroutine,
// also after its end.
type bell struct {
	mu sync.Mutex
	fd int
}

func newBell(flags int) (*bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|flags)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	return &bell{fd: fd}, nil
}

// ring never blocks: the counter holds 2^64 - 2 rings.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fd >= 0 {
		unix.Write(b.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// answer takes all rings so far; on a blocking descriptor it waits for the first. Only
// the thread that closes the bell calls it.
func (b *bell) answer(buffer *[8]byte) error {
	for {
		if _, err := unix.Read(b.fd, buffer[:]); err != unix.EINTR {
			return err
		}
	}
}

func (b *bell) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	unix.Close(b.fd)
	b.fd = -1
}
