package loop

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func start(t testing.TB, n int) *Group {
	t.Helper()
	g, err := Start(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// on runs f on a loop and waits for it.
func on(l *Loop, f func()) {
	done := make(chan struct{})
	l.Post(func() { f(); close(done) })
	<-done
}

func TestPostKeepsOrder(t *testing.T) {
	l := start(t, 1).Loop(0)
	var got []int
	for i := range 1000 {
		l.Post(func() { got = append(got, i) })
	}
	on(l, func() {})
	if len(got) != 1000 {
		t.Fatal(len(got))
	}
	for i, v := range got {
		if i != v {
			t.Fatalf("%d at %d", v, i)
		}
	}
}

func TestPostAfterClose(t *testing.T) {
	g := start(t, 2)
	var ran atomic.Int64
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 1000 {
				if g.Loop(i % 2).Post(func() { ran.Add(1) }) {
					accepted.Add(1)
				}
			}
		})
	}
	g.Close()
	wg.Wait()
	if g.Loop(0).Post(func() {}) {
		t.Error("an ended loop took a function")
	}
	if ran.Load() != accepted.Load() {
		t.Errorf("%d functions accepted, %d run", accepted.Load(), ran.Load())
	}
}

// counter counts what reaches it.
type counter struct{ n int }

func (c *counter) Ready(Event) { c.n++ }

// A descriptor number is closed and used again within one turn, while events for its
// first owner are waiting: none may reach the second.
func TestGenerationRace(t *testing.T) {
	l := start(t, 1).Loop(0)
	for range 200 {
		on(l, func() {
			pair := func() (int, int) {
				p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
				if err != nil {
					t.Fatal(err)
				}
				return p[0], p[1]
			}
			a, b := pair()
			first, second := &counter{}, &counter{}
			tok, err := l.Add(a, first)
			if err != nil {
				t.Fatal(err)
			}
			Send(b, []byte("x"))
			// The event is fetched, as in a turn, before its owner goes away.
			n := epollWait(l.ep, &l.events, 0)
			l.Remove(tok)
			Close(a)
			c, d := pair()
			if c != a {
				t.Fatalf("descriptor %d, not %d again", c, a)
			}
			tok2, err := l.Add(c, second)
			if err != nil {
				t.Fatal(err)
			}
			if tok2.slot != tok.slot {
				t.Fatal("the slot was not used again")
			}
			for i := range n {
				ev := &l.events[i]
				if l.valid(Token{uint32(ev.Fd), uint32(ev.Pad)}) && l.slots[ev.Fd].src != &l.inbox {
					t.Error("an old event has a valid token")
				}
			}
			l.Again(tok)
			if len(l.ready) != 0 {
				t.Error("an old token was made ready")
			}
			l.Remove(tok) // must not touch the new owner
			if !l.valid(tok2) {
				t.Error("the new owner was removed")
			}
			l.Remove(tok2)
			for _, fd := range []int{b, c, d} {
				Close(fd)
			}
			if first.n+second.n != 0 {
				t.Error("called out of turn")
			}
		})
	}
}

func TestListenersShareTheLoad(t *testing.T) {
	g := start(t, 2)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	unix.SetNonblock(fd, true)
	accepted := make(chan netip.AddrPort, 100)
	var listeners [2]*Listener
	var starved atomic.Uint64
	g.Each(func(l *Loop) {
		n, err := l.Listen(fd, true, func(fd int, peer netip.AddrPort) {
			Close(fd)
			accepted <- peer
		}, &starved)
		if err != nil {
			t.Error(err)
		}
		listeners[l.index] = n
	})
	for range 50 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if peer := <-accepted; peer.String() != c.LocalAddr().String() {
			t.Errorf("%v, not %v", peer, c.LocalAddr())
		}
		c.Close()
	}
	g.Each(func(l *Loop) { listeners[l.index].Close() })
	c, err := net.Dial("tcp", ln.Addr().String()) // waits in the queue
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g.Each(func(*Loop) {})
	select {
	case <-accepted:
		t.Error("accepted after Close")
	default:
	}
}

// Without a free descriptor the listener neither spins nor gives up: it goes on when
// there is one again.
func TestListenerOutlivesALackOfDescriptors(t *testing.T) {
	l := start(t, 1).Loop(0)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unix.SetNonblock(int(f.Fd()), true)
	accepted := make(chan struct{}, 1)
	var starved atomic.Uint64
	on(l, func() {
		if _, err := l.Listen(int(f.Fd()), false, func(fd int, _ netip.AddrPort) { Close(fd); accepted <- struct{}{} }, &starved); err != nil {
			t.Error(err)
		}
	})
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	err = unix.Connect(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
	for deadline := time.Now().Add(5 * time.Second); starved.Load() == 0 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err != nil {
		t.Fatal(err)
	}
	<-accepted
	if n := starved.Load(); n == 0 || n > 100 {
		t.Errorf("starved %d times", n)
	}
}

func TestPlace(t *testing.T) {
	g := start(t, 3)
	a, b, c := g.Loop(0), g.Loop(1), g.Loop(2)
	a.AddLoad(1)
	if g.Place(a) != a { // mean 0, within 1 above it
		t.Error("moved too early")
	}
	b.AddLoad(1)
	a.AddLoad(4)
	if g.Place(a) != c { // 5 against a mean of 2
		t.Error("not moved to the least loaded")
	}
	if g.Place(b) != b {
		t.Error("moved from a loop that has few")
	}
}

func TestAliveSeesAStuckLoop(t *testing.T) {
	g := start(t, 2)
	if err := g.Alive(); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	g.Loop(1).Post(func() { <-release })
	deadline := time.Now().Add(10 * time.Second)
	for g.Alive() == nil {
		if time.Now().After(deadline) {
			t.Fatal("a stuck loop was not noticed")
		}
		runtime.Gosched()
	}
	close(release)
	on(g.Loop(1), func() {})
	if err := g.Alive(); err != nil {
		t.Error(err)
	}
}

// A garbage collection stops the world; it must not wait for loops that sleep, up to
// 250 ms each time.
func TestSleepingLoopsDoNotStallTheCollector(t *testing.T) {
	start(t, 2)
	var took []time.Duration
	for range 21 {
		begin := time.Now()
		runtime.GC()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 100*time.Millisecond {
		t.Errorf("the median collection took %v: %v", median, took)
	}
}

func TestNoLeak(t *testing.T) {
	count := func() (int, int) {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d), runtime.NumGoroutine()
	}
	fds, routines := count()
	for range 5 {
		g, err := Start(2)
		if err != nil {
			t.Fatal(err)
		}
		g.Each(func(*Loop) {})
		g.Close()
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		f, r := count()
		if f <= fds && r <= routines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("descriptors %d → %d, goroutines %d → %d", fds, f, routines, r)
		}
		runtime.Gosched()
	}
}

func TestDate(t *testing.T) {
	l := start(t, 1).Loop(0)
	on(l, func() {
		if got := string(l.Date()); got != l.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") {
			t.Error(got)
		}
	})
}

func TestStartRefusesNoLoops(t *testing.T) {
	if _, err := Start(0); err == nil {
		t.Error("accepted")
	}
}
