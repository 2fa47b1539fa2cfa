package exchange

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fairness compares the p99 of small requests of other connections with and without a
// greedy one, in windows that take turns, so that what else goes on on the machine
// falls on all of them. The greedy client and its peer need processors themselves, which
// on a small machine delays the other clients too, whatever the loop does: so there is a
// second control, the same greedy connection to a server that stands apart.
type fairness struct {
	t     testing.TB
	addr  string // what is measured
	apart string // a server with loops of its own, otherwise the same
	path  string // of the small requests
	// greedy keeps one connection as busy as it can until stop is closed; it says on ready
	// when it has begun.
	greedy func(addr string, stop <-chan struct{}, ready func())
	// window is how long one side is measured at a time; rounds how many pairs there are.
	window time.Duration
	rounds int
}

const modest = 8 // connections whose p99 is measured, each a request every 2 ms

// p99 is what the modest connections see for one window.
func (f *fairness) p99() time.Duration {
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	end := time.Now().Add(f.window)
	for range modest {
		wg.Go(func() {
			c, err := net.Dial("tcp", f.addr)
			if err != nil {
				f.t.Error(err)
				return
			}
			defer c.Close()
			br := bufio.NewReader(c)
			var mine []time.Duration
			for first := true; first || time.Now().Before(end); first = false {
				sent := time.Now()
				c.SetDeadline(sent.Add(30 * time.Second))
				if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", f.path); err != nil {
					f.t.Error(err)
					return
				}
				if resp, _ := readResponse(f.t, br, "GET"); resp.StatusCode != 200 {
					f.t.Error(resp.Status)
					return
				}
				mine = append(mine, time.Since(sent))
				time.Sleep(2 * time.Millisecond)
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(all)
	if len(all) == 0 {
		f.t.Fatal("no request was answered")
	}
	return all[len(all)*99/100]
}

// with is p99 beside the greedy connection to addr.
func (f *fairness) with(addr string) time.Duration {
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		f.greedy(addr, stop, sync.OnceFunc(func() { close(ready) }))
	}()
	<-ready
	p := f.p99()
	close(stop)
	<-ended
	return p
}

// check fails if the median p99 beside the greedy connection is more than twice that of
// the controls and a turn of the loop (half a millisecond, with all that a busy machine
// does to one); it is tried again before it is a failure.
func (f *fairness) check() {
	f.t.Helper()
	const turn = 500 * time.Microsecond
	for attempt := 1; ; attempt++ {
		var alone, apart, beside []time.Duration
		for range f.rounds {
			alone = append(alone, f.p99())
			apart = append(apart, f.with(f.apart))
			beside = append(beside, f.with(f.addr))
		}
		slices.Sort(alone)
		slices.Sort(apart)
		slices.Sort(beside)
		a, o, b := alone[f.rounds/2], apart[f.rounds/2], beside[f.rounds/2]
		f.t.Logf("p99 %v alone, %v with a greedy connection elsewhere, %v beside it (medians of %d)", a, o, b, f.rounds)
		if b <= 2*max(a, o)+turn {
			return
		}
		if attempt == 4 {
			f.t.Errorf("p99 grows from %v to %v beside one greedy connection, four times in a row", max(a, o), b)
			return
		}
	}
}

// quietMachine skips what compares tails of latencies: its clients share processors, and the
// scheduler of one process, with the loops that they measure.
func quietMachine(t *testing.T) {
	t.Helper()
	if raceDetector || testing.Short() {
		t.Skip("compares tails of latencies, which needs a quiet machine: only in make test-full")
	}
}

// One connection that takes all it can get does not double the p99 of the others.
func TestOneGreedyConnectionIsNotFelt(t *testing.T) {
	quietMachine(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	answer := HandlerFunc(func(x *Exchange) {
		switch string(x.Req.Path()) {
		case "/big":
			x.Start(200)
			x.Stream(1<<40, bulk{big})
			bulk{big}.Drained(x)
		case "/up":
			x.ReadBody(reader{})
		default:
			x.Start(200)
			x.End([]byte("hi"))
		}
	})
	server := newRig(t, 1, &Frontend{Handler: answer}) // stands behind the one that is measured
	forward := func() Handler {                        // each Set has servers of its own
		pass := passTo(t, server.addr)
		return HandlerFunc(func(x *Exchange) { x.Forward(pass) })
	}
	dial := func(addr string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	until := func(stop <-chan struct{}, c net.Conn) { // a close ends what the greedy one does
		go func() { <-stop; c.Close() }()
	}
	greedy := map[string]func(addr string, stop <-chan struct{}, ready func()){
		"64 pipelined requests": func(addr string, stop <-chan struct{}, ready func()) {
			c := dial(addr)
			until(stop, c)
			batch := strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 32)
			io.WriteString(c, batch+batch)
			br := bufio.NewReaderSize(c, 64<<10)
			for n := 1; ; n++ {
				line, err := br.ReadSlice('\n')
				if err != nil {
					return
				}
				if !bytes.HasSuffix(line, []byte("hi\n")) && !bytes.HasPrefix(line, []byte("hiHTTP/")) {
					n--
					continue
				}
				ready()
				if n%32 == 0 {
					if _, err := io.WriteString(c, batch); err != nil {
						return
					}
				}
			}
		},
		"a bulk download": func(addr string, stop <-chan struct{}, ready func()) {
			c := dial(addr)
			until(stop, c)
			io.WriteString(c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
			buf := make([]byte, 256<<10)
			for {
				if _, err := c.Read(buf); err != nil {
					return
				}
				ready()
			}
		},
		"a bulk upload": func(addr string, stop <-chan struct{}, ready func()) {
			c := dial(addr)
			until(stop, c)
			io.WriteString(c, "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
			for {
				if _, err := c.Write(big); err != nil {
					return
				}
				ready()
			}
		},
	}
	rounds := 5
	if !testing.Short() {
		rounds = 15
	}
	for _, kind := range []struct {
		name    string
		handler func() Handler
	}{{"answered here", func() Handler { return answer }}, {"forwarded", forward}} {
		r, other := newRig(t, 1, &Frontend{Handler: kind.handler()}), newRig(t, 1, &Frontend{Handler: kind.handler()})
		for name, run := range greedy {
			t.Run(kind.name+", "+name, func(t *testing.T) {
				f := &fairness{t: t, addr: r.addr, apart: other.addr, path: "/", window: 150 * time.Millisecond, rounds: rounds, greedy: run}
				f.check()
			})
		}
	}
}

// bulk writes the same piece whenever it may.
type bulk struct{ p []byte }

func (bulk) Body(*Exchange, []byte, bool) {}
func (bulk) Gone(*Exchange, Cause)        {}
func (b bulk) Drained(x *Exchange) {
	for x.Write(b.p) {
	}
}
