package supervise

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/logs"
	"stack/appliance/sockets"
)

// closeGrace is how long a child may take from "close" to its end before it is killed.
const closeGrace = 5 * time.Second

// keepDescriptors is held from the pause of the channels to an exec: what a child leaves
// behind when it ends meanwhile must stay open, or its numbers would name nothing, or
// something else, and its last word would go unread.
var keepDescriptors sync.RWMutex

// child is a process that runs a role of a node, seen from the supervisor.
type child struct {
	node, role string
	gen, pid   int
	started    time.Time
	procs      int           // MaxProcs it was started with
	fromHere   bool          // started by this binary, not carried over an exec
	beside     bool          // an older generation served when it was started
	limit      time.Duration // Process.Drain of its config

	proc   *os.Process
	ch     *channel
	life   *os.File // write end: the child is killed when it closes
	stderr *os.File
	// The numbers of the two, since os.File.Fd would make them blocking.
	lifeFD, stderrFD int
	closed           bool // the descriptors; guarded by keepDescriptors
	log              *logs.Log

	held    map[netip.AddrPort]bool // sockets it was sent; guarded by its slot's lock
	retired atomic.Bool             // drains beside a newer generation, or stops
	retire  time.Time               // when the drain must have ended; guarded by its slot's lock

	dead   chan struct{} // closed when the process has ended
	exited chan struct{} // closed when its last words were taken too
	exit   string        // why it ended, in words; set before dead is closed

	wake chan struct{} // looks at it before the next period

	mu       sync.Mutex
	ping     pingReply
	asked    time.Time // when the question of ping was sent; zero before the first answer
	missed   int       // answers in a row
	stopped  bool      // by SIGSTOP, or continued and not heard since
	answered time.Time // of the last ping
	alive    time.Time // when Alive was last nil
	scraping sync.Mutex
	families []*dto.MetricFamily
	final    bool // families are its last word
}

// attach takes the descriptors of a process that runs, new or carried over an exec.
func (c *child) attach(control, life, stderr int) {
	c.dead, c.exited, c.wake = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	c.lifeFD, c.stderrFD = life, stderr
	c.life = os.NewFile(uintptr(life), "life")
	unix.SetNonblock(stderr, true)
	c.stderr = os.NewFile(uintptr(stderr), "stderr of "+c.role)
	now := time.Now()
	c.answered, c.alive = now, now
	c.ch = newChannel(control, c.lastWord)
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		pumpStderr(c.stderr, c.log.With("node", c.node, "role", c.role, "pid", c.pid))
	}()
	go c.reap(pumped)
}

// lastWord takes the final counters that a child sends before it ends.
func (c *child) lastWord(body []byte) {
	if fams, err := decodeFamilies(body); err == nil {
		c.mu.Lock()
		c.families, c.final = fams, true
		c.mu.Unlock()
	}
}

// reap waits for the end of the process and of what it had still to say.
func (c *child) reap(pumped chan struct{}) {
	state, err := c.proc.Wait()
	switch {
	case err != nil:
		c.exit = "it ended while the supervisor was replaced"
	case state.Sys().(syscall.WaitStatus).Signaled():
		c.exit = "killed by " + unix.SignalName(state.Sys().(syscall.WaitStatus).Signal())
	default:
		c.exit = "exit status " + strconv.Itoa(state.ExitCode())
	}
	close(c.dead)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for {
		for _, end := range []<-chan struct{}{c.ch.ended(), pumped} {
			select {
			case <-end:
			case <-ctx.Done():
			}
		}
		keepDescriptors.RLock()
		if c.ch.over() || ctx.Err() != nil {
			break
		}
		keepDescriptors.RUnlock() // it was paused for an exec, which has failed
	}
	c.ch.close()
	c.stderr.Close()
	c.life.Close()
	c.closed = true
	keepDescriptors.RUnlock()
	<-pumped
	close(c.exited)
}

// gone says whether the process has ended.
func (c *child) gone() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// sendSockets passes the sockets of binds that the child does not hold yet.
func (c *child) sendSockets(reg *sockets.Registry, addrs []netip.AddrPort) error {
	var groups []socketGroup
	var fds []int
	flush := func() error {
		if len(fds) == 0 {
			return nil
		}
		err := c.ch.tell(kindSockets, groups, fds...)
		groups, fds = nil, nil
		return err
	}
	for _, a := range addrs {
		if c.held[a] {
			continue
		}
		for rest := reg.FDs(a); len(rest) > 0; {
			if len(fds) == sockets.MaxRights {
				if err := flush(); err != nil {
					return err
				}
			}
			n := min(len(rest), sockets.MaxRights-len(fds))
			groups = append(groups, socketGroup{Addr: a, N: n})
			fds = append(fds, rest[:n]...)
			rest = rest[n:]
		}
		c.held[a] = true
	}
	return flush()
}

// prepare lets the child build what node asks for.
func (c *child) prepare(ctx context.Context, reg *sockets.Registry, node *config.Node, timeout time.Duration) error {
	addrs := roleAddrs(node, c.role)
	before := make(map[netip.AddrPort]bool, len(c.held))
	for a := range c.held {
		before[a] = true
	}
	err := c.sendSockets(reg, addrs)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, timeout+sendTimeout)
		defer cancel()
		_, err = c.ch.call(ctx, kindPrepare, prepareRequest{Node: node, Addrs: addrs, Timeout: timeout})
	}
	if err != nil {
		c.held = before // the child gave the new ones back
		return c.explain(err)
	}
	return nil
}

// explain adds why the process ended, if it did.
func (c *child) explain(err error) error {
	if !errors.Is(err, errGone) {
		return err
	}
	select {
	case <-c.exited:
		return fmt.Errorf("the process ended (%s); its last words are in the log above", c.exit)
	case <-time.After(closeGrace):
		return err
	}
}

func (c *child) commit(ctx context.Context, node *config.Node, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 2*sendTimeout)
	defer cancel()
	if _, err := c.ch.call(ctx, kindCommit, nil); err != nil {
		return c.explain(err)
	}
	c.held = map[netip.AddrPort]bool{}
	for _, a := range roleAddrs(node, c.role) {
		c.held[a] = true
	}
	c.limit = limit
	return nil
}

func (c *child) abort(ctx context.Context, committed *config.Node) {
	ctx, cancel := context.WithTimeout(ctx, 2*sendTimeout)
	defer cancel()
	c.held = map[netip.AddrPort]bool{}
	for _, a := range roleAddrs(committed, c.role) {
		c.held[a] = true
	}
	if _, err := c.ch.call(ctx, kindAbort, nil); err != nil {
		c.log.Warn("abort of a reload", "node", c.node, "role", c.role, "error", err)
	}
}

// drain asks the child to end its work and then itself. passage may be nil.
func (c *child) drain(timeout time.Duration, passage *sockets.Passage) {
	c.retired.Store(true)
	var fds []int
	if passage != nil {
		fds = append(fds, passage.FD())
	}
	if err := c.ch.tell(kindDrain, drainRequest{Timeout: timeout}, fds...); err != nil && !errors.Is(err, errGone) {
		c.log.Warn("drain", "node", c.node, "role", c.role, "error", err)
	}
}

// finish waits for the end of a child that was told to drain, and ends it when ctx is
// done.
func (c *child) finish(ctx context.Context) {
	select {
	case <-c.exited:
	case <-ctx.Done():
		c.end()
	}
}

// end closes the child at once; if it does not end in time it is killed.
func (c *child) end() {
	c.retired.Store(true)
	c.ch.tell(kindClose, nil)
	select {
	case <-c.exited:
		return
	case <-time.After(closeGrace):
	}
	c.log.Warn("killed: it did not close in time", "node", c.node, "role", c.role, "pid", c.pid, "after", closeGrace.String())
	c.kill()
}

func (c *child) kill() {
	c.proc.Kill()
	<-c.exited
}

// scrape asks for metrics, one request at a time so that an older answer never
// replaces a newer one.
func (c *child) scrape(ctx context.Context) {
	c.scraping.Lock()
	defer c.scraping.Unlock()
	b, err := c.ch.call(ctx, kindMetrics, nil)
	if err != nil {
		return
	}
	fams, err := decodeFamilies(b)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.final {
		c.families = fams
	}
}

func (c *child) reported() []*dto.MetricFamily {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.families
}

// roleAddrs returns the addresses a role listens on, each once.
func roleAddrs(node *config.Node, role string) []netip.AddrPort {
	var out []netip.AddrPort
	seen := map[netip.AddrPort]bool{}
	for _, b := range node.Binds {
		if b.Role == role && !seen[b.Addr] {
			seen[b.Addr] = true
			out = append(out, b.Addr)
		}
	}
	return out
}
