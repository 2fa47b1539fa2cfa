package vip

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// The real-time priorities, 1..99: below what the kernel's own threads use (50), the adverts
// above what sets the addresses, and both above the rest of the process.
const (
	advertPriority = 40
	keeperPriority = 39
	restPriority   = 1
)

// realtimeProcess has every thread of the process run before all ordinary processes, where
// the machine allows it, and those too that they will start. The thread of the adverts
// needs the others: during a collection of garbage it waits for whoever has stopped the Go
// scheduler or holds its processors, and on a busy machine an ordinary thread waits tens of
// milliseconds for a real one meanwhile (TestBusyMachine of e2e/vip).
func realtimeProcess() error {
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: restPriority}
	done := map[string]bool{}
	for again := true; again; { // one may have been started meanwhile by one that was ordinary
		again = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil || done[task.Name()] {
				continue
			}
			if err := unix.SchedSetAttr(id, attr, 0); err != nil && err != unix.ESRCH {
				return fmt.Errorf("real-time priority of thread %d: %w", id, err)
			}
			done[task.Name()], again = true, true
		}
	}
	return nil
}

// asOrdinary makes the calling thread, to which its goroutine is locked, an ordinary one
// until back is called: so is what it starts.
func asOrdinary() (back func()) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil || before.Policy == unix.SCHED_NORMAL {
		return func() {}
	}
	// Neither can fail: less is always allowed, and what the thread had it may have again.
	unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
	return func() { unix.SchedSetAttr(0, before, 0) }
}

// realtime keeps the calling goroutine on a thread of its own, which runs before every
// other of this process, and every ordinary one, where the machine allows it (CAP_SYS_NICE,
// or LimitRTPRIO of the unit).
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
