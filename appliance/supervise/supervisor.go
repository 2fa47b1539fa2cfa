package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"stack/appliance/config"
	"stack/appliance/logs"
	"stack/appliance/sockets"
)

// Options are what a supervisor is made from.
type Options struct {
	// Specs are the roles of this binary in the order of their start; they stop in the
	// reverse order.
	Specs []Spec
	// Load reads the config again: one Node per node to run, in a stable order. It is
	// called at the start, at each reload and after an upgrade.
	Load    func() ([]*config.Node, error)
	Version string
	Args    []string  // of this process, program name first; an upgrade runs them again
	Program string    // path an upgrade executes; empty resolves Args[0] at the start
	Environ []string  // of this process
	Output  *os.File  // where the log goes, usually os.Stderr
	Admin   AdminFunc // serves each node's control interface; nil for none
	Timing  Timing
}

// Timing holds the supervisor's periods; the zero value of each takes its default.
type Timing struct {
	Ping       time.Duration // between two looks at a child; 250 ms
	Answer     time.Duration // that a child may take to answer one, see silentAfter; 500 ms
	Watchdog   time.Duration // without answer or progress until a child is restarted; 5 s
	Scrape     time.Duration // between two readings of the counters; 5 s
	BackoffMin time.Duration // second delay of a restart, the first being none; 100 ms
	BackoffMax time.Duration // 5 s
	Healthy    time.Duration // uptime after which the next restart is at once; 30 s
}

func (t *Timing) defaults() {
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{
		{&t.Ping, 250 * time.Millisecond}, {&t.Answer, 500 * time.Millisecond}, {&t.Watchdog, 5 * time.Second}, {&t.Scrape, 5 * time.Second},
		{&t.BackoffMin, 100 * time.Millisecond}, {&t.BackoffMax, 5 * time.Second}, {&t.Healthy, 30 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.is
		}
	}
}

// reportEvery is how often STATUS= of systemd may change.
const reportEvery = time.Second

// handled are the signals that Run acts on: SIGTERM and SIGINT stop (the second one ends at
// once), SIGHUP reloads, SIGUSR2 upgrades.
var handled = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2}

// supervisor is the state of Run.
type supervisor struct {
	opt    Options
	log    *logs.Log
	reg    *sockets.Registry
	notify *notifier
	since  time.Time
	sigs   chan os.Signal

	ctx    context.Context // ends when the stop begins
	cancel context.CancelFunc
	tasks  sync.WaitGroup // restarts, reloads, upgrades
	op     chan struct{}  // turn of reload, upgrade and stop
	stopC  chan struct{}  // a stop was asked for through the admin interface
	stops  sync.Once
	mark   atomic.Int32 // state.StopMark while an exec is near; 0 is none

	mu           sync.Mutex
	nodes        []*Node
	closer       *time.Timer // closes sockets that a reload gave up
	leaving      []*slot     // removed by a reload; their last children drain
	generation   int
	upgradeError string
}

// ErrForced says that a second signal ended the process before its roles had drained.
var ErrForced = errors.New("stopped at once by a second signal; connections were cut")

// Run runs the nodes of opt.Load until a signal or ctx ends it. It returns nil after an
// orderly stop. With a context from WithProbe it starts nothing: it checks, read-only,
// that this binary could take over the site, and returns what is wrong.
func Run(ctx context.Context, opt Options) error {
	opt.Timing.defaults()
	if opt.Output == nil {
		opt.Output = os.Stderr
	}
	if have, yes := isProbe(ctx); yes {
		return probe(opt, have)
	}
	if err := resolveProgram(&opt); err != nil {
		return err
	}
	state, err := inheritedState(opt.Environ)
	if err != nil {
		return err
	}
	opt.Environ = withoutEnv(opt.Environ, stateVariable)
	s := &supervisor{
		opt: opt, reg: sockets.NewRegistry(), notify: newNotifier(opt.Environ),
		since: time.Now(), generation: 1, sigs: make(chan os.Signal, 16), op: make(chan struct{}, 1), stopC: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer s.cancel()
	signal.Notify(s.sigs, handled...)
	defer signal.Stop(s.sigs)
	if state != nil {
		return s.runInherited(ctx, state)
	}
	return s.runFresh(ctx)
}

// runFresh starts everything from nothing.
func (s *supervisor) runFresh(ctx context.Context) error {
	nodes, err := s.opt.Load()
	if err != nil {
		return err
	}
	if err := s.openLog(nodes); err != nil {
		return err
	}
	passed, err := sockets.Activated(s.opt.Environ, os.Getpid())
	if err != nil {
		return err
	}
	s.opt.Environ = withoutEnv(s.opt.Environ, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
	if err := s.reg.Take(passed, allBinds(nodes)); err != nil {
		return err
	}
	defer s.reg.Close()
	started := make(chan error, 1)
	go func() { started <- s.exclusive(s.ctx, func() error { return s.apply(s.ctx, nodes, modeStart) }) }()
	return s.loop(ctx, started)
}

// openLog builds the log from the first node's settings.
func (s *supervisor) openLog(nodes []*config.Node) error {
	if len(nodes) == 0 {
		return errors.New("the config gives this process no node to run; name one with --node")
	}
	l, err := logs.New(logs.Options{
		Format: nodes[0].Log.Format, Level: nodes[0].Log.Level, Output: s.opt.Output, Environ: s.opt.Environ,
	})
	if err != nil {
		return err
	}
	s.log = l
	return nil
}

// loop turns signals into work until the end. started yields the result of the start.
func (s *supervisor) loop(ctx context.Context, started <-chan error) error {
	var stopped chan error
	var failure error
	stop := func() {
		if stopped != nil {
			return
		}
		stopped = make(chan error, 1)
		s.cancel()
		s.tell(s.notify.send("STOPPING=1", status("stopping")))
		go func() { stopped <- s.stop() }()
	}
	feed, endFeed := s.feeder()
	defer endFeed()
	defer s.watchStops()()
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	ended := ctx.Done()
	up := false
	var later []os.Signal
	for {
		select {
		case err := <-started:
			started = nil
			if err != nil && stopped == nil {
				failure = err
				stop()
			} else if stopped == nil {
				up = true
				s.log.Info("started", "nodes", s.summary(), "version", s.opt.Version)
				s.tell(s.notify.ready(s.summary()))
				for _, sig := range later {
					s.signal(sig, stop, false)
				}
			}
		case sig := <-s.sigs:
			if !up && stopped == nil && (sig == syscall.SIGHUP || sig == syscall.SIGUSR2) && len(later) < cap(s.sigs) {
				later = append(later, sig) // once it has started
			} else if !s.signal(sig, stop, stopped != nil) {
				s.killAll()
				return ErrForced
			}
		case <-s.stopC:
			s.stopC = nil
			stop()
		case <-ended:
			ended = nil
			stop()
		case <-report.C:
			if up && stopped == nil {
				s.tell(s.notify.update(s.summary()))
			}
		case <-feed:
			if s.allAlive() {
				s.tell(s.notify.send("WATCHDOG=1"))
			}
		case err := <-stopped:
			if failure == nil { // else the error says it all
				s.log.Info("stopped")
			}
			return errors.Join(failure, err)
		}
	}
}

// signal acts on one signal; false asks to end at once.
func (s *supervisor) signal(sig os.Signal, stop func(), stopping bool) bool {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT:
		if stopping {
			return false
		}
		s.cancel() // before anything that takes time: an upgrade looks at it last of all
		s.markStop()
		s.log.Info("stopping", "signal", sig.String())
		stop()
	case syscall.SIGHUP, syscall.SIGUSR2:
		if stopping {
			s.log.Warn("signal ignored while stopping", "signal", sig.String())
			return true
		}
		act := s.reload
		if sig == syscall.SIGUSR2 {
			act = s.upgrade
		}
		// What goes wrong is logged and shown by whoever does it.
		s.tasks.Go(func() { _ = act(s.ctx) })
	}
	return true
}

// tell logs what systemd could not be told.
func (s *supervisor) tell(err error) {
	if err != nil {
		s.log.Warn("service manager not reached", "error", err)
	}
}

// feeder ticks twice in each watchdog period of systemd.
func (s *supervisor) feeder() (<-chan time.Time, func()) {
	if s.notify.watchdog <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(s.notify.watchdog / 2)
	return t.C, t.Stop
}

// allAlive says whether every child that lives makes progress. One that has ended is
// being restarted with back-off: killing the other roles for it would not help.
func (s *supervisor) allAlive() bool {
	for _, n := range s.nodeList() {
		for _, sl := range n.slotList() {
			c := sl.serving()
			if c == nil {
				continue
			}
			if p, wrong := c.health(s.opt.Timing.Watchdog); wrong != "" || p.Alive != "" {
				return false
			}
		}
	}
	return true
}

// summary is the state of all nodes in one line.
func (s *supervisor) summary() string {
	var parts []string
	for _, n := range s.nodeList() {
		var roles []string
		for _, sl := range n.slotList() {
			st := sl.status()
			text := st.Text
			if text == "" && st.Ready {
				text = "ready"
			}
			roles = append(roles, st.Role+" "+text)
		}
		parts = append(parts, n.name+": "+strings.Join(roles, ", "))
	}
	text := strings.Join(parts, "; ")
	return text[:min(len(text), 1000)]
}

// exclusive runs f alone among reloads, upgrades and the stop.
func (s *supervisor) exclusive(ctx context.Context, f func() error) error {
	select {
	case s.op <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("not done: %w", context.Cause(ctx))
	}
	defer func() { <-s.op }()
	return f()
}

func (s *supervisor) askStop() { s.stops.Do(func() { close(s.stopC) }) }

func (s *supervisor) nodeList() []*Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nodes)
}

func (s *supervisor) several() bool { return len(s.nodeList()) > 1 }

// slots returns every slot that has children or should have.
func (s *supervisor) slots() []*slot {
	s.mu.Lock()
	s.leaving = slices.DeleteFunc(s.leaving, func(sl *slot) bool { return len(sl.living()) == 0 })
	out := slices.Clone(s.leaving)
	s.mu.Unlock()
	for _, n := range s.nodeList() {
		out = append(out, n.slotList()...)
	}
	return out
}

func (s *supervisor) facts() (since time.Time, generation int, upgradeError string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, s.generation, s.upgradeError
}

func (s *supervisor) configs() []*config.Node {
	var out []*config.Node
	for _, n := range s.nodeList() {
		out = append(out, n.Config())
	}
	return out
}

func allBinds(nodes []*config.Node) []config.Bind {
	var out []config.Bind
	for _, n := range nodes {
		out = append(out, n.Binds...)
	}
	return out
}

func startTimeout(n *config.Node) time.Duration {
	if n.Process.StartTimeout > 0 {
		return n.Process.StartTimeout
	}
	return time.Minute
}

func stopTimeout(n *config.Node) time.Duration {
	if n.Process.StopTimeout > 0 {
		return n.Process.StopTimeout
	}
	return 30 * time.Second
}
