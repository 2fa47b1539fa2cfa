package main

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bulkConns = 16
	bulkPiece = 1 << 20
)

// takeBulk reads large bodies and counts GiB. The kernel drops the bytes of a TCP socket
// uncopied where MSG_TRUNC asks for it (tcp(7)), so the load costs little beside what
// is measured.
func takeBulk(address string, d time.Duration) (outcome, error) {
	return takeBodies(address, d, bulkConns)
}

// takeOneBulk is the same over one connection at a time.
func takeOneBulk(address string, d time.Duration) (outcome, error) { return takeBodies(address, d, 1) }

func takeBodies(address string, d time.Duration, conns int) (o outcome, err error) {
	var bytes atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	began := time.Now()
	for range conns {
		all.Go(func() {
			for time.Since(began) < d && failed.Load() == nil {
				if err := takeBody(address, began.Add(d), &bytes); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return o, *err
	}
	return outcome{Count: float64(bytes.Load()) / (1 << 30), Took: time.Since(began)}, nil
}

// takeBody reads one body, or what comes of it until the deadline.
func takeBody(address string, deadline time.Time, sum *atomic.Int64) error {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET /64m.bin HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	piece := make([]byte, bulkPiece)
	body := int64(0)
	for time.Now().Before(deadline) {
		n, err := drop(raw, piece)
		if err != nil {
			return err
		}
		if n == 0 {
			if body < int64(files["64m.bin"]) {
				return fmt.Errorf("%s ended a body after %d bytes", address, body)
			}
			return nil
		}
		body += int64(n)
		sum.Add(int64(n))
	}
	return nil
}

// drop waits for bytes and has the kernel forget them.
func drop(raw syscall.RawConn, piece []byte) (n int, err error) {
	waited := raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), piece, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN
	})
	if waited != nil {
		return 0, waited
	}
	return n, err
}
