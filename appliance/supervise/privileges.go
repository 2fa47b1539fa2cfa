package supervise

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capabilityBits are the capabilities a Spec may name (capability(7)).
var capabilityBits = map[string]uint{
	"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"CAP_NET_ADMIN":        unix.CAP_NET_ADMIN,
	"CAP_NET_RAW":          unix.CAP_NET_RAW,
	"CAP_SYS_NICE":         unix.CAP_SYS_NICE,
	"CAP_DAC_READ_SEARCH":  unix.CAP_DAC_READ_SEARCH,
}

// capabilityMask returns the bits of named capabilities.
func capabilityMask(names []string) (uint64, error) {
	var mask uint64
	for _, n := range names {
		bit, ok := capabilityBits[n]
		if !ok {
			return 0, fmt.Errorf("unknown capability %q", n)
		}
		mask |= 1 << bit
	}
	return mask, nil
}

// dropPrivileges takes every capability but those of keep from all threads: bounding,
// ambient, inheritable, permitted and effective set, and sets no_new_privs so that no
// program run later gets them back. It runs before any code of a role. Being root does
// not help afterwards: files of others stay closed, since CAP_DAC_OVERRIDE is gone.
func dropPrivileges(keep uint64) error {
	cur, err := permittedCapabilities()
	if err != nil {
		return err
	}
	if err := prctlAll(unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return dropError("no_new_privs", err)
	}
	if err := prctlAll(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return dropError("ambient set", err)
	}
	if cur&(1<<unix.CAP_SETPCAP) != 0 {
		for bit := uint(0); bit < 64; bit++ {
			if keep&(1<<bit) != 0 {
				continue
			}
			err := prctlAll(unix.PR_CAPBSET_DROP, uintptr(bit), 0)
			if errors.Is(err, unix.EINVAL) {
				break // beyond the last capability of this kernel
			}
			if err != nil {
				return dropError("bounding set", err)
			}
		}
	}
	left := cur & keep
	hdr := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := &[2]unix.CapUserData{
		{Effective: uint32(left), Permitted: uint32(left)},
		{Effective: uint32(left >> 32), Permitted: uint32(left >> 32)},
	}
	_, _, errno := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(hdr)), uintptr(unsafe.Pointer(data)), 0)
	runtime.KeepAlive(hdr)
	runtime.KeepAlive(data)
	if errno != 0 {
		return dropError("permitted set", errno)
	}
	return nil
}

func prctlAll(op int, a, b uintptr) error {
	if _, _, errno := allThreads(unix.SYS_PRCTL, uintptr(op), a, b); errno != 0 {
		return errno
	}
	return nil
}

// allThreads makes a system call on every thread of the process. A binary built with
// cgo cannot do that; only race tests are built so (raceBuild), and there the calling
// thread has to do.
func allThreads(trap, a, b, c uintptr) (uintptr, uintptr, syscall.Errno) {
	r1, r2, errno := syscall.AllThreadsSyscall6(trap, a, b, c, 0, 0, 0)
	if errno == syscall.ENOTSUP && raceBuild {
		return syscall.RawSyscall6(trap, a, b, c, 0, 0, 0)
	}
	return r1, r2, errno
}

func dropError(what string, err error) error {
	return fmt.Errorf("cannot drop capabilities (%s): %w", what, err)
}

func permittedCapabilities() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// raiseFiles raises the soft limit of open files to the hard one.
func raiseFiles() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = l.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

// raiseOOMScore adds to the process's oom_score_adj(5), at most 1000. Raising needs no
// privilege, so the order between the roles holds everywhere; the unit sets the base.
func raiseOOMScore(add int) error {
	const file = "/proc/self/oom_score_adj"
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	base, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(strconv.Itoa(min(base+add, 1000))), 0)
}
