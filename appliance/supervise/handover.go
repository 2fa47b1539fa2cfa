package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stack/appliance/config"
)

// removedSlots returns the slots that no node of the new config needs.
func (s *supervisor) removedSlots(all []*Node, nodes []*config.Node) []*slot {
	var out []*slot
	for _, n := range s.nodeList() {
		i := slices.Index(all, n)
		for _, sl := range n.slotList() {
			if i < 0 || !sl.spec.needed(nodes[i]) {
				out = append(out, sl)
			}
		}
	}
	return out
}

// remove lets a role that the config no longer names drain and end. An exclusive one
// has ended when remove returns, so that it can be named again at any time.
func (s *slot) remove() {
	s.mu.Lock()
	s.removed = true
	c := s.current
	s.mu.Unlock()
	n := s.node
	s.sup.log.Info("role removed by the config; it drains", "node", n.name, "role", s.spec.Name)
	if c != nil {
		s.retire(c, nil)
		if s.spec.Exclusive {
			<-c.exited
		}
	}
	n.mu.Lock()
	n.slots = slices.DeleteFunc(slices.Clone(n.slots), func(o *slot) bool { return o == s })
	n.mu.Unlock()
	s.sup.mu.Lock()
	s.sup.leaving = append(s.sup.leaving, s)
	s.sup.mu.Unlock()
}

// handOver gives the exclusive roles their new generation: the old one drains and ends
// first, while clients wait in the listener's queue.
func (s *supervisor) handOver(ctx context.Context, all []*Node, nodes []*config.Node) error {
	var errs []error
	for i := range s.opt.Specs {
		spec := &s.opt.Specs[i]
		if !spec.Exclusive {
			continue
		}
		for j, n := range all {
			sl := n.find(spec.Name)
			if sl == nil || !spec.needed(nodes[j]) {
				continue
			}
			if c := sl.serving(); c != nil && !c.fromHere {
				errs = append(errs, sl.replace(ctx, c, nodes[j]))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *slot) replace(ctx context.Context, old *child, node *config.Node) error {
	s.retire(old, nil)
	<-old.exited
	c, err := s.fresh(ctx, node)
	if err == nil {
		if err = c.commit(ctx, node, s.spec.process(node).Drain); err != nil {
			c.kill()
		}
	}
	if err != nil {
		s.mu.Lock()
		s.down = err.Error()
		s.mu.Unlock()
		s.restart()
		return fmt.Errorf("the new generation of %s of %s does not start and is tried again: %w", s.spec.Name, node.Name, err)
	}
	s.sup.lookOnce(c)
	s.promote(c)
	s.sup.log.Info("role handed over", "node", node.Name, "role", s.spec.Name, "pid", c.pid, "generation", c.gen)
	return nil
}
