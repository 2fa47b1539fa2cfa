package store

import (
	"os"
	"syscall"
	_ "unsafe" // linkname
)

// fdatasync makes the data of a file of the operating system durable; the name is for its error. It gives the processor
// to other goroutines at once, where the runtime's monitor would take it back after a while: of two processors, one
// would be idle meanwhile, and the monitor would look for it all the time. The connection keeps the file open.
func fdatasync(name string, file syscall.RawConn) error {
	var failed error
	err := file.Control(func(fd uintptr) {
		failed = untilDone(func() syscall.Errno { return fdatasyncAside(fd) })
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return &os.PathError{Op: "fdatasync", Path: name, Err: err}
	}
	return nil
}

// untilDone repeats a call that a signal has interrupted, as the os package does: the runtime sends signals to itself.
func untilDone(call func() syscall.Errno) error {
	for {
		switch errno := call(); errno {
		case 0:
			return nil
		case syscall.EINTR:
		default:
			return errno
		}
	}
}

// fdatasyncAside is the system call between the two of the runtime, all in one frame: the stack must not move between
// them, and the runtime checks that the second is called from where the first was.
//
//go:nosplit
//go:norace
func fdatasyncAside(fd uintptr) syscall.Errno {
	enterBlockingCall()
	_, _, errno := syscall.RawSyscall(syscall.SYS_FDATASYNC, fd, 0, 0)
	leaveCall()
	return errno
}

// The runtime keeps the names and types of both for programs outside it (go.dev/issue/67401).

//go:linkname enterBlockingCall runtime.entersyscallblock
func enterBlockingCall()

//go:linkname leaveCall runtime.exitsyscall
func leaveCall()
