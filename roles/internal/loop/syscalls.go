package loop

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below never wait (their descriptors are non-blocking), so they are made
// without telling the scheduler, which would cost more than the bookkeeping around
// the call. Those that may touch a disk are marked and tell it.

func epollCtl(ep, op, fd int, ev *unix.EpollEvent) syscall.Errno {
	_, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(ev)), 0, 0)
	return e
}

// setTimerSlack lets short waits of this thread end in time: the kernel's default, which 0
// restores, adds up to 50 µs to each (prctl(2), PR_SET_TIMERSLACK).
func setTimerSlack(d time.Duration) {
	syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(d), 0)
}

// pause sleeps for d, which is short: a garbage collection that begins meanwhile waits.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

func accept4(ln int, sa *unix.RawSockaddrAny) (int, syscall.Errno) {
	size := uint32(unix.SizeofSockaddrAny)
	n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(ln), uintptr(unsafe.Pointer(sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), e
}

// Recv reads from a socket. n = 0 with no error is the end; EAGAIN: nothing there. It is
// recvfrom, since read passes through the file layer first (2 to 3 % of a proxied request).
func Recv(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return 0, e
		}
		return int(n), 0
	}
}

// Peek looks at what a socket holds without taking it.
func Peek(fd int, p []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// Send writes to a socket, perhaps a part of p only.
func Send(fd int, p []byte) (int, syscall.Errno) { return send(fd, p, unix.MSG_NOSIGNAL) }

// SendMore is Send for bytes that others follow at once: they share a packet.
func SendMore(fd int, p []byte) (int, syscall.Errno) {
	return send(fd, p, unix.MSG_NOSIGNAL|unix.MSG_MORE)
}

func send(fd int, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return 0, e
		}
		return int(n), 0
	}
}

// Send2 writes a and then b in one call.
func Send2(fd int, a, b []byte) (int, syscall.Errno) {
	iov := [2]unix.Iovec{{Base: unsafe.SliceData(a), Len: uint64(len(a))}, {Base: unsafe.SliceData(b), Len: uint64(len(b))}}
	msg := unix.Msghdr{Iov: &iov[0], Iovlen: 2}
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return 0, e
		}
		return int(n), 0
	}
}

// Sendfile sends n bytes of a file from off. It may read the disk.
func Sendfile(sock, file int, off int64, n int) (int, syscall.Errno) {
	r, _, e := syscall.Syscall6(unix.SYS_SENDFILE, uintptr(sock), uintptr(file), uintptr(unsafe.Pointer(&off)), uintptr(n), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Splice moves up to n bytes between a socket and a pipe without copying.
func Splice(from, to, n int) (int, syscall.Errno) {
	r, _, e := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// ReadCached reads from a file only what the page cache holds: EAGAIN if it would have
// to wait for the disk, EOPNOTSUPP where the file system cannot tell.
func ReadCached(file int, p []byte, off int64) (int, syscall.Errno) {
	iov := unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
	n, _, e := syscall.RawSyscall6(unix.SYS_PREADV2, uintptr(file), uintptr(unsafe.Pointer(&iov)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// Shutdown ends one direction of a socket: unix.SHUT_WR, SHUT_RD or SHUT_RDWR.
func Shutdown(fd, how int) { syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0) }

// Close closes a socket.
func Close(fd int) { syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// NoDelay sends small pieces at once.
func NoDelay(fd int) {
	one := int32(1)
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&one)), 4, 0)
}

// KeepAlive has the kernel ask a peer that has said nothing for idle whether it is still there, every interval; after
// count questions without an answer the connection has failed (tcp(7)). In whole seconds. Other sockets than TCP's stay as they are.
func KeepAlive(fd int, idle, interval time.Duration, count int32) {
	one, first, next := int32(1), int32(idle/time.Second), int32(interval/time.Second)
	for _, o := range [...]struct {
		level, name uintptr
		value       *int32
	}{
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, &first},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, &next},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, &count},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, &one},
	} {
		syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), o.level, o.name, uintptr(unsafe.Pointer(o.value)), 4, 0)
	}
}

// UnsentLow has writing stop while more than n bytes wait in the kernel unsent, so that
// what is sent next can still be chosen (tcp(7), TCP_NOTSENT_LOWAT).
func UnsentLow(fd int, n int32) {
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, uintptr(unsafe.Pointer(&n)), 4, 0)
}

// SocketError returns and clears the error of a socket: how a connect ended.
func SocketError(fd int) syscall.Errno {
	var v, size int32 = 0, 4
	_, _, e := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR, uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}
	return syscall.Errno(v)
}

// LocalAddr returns the address of this end of a socket; zero for a unix socket.
func LocalAddr(fd int) netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, e := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size))); e != 0 {
		return netip.AddrPort{}
	}
	return addrOf(&sa)
}

// PeerAddr returns the address of the other end; zero for a unix socket.
func PeerAddr(fd int) netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, e := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size))); e != 0 {
		return netip.AddrPort{}
	}
	return addrOf(&sa)
}

// Address is where to connect to, in the kernel's form.
type Address struct {
	raw    unix.RawSockaddrAny
	size   uint32
	family int
}

// TCPAddress makes the address of a TCP server.
func TCPAddress(ap netip.AddrPort) (a Address) {
	ip := ap.Addr().Unmap()
	if ip.Is4() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		sa.Family, sa.Addr = unix.AF_INET, ip.As4()
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], ap.Port())
		a.size = unix.SizeofSockaddrInet4
	} else {
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&a.raw))
		sa.Family, sa.Addr = unix.AF_INET6, ip.As16()
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], ap.Port())
		a.size = unix.SizeofSockaddrInet6
	}
	a.family = int(a.raw.Addr.Family)
	return a
}

// UnixAddress makes the address of a server on a unix socket; path has 1 to 107 bytes.
func UnixAddress(path string) (a Address) {
	sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&a.raw))
	sa.Family = unix.AF_UNIX
	for i := range min(len(path), len(sa.Path)-1) {
		sa.Path[i] = int8(path[i]) // the kernel takes bytes
	}
	a.size = uint32(unsafe.Offsetof(sa.Path)) + uint32(len(path)) + 1
	a.family = unix.AF_UNIX
	return a
}

// Connect opens a non-blocking socket and begins to connect it: EINPROGRESS with a
// descriptor means that Out will tell; with any other error there is no descriptor.
func Connect(a *Address) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(a.family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	fd := int(n)
	if a.family != unix.AF_UNIX {
		NoDelay(fd)
	}
	_, _, e = syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(a.size))
	if e != 0 && e != unix.EINPROGRESS {
		Close(fd)
		return -1, e
	}
	return fd, e
}

func addrOf(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		p := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(p.Addr), binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&p.Port))[:]))
	case unix.AF_INET6:
		p := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(p.Addr).Unmap(), binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&p.Port))[:]))
	}
	return netip.AddrPort{}
}
