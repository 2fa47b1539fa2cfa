package exchange

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/internal/loop"
)

// The scheduler's tests compare loops with a control in a process of its own, in the same
// window: on a machine that others use too, only the difference says something about the
// loops. The control sleeps, and between works as much as a loop does, since the kernel is
// kinder to those who only sleep.

const windowLength = 250 * time.Millisecond

// reading is what a child saw in a window of the wall clock.
type reading struct {
	index   int64
	n       int
	latency time.Duration // worst
	late    time.Duration // worst oversleep of 1 ms
}

// TestChild is not a test but what the children run.
func TestChild(t *testing.T) {
	spec := os.Getenv("STACK_TEST_CHILD")
	if spec == "" {
		t.Skip("runs only as a child of the scheduler's tests")
	}
	var addr string
	var conns, rate, ms int
	if _, err := fmt.Sscan(spec, &addr, &conns, &rate, &ms); err != nil {
		t.Fatal(err)
	}
	out := make(map[int64]*reading)
	var mu sync.Mutex
	note := func(f func(*reading)) {
		mu.Lock()
		defer mu.Unlock()
		i := time.Now().UnixNano() / int64(windowLength)
		if out[i] == nil {
			out[i] = &reading{index: i}
		}
		f(out[i])
	}
	end := time.Now().Add(time.Duration(ms) * time.Millisecond)
	burn := time.Duration(0)
	if conns == 0 {
		burn = 300 * time.Microsecond
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for time.Now().Before(end) {
			for begun := time.Now(); time.Since(begun) < burn; {
			}
			begun := time.Now()
			time.Sleep(time.Millisecond)
			late := time.Since(begun) - time.Millisecond
			note(func(r *reading) { r.late = max(r.late, late) })
		}
	})
	for range conns {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			br := bufio.NewReader(c)
			every := time.Second * time.Duration(conns) / time.Duration(rate)
			for next := time.Now(); time.Now().Before(end); {
				if d := time.Until(next); d > 0 {
					time.Sleep(d)
				}
				next = next.Add(every)
				if behind := time.Since(next); behind > 100*time.Millisecond {
					next = time.Now() // what a stall cost is not made up for by a burst
				}
				sent := time.Now()
				if keepAliveGet(t, c, br); t.Failed() {
					return
				}
				took := time.Since(sent)
				note(func(r *reading) { r.n++; r.latency = max(r.latency, took) })
			}
		})
	}
	wg.Wait()
	for _, r := range out {
		fmt.Printf("window %d %d %d %d\n", r.index, r.n, r.latency, r.late)
	}
}

// child starts a process that asks addr over conns connections at a rate (0 connections:
// the control); the result waits for its end.
func child(t *testing.T, addr string, conns, rate int, run time.Duration) func() map[int64]reading {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("STACK_TEST_CHILD=%s %d %d %d", addr, conns, rate, run.Milliseconds()))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() map[int64]reading {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("child: %v\n%s", err, out.String())
		}
		seen := make(map[int64]reading)
		for line := range strings.Lines(out.String()) {
			var r reading
			if _, err := fmt.Sscanf(line, "window %d %d %d %d", &r.index, &r.n, &r.latency, &r.late); err == nil {
				seen[r.index] = r
			}
		}
		return seen
	}
}

// probe is a timer of a loop that is due every millisecond: how late it is called is how
// long the loop was away, or busy with something else.
type probe struct {
	l     *loop.Loop
	timer loop.Timer
	due   time.Time
	worst map[int64]time.Duration // by window
}

func (p *probe) Expired(*loop.Timer) {
	now := time.Now()
	i := now.UnixNano() / int64(windowLength)
	p.worst[i] = max(p.worst[i], now.Sub(p.due))
	p.arm()
}

func (p *probe) arm() {
	p.due = p.l.Now().Add(2 * time.Millisecond) // a timer is rounded up to the next tick
	p.l.Arm(&p.timer, p, time.Millisecond)
}

// probes starts one on each loop; stop returns the worst delay of each window.
func probes(s *Set) (stop func() map[int64]time.Duration) {
	list := make([]*probe, len(s.workers))
	s.each(func(w *Worker) {
		list[w.index] = &probe{l: w.l, worst: map[int64]time.Duration{}}
		list[w.index].arm()
	})
	return func() map[int64]time.Duration {
		all := map[int64]time.Duration{}
		s.each(func(w *Worker) { w.l.Drop(&list[w.index].timer) })
		for _, p := range list {
			for i, d := range p.worst {
				all[i] = max(all[i], d)
			}
		}
		return all
	}
}

// excess returns, in order, by how much the loops were later than the control, window by
// window but for those in which the children begin and end. A stall may be noticed in the
// window after it, so the neighbours count too.
func excess(loops map[int64]time.Duration, control map[int64]reading) (over []time.Duration) {
	indexes := slices.Sorted(maps.Keys(control))
	if len(indexes) < 4 {
		return nil
	}
	first, last := indexes[1], indexes[len(indexes)-2]
	for i, d := range loops {
		if _, there := control[i]; there && i > first && i < last {
			over = append(over, d-max(control[i-1].late, control[i].late, control[i+1].late))
		}
	}
	slices.Sort(over)
	return over
}

// spin keeps goroutines busy until stop is called.
func spin(n int) (stop func()) {
	var done atomic.Bool
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for x := uint64(1); !done.Load(); {
				for range 1000 {
					x = x*6364136223846793005 + 1
				}
			}
		})
	}
	return func() { done.Store(true); wg.Wait() }
}

// ballast is a heap of n small linked objects, which a collection has to walk.
type ballast struct {
	next *ballast
	pad  [6]uint64
}

func heap(n int) *ballast {
	var list *ballast
	for range n {
		list = &ballast{next: list}
	}
	return list
}

// Forced garbage collections over a large heap, and as many busy goroutines as there may be
// (handshakes and other work off the loops are bounded by the number of loops), do not stall loops that serve 10,000 requests a second by more than 50 ms beyond what
// the machine does to a sleeping process.
func TestNoStallsUnderTheScheduler(t *testing.T) {
	if raceDetector {
		t.Skip("measures time, which the race detector distorts")
	}
	run, rate := 4*time.Second, 10_000
	if !testing.Short() {
		run = 30 * time.Second
	}
	const loops = 2
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(loops + 2)) // as the roles run
	r := newRig(t, loops, &Frontend{Handler: hello("hi")})
	r.logs.off.Store(true)
	for _, c := range []struct {
		name string
		with func() (stop func())
	}{
		{"alone", func() func() { return func() {} }},
		{"collections", func() func() {
			list := heap(2_000_000) // 112 MiB
			var done atomic.Bool
			var wg sync.WaitGroup
			wg.Go(func() {
				for !done.Load() {
					runtime.GC()
				}
			})
			return func() { done.Store(true); wg.Wait(); runtime.KeepAlive(list) }
		}},
		{"busy goroutines", func() func() { return spin(loops) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			stop := c.with()
			defer stop()
			told := 0
			for range 4 {
				over, served := stalls(t, r, rate, run)
				if served < 0.7*float64(rate) {
					continue // the machine has no room for the load; this says nothing
				}
				told++
				worst := over[len(over)-1]
				if testing.Short() { // beside other tests one window may be theirs
					worst = over[len(over)*9/10]
				}
				if worst <= 50*time.Millisecond {
					return
				}
			}
			if told == 0 {
				t.Skipf("the machine is too busy for %d requests/s", rate)
			}
			t.Fatalf("stalls of more than 50 ms beyond the control, in each of %d runs", told)
		})
	}
}

// stalls returns, in order, the longest stall of the loops in each window beyond the
// control's, and the requests per second that were served.
func stalls(t *testing.T, r *rig, rate int, run time.Duration) (over []time.Duration, served float64) {
	control := child(t, "none", 0, 1, run+2*windowLength)
	client := child(t, r.addr, 20, rate, run)
	ended := probes(r.set)
	seen := client()
	over = excess(ended(), control())
	n := 0
	for _, r := range seen {
		n += r.n
	}
	if len(over) < 8 || n == 0 {
		t.Fatalf("%d windows, %d requests", len(over), n)
	}
	served = float64(n) / run.Seconds()
	t.Logf("%.0f requests/s; longest stalls of the loops beyond the control's: median %v, 90 %% %v, worst %v, of %d windows",
		served, over[len(over)/2], over[len(over)*9/10], over[len(over)-1], len(over))
	return over, served
}
