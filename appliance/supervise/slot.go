package supervise

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// maxOld is how many old generations of a role live beside the one that serves.
const maxOld = 3

// slot is the place of one role in one node: the child that serves, the old
// generations that drain, and the counters of those that have ended.
type slot struct {
	sup  *supervisor
	node *Node
	spec *Spec

	// turn has room for one: who changes children holds it (a restart, or a reload or
	// upgrade that holds those of all slots).
	turn chan struct{}
	kick chan struct{} // wakes a restart that waits

	mu         sync.Mutex
	current    *child
	old        []*child
	gen        int
	restarts   int
	base       *totals
	down       string // why nothing serves
	delay      time.Duration
	restarting bool
	removed    bool
}

func newSlot(n *Node, spec *Spec) *slot {
	return &slot{sup: n.sup, node: n, spec: spec, turn: make(chan struct{}, 1), kick: make(chan struct{}, 1), base: newTotals()}
}

// take waits for the slot's turn.
func (s *slot) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slot) give() { <-s.turn }

func (s *slot) serving() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *slot) living() []*child {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append([]*child(nil), s.old...)
	if s.current != nil {
		all = append(all, s.current)
	}
	return all
}

// fresh starts a process of the next generation and lets it prepare node; it does not
// serve yet. The caller has the turn.
func (s *slot) fresh(ctx context.Context, node *config.Node) (*child, error) {
	s.mu.Lock()
	s.gen++
	gen, beside := s.gen, s.current != nil
	s.mu.Unlock()
	c, err := start(launch{spec: s.spec, node: node, gen: gen, beside: beside, environ: s.sup.opt.Environ, output: s.sup.opt.Output, log: s.sup.log})
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, s.sup.reg, node, startTimeout(node)); err != nil {
		c.kill()
		return nil, fmt.Errorf("role %s of %s did not start: %w", s.spec.Name, node.Name, err)
	}
	return c, nil
}

// promote makes a committed child the one that serves, and the one before it drain.
func (s *slot) promote(c *child) {
	s.mu.Lock()
	before := s.current
	s.current = c
	if before != nil {
		s.old = append(s.old, before) // in the same step: the counters and a stop count every child
	}
	s.down = ""
	s.mu.Unlock()
	switch {
	case before != nil:
		s.retire(before, c)
	case c.beside: // the one before has died meanwhile
		if passage := s.passage(c); passage != nil {
			passage.Close()
		}
	}
	go s.watch(c)
}

// passage opens one to next, nil if that fails.
func (s *slot) passage(next *child) *sockets.Passage {
	a, b, err := sockets.NewPassage()
	if err != nil {
		return nil
	}
	defer b.Close()
	if next.ch.tell(kindAdopt, nil, b.FD()) != nil {
		a.Close()
		return nil
	}
	return a
}

// retire lets a child drain beside its successor, which may be nil.
func (s *slot) retire(c, next *child) {
	limit := c.limit
	var passage *sockets.Passage
	if next != nil {
		if passage = s.passage(next); passage != nil {
			defer passage.Close()
		}
	}
	s.mu.Lock()
	c.retire = time.Now().Add(limit)
	if s.current == c {
		s.current = nil
		s.old = append(s.old, c)
	}
	tooMany := len(s.old) - maxOld
	var oldest *child
	if tooMany > 0 {
		oldest = s.old[0]
	}
	s.mu.Unlock()
	c.drain(limit, passage)
	go s.expire(c)
	if oldest != nil {
		s.sup.log.Warn("too many old generations: the oldest is closed", "node", s.node.name, "role", s.spec.Name, "pid", oldest.pid)
		go oldest.end()
	}
}

// expire ends an old generation when its time is over.
func (s *slot) expire(c *child) {
	ctx, cancel := context.WithDeadline(context.Background(), c.retire.Add(time.Second))
	defer cancel()
	c.finish(ctx)
}

// watch follows a child until it ends: its Alive and Status, its counters.
func (s *slot) watch(c *child) {
	t := s.sup.opt.Timing
	tick := time.NewTicker(t.Ping)
	defer tick.Stop()
	scraped := time.Now()
	go func() { // a look may be waiting for its answer
		<-c.dead
		s.node.tellRoles()
	}()
	for {
		s.node.tellRoles()
		select {
		case <-c.dead:
			<-c.exited
			s.ended(c)
			return
		case <-tick.C:
		case <-c.wake:
		}
		if !c.retired.Load() {
			c.look(context.Background(), t.Answer, t.Watchdog)
			if _, wrong := c.health(t.Watchdog); wrong != "" && !c.gone() && !c.retired.Load() {
				s.unwedge(c, wrong)
			}
		}
		if time.Since(scraped) >= t.Scrape {
			scraped = time.Now()
			go func() { // the looks go on meanwhile
				ctx, cancel := context.WithTimeout(context.Background(), t.Watchdog)
				defer cancel()
				c.scrape(ctx)
			}()
		}
	}
}

// unwedge ends a child that makes no progress, after it has told where it stands:
// SIGQUIT makes the Go runtime print every goroutine to standard error, which is logged.
func (s *slot) unwedge(c *child, wrong string) {
	s.sup.log.Error("watchdog: the role is restarted; where it stood follows", "node", s.node.name, "role", s.spec.Name, "pid", c.pid, "reason", wrong)
	c.proc.Signal(syscall.SIGQUIT)
	select {
	case <-c.exited:
	case <-time.After(2 * time.Second):
		c.kill()
	}
}

// ended takes the counters of a child that is no more, and restarts the role if it was
// the one that served.
func (s *slot) ended(c *child) {
	s.mu.Lock()
	s.base.add(c.reported(), false)
	crashed := s.current == c
	if crashed {
		s.current = nil
	} else {
		for i := range s.old {
			if s.old[i] == c {
				s.old = append(s.old[:i:i], s.old[i+1:]...)
				break
			}
		}
	}
	again := crashed && !c.retired.Load() && !s.removed
	if again {
		s.down = "it ended: " + c.exit
		if time.Since(c.started) >= s.sup.opt.Timing.Healthy {
			s.delay = 0
		}
	}
	s.mu.Unlock()
	if again && s.sup.ctx.Err() == nil {
		s.sup.log.Error("role ended by itself and is restarted", "node", s.node.name, "role", s.spec.Name, "pid", c.pid, "reason", c.exit)
		s.restart()
	}
}

// restart starts the role again, at once at first, then after 100 ms doubling to 5 s.
func (s *slot) restart() {
	s.mu.Lock()
	if s.restarting || s.removed {
		s.mu.Unlock()
		return
	}
	s.restarting = true
	s.mu.Unlock()
	s.sup.tasks.Add(1)
	go func() {
		defer s.sup.tasks.Done()
		defer func() {
			s.mu.Lock()
			s.restarting = false
			s.mu.Unlock()
		}()
		for s.sup.ctx.Err() == nil && !s.again() {
		}
	}()
}

// again waits for its time, tries once to start the role, and says whether it is done.
func (s *slot) again() bool {
	ctx := s.sup.ctx
	t := s.sup.opt.Timing
	s.mu.Lock()
	delay := s.delay
	s.delay = min(max(2*delay, t.BackoffMin), t.BackoffMax)
	s.mu.Unlock()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.kick:
	case <-ctx.Done():
		return true
	}
	if s.take(ctx) != nil {
		return true
	}
	defer s.give()
	s.mu.Lock()
	needless := s.current != nil || s.removed
	s.mu.Unlock()
	if needless {
		return true
	}
	node := s.node.Config()
	c, err := s.fresh(ctx, node)
	if err == nil {
		if err = c.commit(ctx, node, s.spec.process(node).Drain); err != nil {
			c.kill()
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return true
		}
		s.mu.Lock()
		s.down = err.Error()
		s.mu.Unlock()
		s.sup.log.Error("role does not start and is tried again", "node", node.Name, "role", s.spec.Name, "error", err)
		return false
	}
	s.mu.Lock()
	s.restarts++
	s.mu.Unlock()
	s.sup.lookOnce(c)
	s.promote(c)
	s.sup.log.Info("role restarted", "node", node.Name, "role", s.spec.Name, "pid", c.pid, "generation", c.gen)
	return true
}

// hurry lets a restart that waits try now: the config has changed.
func (s *slot) hurry() {
	s.mu.Lock()
	s.delay = 0
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// scrape asks all living generations for their counters.
func (s *slot) scrape(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range s.living() {
		wg.Go(func() { c.scrape(ctx) })
	}
	wg.Wait()
}

// total adds up the counters of all generations, ended ones included.
func (s *slot) total() *totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := newTotals()
	t.add(s.base.list(), false)
	for _, c := range s.old {
		t.add(c.reported(), false)
	}
	if s.current != nil {
		t.add(s.current.reported(), true)
	}
	return t
}

// own returns what the supervisor alone knows of the role; extra is sorted by name.
func (s *slot) own(extra []*dto.LabelPair) []*dto.MetricFamily {
	s.mu.Lock()
	gen, old := s.gen, len(s.old)
	up := 0.0
	if s.current != nil {
		up = 1
	}
	s.mu.Unlock()
	gauge := func(name, help string, v float64) *dto.MetricFamily {
		return &dto.MetricFamily{Name: proto.String(name), Help: proto.String(help), Type: dto.MetricType_GAUGE.Enum(),
			Metric: []*dto.Metric{{Label: extra, Gauge: &dto.Gauge{Value: proto.Float64(v)}}}}
	}
	return []*dto.MetricFamily{
		gauge("stack_role_up", "Whether a process of the role serves.", up),
		gauge("stack_role_generation", "Generation of the role; grows with each upgrade and restart.", float64(gen)),
		gauge("stack_role_draining", "Old generations that still drain.", float64(old)),
	}
}

// status describes the slot for people.
func (s *slot) status() RoleStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := RoleStatus{Role: s.spec.Name, Generation: s.gen, Restarts: s.restarts, Draining: []int{}}
	for _, c := range s.old {
		st.Draining = append(st.Draining, c.pid)
	}
	c := s.current
	if c == nil {
		st.Text = "down"
		if s.down != "" {
			st.Text = "down: " + s.down
		}
		return st
	}
	p, wrong := c.health(s.sup.opt.Timing.Watchdog)
	st.Pid, st.Generation, st.Since = c.pid, c.gen, c.started
	st.Ready, st.Text, st.Detail = p.Ready, p.Text, p.Detail
	if p.Alive != "" {
		wrong = p.Alive
	}
	if wrong != "" {
		st.Ready, st.Text = false, wrong
	}
	return st
}
