package loop

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a set of event loops, each on its own locked OS thread.
type Group struct {
	loops []*Loop
	start time.Time
	wg    sync.WaitGroup
	once  sync.Once
}

// Start starts n ≥ 1 loops and raises GOMAXPROCS to n+2: a loop must never wait for
// the scheduler because the slow work of goroutines holds every processor.
func Start(n int) (*Group, error) {
	if n < 1 {
		return nil, fmt.Errorf("start %d event loops: at least one is needed", n)
	}
	if runtime.GOMAXPROCS(0) < n+2 {
		runtime.GOMAXPROCS(n + 2)
	}
	g := &Group{start: time.Now()}
	for i := range n {
		l, err := newLoop(g, i)
		if err != nil {
			for _, l := range g.loops {
				unix.Close(l.ep)
				unix.Close(l.inbox.fd)
			}
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	for _, l := range g.loops {
		g.wg.Go(l.run)
	}
	return g, nil
}

func newLoop(g *Group, index int) (*Loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an event loop: %w; raise the limit of open files (LimitNOFILE)", err)
	}
	l := &Loop{index: index, group: g, ep: ep, inbox: inbox{fd: -1}}
	l.wheel.loop = l
	l.inbox.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		_, err = l.Add(l.inbox.fd, &l.inbox)
	}
	if err != nil {
		unix.Close(ep)
		if l.inbox.fd >= 0 {
			unix.Close(l.inbox.fd)
		}
		return nil, fmt.Errorf("create an event loop: %w", err)
	}
	l.now = g.start
	return l, nil
}

// Size returns the number of loops.
func (g *Group) Size() int { return len(g.loops) }

// Loop returns loop i, 0 ≤ i < Size.
func (g *Group) Loop(i int) *Loop { return g.loops[i] }

// Alive returns nil if every loop has turned within the last second. Any goroutine.
func (g *Group) Alive() error {
	for _, l := range g.loops {
		if d := time.Since(g.start) - time.Duration(l.turned.Load()); d > stuck {
			return fmt.Errorf("event loop %d has not turned for %v", l.index, d.Round(time.Millisecond))
		}
	}
	return nil
}

// Place returns where a connection that l accepted should live: on l, unless l has
// more than max(1, 5 %) connections above the mean, then on the loop with the fewest.
// The comparison comes before the connection is counted: so the loops end within one
// connection, or 10 %, of each other's mean.
func (g *Group) Place(l *Loop) *Loop {
	if len(g.loops) == 1 {
		return l
	}
	var sum int64
	least := l
	for _, o := range g.loops {
		n := o.Load()
		sum += n
		if n < least.Load() {
			least = o
		}
	}
	mean := sum / int64(len(g.loops))
	if l.Load() > mean+max(1, mean/20) {
		return least
	}
	return l
}

// Each runs f once on every loop and returns when all have. It must not be called
// from a loop. Loops that have ended are left out.
func (g *Group) Each(f func(l *Loop)) {
	var wg sync.WaitGroup
	for _, l := range g.loops {
		wg.Add(1)
		if !l.Post(func() { f(l); wg.Done() }) {
			wg.Done()
		}
	}
	wg.Wait()
}

// Close stops the loops and waits for their end; functions posted before still run.
// Not from a loop.
func (g *Group) Close() error {
	g.once.Do(func() {
		for _, l := range g.loops {
			l.Post(func() { l.stopped = true })
		}
	})
	g.wg.Wait()
	return nil
}
