package sockets

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// MaxRights is the most descriptors in one message; the kernel's own bound is 253
// (SCM_MAX_FD).
const MaxRights = 200

// SendRights sends one message with descriptors on a non-blocking Unix socket, waiting
// for room until f's write deadline.
func SendRights(f *os.File, msg []byte, fds []int) error {
	if len(fds) > MaxRights {
		return fmt.Errorf("%d descriptors in one message, at most %d", len(fds), MaxRights)
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	var serr error
	err = rc.Write(func(fd uintptr) bool {
		for {
			serr = unix.Sendmsg(int(fd), msg, oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			if !errors.Is(serr, unix.EINTR) {
				break
			}
		}
		return !errors.Is(serr, unix.EAGAIN)
	})
	if err != nil {
		return err
	}
	return serr
}

// ReceiveRights reads one message and its descriptors, which are close-on-exec and the
// caller's, waiting until f's read deadline. A message longer than buf is an error, and
// so are descriptors that did not fit; io.EOF is the end.
func ReceiveRights(f *os.File, buf []byte) (n int, fds []int, err error) {
	n, fds, err = recvRights(f, buf, MaxRights)
	if err == nil && n == 0 && len(fds) == 0 {
		return 0, nil, io.EOF
	}
	return n, fds, err
}

var errTruncated = errors.New("message is longer than its bound")

func recvRights(f *os.File, buf []byte, most int) (n int, fds []int, err error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	oob := make([]byte, unix.CmsgSpace(4*most))
	var oobn, flags int
	var rerr error
	reset := false
	err = rc.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, rerr = unix.Recvmsg(int(fd), buf, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
			// A peer that closed before it had read everything is reported once, ahead of what it
			// had sent: its last messages are still to be read.
			if errors.Is(rerr, unix.ECONNRESET) && !reset {
				reset = true
				continue
			}
			if !errors.Is(rerr, unix.EINTR) {
				break
			}
		}
		return !errors.Is(rerr, unix.EAGAIN)
	})
	if err != nil {
		return 0, nil, err
	}
	if rerr != nil {
		return 0, nil, rerr
	}
	fds = parseRights(oob[:oobn])
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 && (flags&unix.MSG_TRUNC != 0 || most > 1) {
		closeAll(fds)
		return 0, nil, errTruncated
	}
	return n, fds, nil
}

func parseRights(oob []byte) []int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range msgs {
		if got, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}
