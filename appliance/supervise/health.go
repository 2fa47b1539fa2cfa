package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Health is what a Watcher learns of another role of its node.
type Health struct {
	Ready    bool     `json:"ready"`
	Reason   string   `json:"reason,omitempty"`   // why it is not ready, one of the Reason constants
	Impaired []string `json:"impaired,omitempty"` // Status.Impaired
}

// The reasons of Health.
const (
	ReasonEnded    = "ended"                // its process has; it is being restarted
	ReasonStopped  = "stopped by a signal"  // SIGSTOP
	ReasonSilent   = "does not answer"      // silentAfter questions in a row
	ReasonStalled  = "makes no progress"    // its own Alive says so
	ReasonNotReady = "says it is not ready" // its own Status says so
)

// silentAfter is how many questions in a row, each with Timing.Answer to be answered,
// make a role count as not ready. One lost answer may be our own: a supervisor that got no
// processor in time finds the wait over before it has read what arrived. The second
// question is asked when it runs again.
const silentAfter = 2

// watchStops asks after every child whenever the kernel reports that one was stopped or
// continued: a stopped child answers nothing, and who waits for an answer to be missing
// learns it later than a client.
func (s *supervisor) watchStops() (end func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGCHLD)
	go func() {
		for range changed {
			for _, sl := range s.slots() {
				if c := sl.serving(); c != nil && c.seeStop() {
					go sl.node.tellRoles()
				}
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		close(changed)
	}
}

// seeStop notes whether the process is stopped, and returns true if that is news. One that
// was continued counts as stopped until it has answered.
func (c *child) seeStop() bool {
	c.mu.Lock()
	was, is := c.stopped, c.kernelStopped()
	c.stopped = was || is
	c.mu.Unlock()
	if was && !is {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return is && !was
}

// kernelStopped asks the kernel without taking its report (WNOWAIT), so that the answer is
// the state of now, whoever asks how often.
func (c *child) kernelStopped() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// look asks for Alive and Status and waits for what comes back, at most for answer. What
// comes later, within patience, still counts: a slow role is not a silent one.
func (c *child) look(ctx context.Context, answer, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	done := make(chan struct{})
	go func() {
		defer cancel()
		defer close(done)
		c.ask(ctx)
	}()
	late := time.NewTimer(answer)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		c.mu.Lock()
		c.missed++
		c.mu.Unlock()
	}
}

func (c *child) ask(ctx context.Context) {
	asked := time.Now()
	b, err := c.ch.call(ctx, kindPing, nil)
	var p pingReply
	if err != nil || json.Unmarshal(b, &p) != nil {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered, c.missed = now, 0
	c.stopped = c.kernelStopped()
	if p.Alive == "" {
		c.alive = now
	}
	if asked.After(c.asked) { // else a later question was answered before
		c.ping, c.asked = p, asked
	}
}

// health returns the last answer, and what is wrong if that lasts longer than bound.
func (c *child) health(bound time.Duration) (p pingReply, wrong string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case time.Since(c.answered) > bound:
		wrong = fmt.Sprintf("no answer for %s", bound)
	case time.Since(c.alive) > bound:
		wrong = fmt.Sprintf("no progress for %s: %s", bound, c.ping.Alive)
	}
	return c.ping, wrong
}

// seen is the child's health for the other roles; known is false before its first answer.
func (c *child) seen() (h Health, known bool) {
	gone := c.gone()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case gone:
		h.Reason = ReasonEnded
	case c.stopped:
		h.Reason = ReasonStopped
	case c.missed >= silentAfter:
		h.Reason = ReasonSilent
	case c.ping.Alive != "":
		h.Reason = ReasonStalled
	case !c.ping.Ready:
		h.Reason = ReasonNotReady
	default:
		h.Ready = true
	}
	h.Impaired = c.ping.Impaired
	return h, !c.asked.IsZero() || c.stopped || c.missed >= silentAfter || gone
}

// health says how the role is now. Known is false while its process has yet to say so:
// after an upgrade of the supervisor nobody must take that for a role that is down.
func (s *slot) health() (h Health, known bool) {
	c := s.serving()
	if c == nil {
		return Health{Reason: ReasonEnded}, true
	}
	return c.seen()
}

// tellRoles tells every child whose knowledge of the other roles is old how they are.
func (n *Node) tellRoles() {
	n.telling.Lock()
	defer n.telling.Unlock()
	slots := n.slotList()
	all := map[string]Health{}
	for _, s := range slots {
		if h, known := s.health(); known {
			all[s.spec.Name] = h
		}
	}
	told := map[*child]string{}
	for _, s := range slots {
		c := s.serving()
		if c == nil {
			continue
		}
		others := map[string]Health{}
		for role, h := range all {
			if role != s.spec.Name {
				others[role] = h
			}
		}
		told[c] = n.told[c]
		if len(others) < len(slots)-1 && !anyDown(others) {
			continue // the rest is known in a moment
		}
		key := fmt.Sprint(others)
		if told[c] != key && len(others) > 0 && c.ch.tell(kindRoles, others) == nil {
			told[c] = key // else it is told again at the next look
		}
	}
	n.told = told
}

func anyDown(roles map[string]Health) bool {
	for _, h := range roles {
		if !h.Ready {
			return true
		}
	}
	return false
}
