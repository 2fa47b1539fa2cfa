package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"stack/appliance/config"
)

// mode says what apply may assume and must replace.
type mode int

const (
	modeStart   mode = iota // nothing runs; each role serves before the next starts
	modeReload              // children stay where they can
	modeUpgrade             // every role gets a new generation of this binary
)

// change is what apply does to one slot.
type change struct {
	slot  *slot
	node  *config.Node
	child *child // prepared: a new process, or the one that serves
	fresh bool
}

// reload loads the config again and makes it serve everywhere, or nowhere.
func (s *supervisor) reload(ctx context.Context) error {
	ctx, cancel := s.untilStop(ctx)
	defer cancel()
	return s.exclusive(ctx, func() error {
		s.tell(s.notify.reloading("reloading"))
		nodes, err := s.opt.Load()
		if err == nil {
			err = s.apply(ctx, nodes, modeReload)
		}
		for _, n := range s.nodeList() {
			n.setReload(err)
		}
		text := s.summary()
		if err != nil {
			s.log.Error("reload failed, the old config keeps serving", "error", err)
			text = "reload failed, the old config keeps serving: " + err.Error()
		} else {
			s.log.Info("reloaded", "nodes", text)
		}
		s.tell(s.notify.ready(text))
		return err
	})
}

// untilStop ends ctx when the stop begins too.
func (s *supervisor) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	end := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { end(); cancel() }
}

// apply makes nodes the config that serves: sockets, then every role prepares, then all
// commit; on an error all abort and nothing has changed. The caller is exclusive.
func (s *supervisor) apply(ctx context.Context, nodes []*config.Node, m mode) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not done: %w", err) // the stop may have had its turn before us
	}
	if err := s.check(nodes); err != nil {
		return err
	}
	mark := s.reg.Mark()
	if err := s.openSockets(nodes); err != nil {
		s.reg.Revert(mark)
		return err
	}
	all, undo := s.nodesFor(nodes)
	give, err := s.takeAll(ctx, all)
	if err != nil {
		undo()
		s.reg.Revert(mark)
		return err
	}
	defer give()
	if m == modeStart {
		s.install(all, nodes)
		for _, n := range all {
			if err := s.serveAdmin(n); err != nil {
				return err
			}
		}
	}
	changes, err := s.prepareAll(ctx, all, nodes, m)
	if err != nil {
		s.abortAll(changes)
		if m != modeStart { // the stop that follows ends what has started
			undo()
			s.reg.Revert(mark)
		}
		return err
	}
	removed := s.removedSlots(all, nodes)
	old := s.nodeList()
	s.install(all, nodes)
	s.commitAll(changes, m)
	for _, sl := range removed {
		sl.remove()
	}
	var late error
	if m == modeUpgrade {
		late = s.handOver(ctx, all, nodes)
	}
	for _, n := range old {
		if !slices.Contains(all, n) {
			n.leaveAdmin()
		}
	}
	for _, n := range all {
		if err := s.serveAdmin(n); err != nil {
			late = errors.Join(late, err)
		}
		for _, sl := range n.slotList() {
			sl.hurry()
		}
	}
	s.closeLater()
	return late
}

// check refuses configs that no role could serve.
func (s *supervisor) check(nodes []*config.Node) error {
	if len(nodes) == 0 {
		return errors.New("the config gives this process no node to run; name one with --node")
	}
	seen := map[string]bool{}
	for _, n := range nodes {
		if seen[n.Name] {
			return fmt.Errorf("two nodes are named %q; names must differ", n.Name)
		}
		seen[n.Name] = true
		for _, r := range n.Roles {
			if !slices.ContainsFunc(s.opt.Specs, func(sp Spec) bool { return sp.Name == r }) {
				return fmt.Errorf("node %s: role %q is not available in this version", n.Name, r)
			}
		}
	}
	return nil
}

func (s *supervisor) openSockets(nodes []*config.Node) error {
	if err := s.reg.Open(allBinds(nodes)); err != nil {
		return err
	}
	for _, p := range s.unixPaths(nodes) {
		if err := s.reg.OpenUnix(p); err != nil {
			return err
		}
	}
	return nil
}

// takeAll takes the turn of every slot, of nodes and of those that run.
func (s *supervisor) takeAll(ctx context.Context, nodes []*Node) (give func(), err error) {
	slots := s.slots()
	for _, n := range nodes {
		for _, sl := range n.slotList() {
			if !slices.Contains(slots, sl) {
				slots = append(slots, sl)
			}
		}
	}
	taken := 0
	give = func() {
		for _, sl := range slots[:taken] {
			sl.give()
		}
	}
	for _, sl := range slots {
		if err := sl.take(ctx); err != nil {
			give()
			return nil, fmt.Errorf("not done: %w", err)
		}
		taken++
	}
	return give, nil
}

// nodesFor returns a Node per config, those that run already and new ones, with a slot
// for every role that it needs now or has. undo takes the new slots away again.
func (s *supervisor) nodesFor(nodes []*config.Node) (all []*Node, undo func()) {
	have := s.nodeList()
	before := map[*Node][]*slot{}
	undo = func() {
		for n, slots := range before {
			n.mu.Lock()
			n.slots = slots
			n.mu.Unlock()
		}
	}
	var out []*Node
	for _, cfg := range nodes {
		i := slices.IndexFunc(have, func(n *Node) bool { return n.name == cfg.Name })
		var n *Node
		if i >= 0 {
			n = have[i]
		} else {
			n = &Node{sup: s, name: cfg.Name, cfg: cfg, reloaded: time.Now()}
		}
		var slots []*slot
		for i := range s.opt.Specs {
			spec := &s.opt.Specs[i]
			if sl := n.find(spec.Name); sl != nil {
				slots = append(slots, sl)
			} else if spec.needed(cfg) {
				slots = append(slots, newSlot(n, spec))
			}
		}
		before[n] = n.slotList()
		n.mu.Lock()
		n.slots = slots
		n.mu.Unlock()
		out = append(out, n)
	}
	return out, undo
}

func (n *Node) find(role string) *slot {
	for _, sl := range n.slotList() {
		if sl.spec.Name == role {
			return sl
		}
	}
	return nil
}

// prepareAll prepares every role, in the order of Specs and all nodes of one role at
// once. At the start each role commits before the next begins. What it returns has to be
// committed or aborted.
func (s *supervisor) prepareAll(ctx context.Context, all []*Node, nodes []*config.Node, m mode) ([]change, error) {
	var done []change
	for i := range s.opt.Specs {
		spec := &s.opt.Specs[i]
		var wg sync.WaitGroup
		var mu sync.Mutex
		var errs []error
		var stage []change
		for j, n := range all {
			sl := n.find(spec.Name)
			if sl == nil || !spec.needed(nodes[j]) || (m == modeUpgrade && spec.Exclusive && sl.serving() != nil) {
				continue
			}
			wg.Go(func() {
				c, err := s.prepareOne(ctx, change{slot: sl, node: nodes[j]}, m)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, err)
				} else if c.child != nil {
					stage = append(stage, c)
				}
			})
		}
		wg.Wait()
		done = append(done, stage...)
		if len(errs) > 0 {
			return done, errors.Join(errs...)
		}
		if m == modeStart {
			s.commitAll(stage, m)
			done = nil
		}
	}
	return done, nil
}

// prepareOne prepares one role: in its process where it may stay, else in a new one
// beside it. A role that is down between two restarts is left to its restart, which
// takes the new config.
func (s *supervisor) prepareOne(ctx context.Context, c change, m mode) (change, error) {
	current := c.slot.serving()
	c.slot.mu.Lock()
	waiting := c.slot.restarting
	c.slot.mu.Unlock()
	var err error
	switch {
	case current == nil && waiting:
		return change{}, nil
	case current == nil, m == modeUpgrade, c.slot.spec.process(c.node).MaxProcs != current.procs && !c.slot.spec.Exclusive:
		c.child, err = c.slot.fresh(ctx, c.node)
		c.fresh = true
		return c, err
	}
	err = current.prepare(ctx, s.reg, c.node, startTimeout(c.node))
	if errors.Is(err, errGone) || (err != nil && current.gone()) {
		return change{}, nil // it has just crashed: its restart takes the new config
	}
	if err != nil {
		// It may have prepared after we stopped waiting.
		current.abort(context.Background(), c.slot.node.Config())
		return change{}, fmt.Errorf("role %s of %s: %w", c.slot.spec.Name, c.node.Name, err)
	}
	c.child = current
	return c, nil
}

func (s *supervisor) abortAll(changes []change) {
	for _, c := range changes {
		if c.fresh {
			c.child.retired.Store(true)
			c.child.kill()
			continue
		}
		c.child.abort(context.Background(), c.slot.node.Config())
	}
}

// commitAll cannot fail: a child that ends now is restarted with the new config.
func (s *supervisor) commitAll(changes []change, m mode) {
	var wg sync.WaitGroup
	for _, c := range changes {
		wg.Go(func() {
			if err := c.child.commit(context.Background(), c.node, c.slot.spec.process(c.node).Drain); err != nil {
				s.log.Error("role is restarted: it did not take the config", "node", c.node.Name, "role", c.slot.spec.Name, "error", err)
				c.child.proc.Kill()
			}
			s.lookOnce(c.child)
			if c.fresh {
				c.slot.promote(c.child)
				s.log.Info("role started", "node", c.node.Name, "role", c.slot.spec.Name, "pid", c.child.pid, "generation", c.child.gen)
			}
		})
	}
	wg.Wait()
}

// install makes nodes the configs that count.
func (s *supervisor) install(all []*Node, nodes []*config.Node) {
	for i, n := range all {
		n.mu.Lock()
		if n.cfg != nodes[i] {
			n.reloaded = time.Now()
		}
		n.cfg = nodes[i]
		n.mu.Unlock()
	}
	s.mu.Lock()
	s.nodes = all
	s.mu.Unlock()
	if err := s.log.SetLevel(nodes[0].Log.Level); err != nil {
		s.log.Error("log level unchanged", "error", err)
	}
}

// closeLater closes the sockets that the config no longer names, after the children
// have let go of theirs: until then a config that names them again finds them open.
func (s *supervisor) closeLater() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closer != nil {
		s.closer.Stop()
	}
	s.closer = time.AfterFunc(socketLinger+socketLinger/2, func() {
		_ = s.exclusive(s.ctx, func() error {
			nodes := s.configs()
			s.reg.Keep(allBinds(nodes), s.unixPaths(nodes))
			return nil
		})
	})
}
