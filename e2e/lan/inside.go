package lan

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// In runs f on a thread of its own in the namespace of a host. Sockets that f opens
// belong to the namespace wherever they are used afterwards.
func (l *LAN) In(name string, f func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread, which belongs to the namespace now, ends with the goroutine.
		runtime.LockOSThread()
		done <- l.enter(name, f)
	}()
	return <-done
}

func (l *LAN) enter(name string, f func() error) error {
	file, err := os.Open("/run/netns/" + l.Namespace(name))
	if err != nil {
		return fmt.Errorf("enter the namespace of %s: %w", name, err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the namespace of %s: %w", name, err)
	}
	return f()
}

// punctual puts the calling thread, which must be locked, before all ordinary ones.
// Where that is not allowed it stays what it was: the control shows what it costs.
func punctual() {
	unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 40}, 0)
}

// clock is CLOCK_MONOTONIC in ns, read without leaving the thread.
func clock() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// started relates clock to time.Time, once for the process.
var started = struct {
	at    time.Time
	clock int64
}{time.Now(), clock()}

func clockOf(t time.Time) int64 { return started.clock + int64(t.Sub(started.at)) }
func timeOf(clock int64) time.Time {
	return started.at.Add(time.Duration(clock - started.clock))
}
