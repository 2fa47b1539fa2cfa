package exchange

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/internal/loop"
)

func openFiles(t testing.TB) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// Ten thousand requests of all kinds leave no descriptor, goroutine or buffer behind.
func TestNoLeakOverTenThousandRequests(t *testing.T) {
	addr := answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	settle := func() (int, int) { runtime.GC(); return openFiles(t), runtime.NumGoroutine() }
	fds, routines := settle()
	g, err := loop.Start(2)
	if err != nil {
		t.Fatal(err)
	}
	set := NewSet(g)
	p := passTo(t, addr)
	point := set.Point("leak", &Frontend{Timeouts: testTimeouts(), Limits: testLimits(), Handler: HandlerFunc(func(x *Exchange) {
		switch string(x.Req.Path()) {
		case "/forward":
			x.Forward(p)
		case "/away":
			x.Offload(func() {}, func(x *Exchange) {
				if x != nil {
					x.Start(200)
					x.End(nil)
				}
			})
		default:
			x.Start(200)
			x.End([]byte("ok"))
		}
	})})
	fd, at := listen(t)
	if err := point.Listen([]int{fd}); err != nil {
		t.Fatal(err)
	}
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for i := range 40 {
				c, err := net.Dial("tcp", at)
				if err != nil {
					failed.Add(1)
					return
				}
				br := bufio.NewReader(c)
				for j := range 25 {
					io.WriteString(c, "GET "+[]string{"/", "/forward", "/away"}[(i+j)%3]+" HTTP/1.1\r\nHost: x\r\n\r\n")
					resp, err := http.ReadResponse(br, nil)
					if err != nil {
						failed.Add(1)
						break
					}
					io.Copy(io.Discard, resp.Body)
				}
				if i%2 == 0 { // leave in the middle of a request
					io.WriteString(c, "GET /forward HTTP/1.1\r\nHost: x\r\n\r\n")
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d requests failed", failed.Load())
	}
	// A request is counted behind its answer.
	eventually(t, "all are counted", func() bool { n := point.Counters(); return n.Requests >= 10_000 && n.Status[2] >= 10_000 })
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	g.Close()
	loop.Close(fd)
	deadline := time.Now().Add(time.Minute)
	for {
		f, n := settle()
		if f <= fds && n <= routines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("descriptors %d → %d, goroutines %d → %d", fds, f, routines, n)
		}
		runtime.Gosched()
	}
}

// The path of a forwarded request allocates nothing once its loop is warm.
func TestForwardAllocatesNothing(t *testing.T) {
	response := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	addr := origin(t, func(c net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 4096)
		for { // a head comes in one piece here
			if _, err := c.Read(buf); err != nil {
				return
			}
			c.Write(response)
		}
	})
	p := passTo(t, addr)
	p.Picker = quiet{p.Picker.(*one).srvs[0]}
	r := forwardRig(t, p)
	quietLog := *r.point.front[0]
	quietLog.Log = ignore{}
	r.set.Swap(map[*Point]*Frontend{r.point: &quietLog})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := []byte("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n")
	buf := make([]byte, 4096)
	if n := testing.AllocsPerRun(2000, func() {
		c.Write(request)
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations per request", n)
	}
}

type quiet struct{ s *Server }

func (q quiet) Pick(*Exchange, int) (*Server, error) { return q.s, nil }
func (quiet) Done(*Exchange, *Server, Outcome)       {}

type ignore struct{}

func (ignore) Log(*Record) {}
