package loop

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	echoConns = 64
	echoSize  = 200
	// echoClient makes the test binary the client of BenchmarkEcho: "ADDRESS COUNT".
	echoClient = "ECHO_CLIENT"
	// echoCore, if set, is the CPU that the client is pinned to.
	echoCore = "ECHO_CLIENT_CORE"
)

func TestMain(m *testing.M) {
	if work := os.Getenv(echoClient); work != "" {
		if err := askForEchoes(work); err != nil {
			fmt.Fprintln(os.Stderr, "echo client:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// BenchmarkEcho is one loop that sends back what 64 connections of another process
// send, with the processors that Start gives it and with none to spare. cpu-ns/op is
// user and system time of this process.
func BenchmarkEcho(b *testing.B) {
	for _, c := range []struct {
		name  string
		spare int
	}{{"procs=loops+2", 2}, {"procs=loops", 0}} {
		b.Run(c.name, func(b *testing.B) {
			procs := runtime.GOMAXPROCS(0)
			b.Cleanup(func() { runtime.GOMAXPROCS(procs) })
			l := start(b, 1).Loop(0)
			runtime.GOMAXPROCS(1 + c.spare)
			address := listenEcho(b, l)
			before := cpuUsed(b)
			client := echoCommand(fmt.Sprintf("%s %d", address, b.N))
			if out, err := client.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			b.ReportMetric(float64((cpuUsed(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

func echoCommand(work string) *exec.Cmd {
	command := []string{os.Args[0]}
	if core := os.Getenv(echoCore); core != "" {
		command = append([]string{"taskset", "-c", core}, command...)
	}
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), echoClient+"="+work)
	return c
}

func cpuUsed(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// echo is a connection that sends back what it reads.
type echo struct {
	fd  int
	tok Token
	l   *Loop
	buf []byte // shared by all of the loop
}

// Ready implements Source.
func (e *echo) Ready(Event) {
	n, err := Recv(e.fd, e.buf)
	switch {
	case err == unix.EAGAIN:
	case err != 0 || n == 0:
		e.l.Remove(e.tok)
		Close(e.fd)
	default:
		Send(e.fd, e.buf[:n])
	}
}

func listenEcho(b *testing.B, l *Loop) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		b.Fatal(err)
	}
	if err := unix.Listen(fd, echoConns); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096)
	var listener *Listener
	var starved atomic.Uint64
	on(l, func() {
		listener, err = l.Listen(fd, false, func(fd int, _ netip.AddrPort) {
			e := &echo{fd: fd, l: l, buf: buf}
			var failed error
			if e.tok, failed = l.Add(fd, e); failed != nil {
				Close(fd)
			}
		}, &starved)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { on(l, listener.Close) })
	return LocalAddr(fd).String()
}

// askForEchoes sends count messages, shared out over the connections.
func askForEchoes(work string) error {
	var address string
	var count int
	if _, err := fmt.Sscan(work, &address, &count); err != nil {
		return fmt.Errorf("%s=%s: %w", echoClient, strconv.Quote(work), err)
	}
	var left atomic.Int64
	left.Store(int64(count))
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range min(echoConns, count) {
		all.Go(func() {
			if err := exchangeEchoes(address, &left); err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func exchangeEchoes(address string, left *atomic.Int64) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	message := make([]byte, echoSize)
	for left.Add(-1) >= 0 {
		if _, err := c.Write(message); err != nil {
			return err
		}
		for got := 0; got < echoSize; {
			n, err := c.Read(message)
			if err != nil {
				return err
			}
			got += n
		}
	}
	return nil
}
