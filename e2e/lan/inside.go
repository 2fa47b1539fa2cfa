package lan

import (
	"fmt"
	"os"
	"runtime"

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
