package supervise

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// connServer serves HTTP on connections that arrive as descriptors.
type connServer struct {
	srv   *http.Server
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func newConnServer(h http.Handler) *connServer {
	s := &connServer{
		srv:   &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10},
		conns: make(chan net.Conn, 16),
		ended: make(chan struct{}),
	}
	go s.srv.Serve(s)
	return s
}

// serve takes one connection; with all places taken it closes it, and the one who asks
// gets an error at once.
func (s *connServer) serve(fds []int) {
	if len(fds) != 1 {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return
	}
	f := os.NewFile(uintptr(fds[0]), "http")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return
	}
	select {
	case s.conns <- c:
	default:
		c.Close()
	}
}

// Accept implements net.Listener.
func (s *connServer) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.ended:
		return nil, io.EOF
	}
}

// Close implements net.Listener.
func (s *connServer) Close() error {
	s.once.Do(func() { close(s.ended) })
	return nil
}

// Addr implements net.Listener.
func (s *connServer) Addr() net.Addr { return &net.UnixAddr{Name: "control", Net: "unix"} }

func (s *connServer) close() { s.srv.Close() }

// connPair returns a connection and the descriptor of its other end.
func connPair() (net.Conn, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, -1, err
	}
	f := os.NewFile(uintptr(fds[0]), "http")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		unix.Close(fds[1])
		return nil, -1, errors.Join(errors.New("connection to a role"), err)
	}
	return c, fds[1], nil
}
