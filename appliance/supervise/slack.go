package supervise

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// withTimerSlack runs start, in which a process is begun, such that the kernel may be late by so much when it wakes
// the process's threads from a sleep: they inherit that from the thread that begins it, of which nothing else
// can be told before the process's runtime has threads of its own. 0 leaves it at the kernel's 50 µs.
func withTimerSlack(slack time.Duration, start func() error) error {
	if slack <= 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack.Nanoseconds()), 0, 0, 0); err != nil {
		return fmt.Errorf("set the timer slack: %w", err)
	}
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // what the thread began with
	return start()
}
