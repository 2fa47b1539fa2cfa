package txn

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// defaultAckTimeout is AckPolicy.Timeout where that is 0.
const defaultAckTimeout = 10 * time.Second

// AckPolicy says whom a commit waits for between the end of its sync and the moment at
// which others see it and its client is answered.
type AckPolicy struct {
	Need    int           // members that must have it on disk beside this server; 0: none
	Members []string      // whose acknowledgements count, each once
	Timeout time.Duration // how long a commit waits before Strict decides; default 10 s
	// Strict refuses new commits that write, with ErrNotAcknowledged, while those in the
	// log go on waiting. Without it commits go on unacknowledged, which is recorded.
	Strict bool
}

// AckStatus is the state of the acknowledgements at one moment.
type AckStatus struct {
	AckPolicy
	Reached  uint64      // sequence number up to which Need members have acknowledged
	Logged   uint64      // of the last transaction of this server in the log
	Stalled  bool        // strict: new commits are refused
	Degraded bool        // commits are answered without acknowledgements
	Since    time.Time   // when it became so; zero: neither is the case
	Unacked  string      // GTID from which commits were answered unacknowledged; empty: none were
	States   []MemberAck // of every member that has acknowledged, by name
}

// MemberAck is what a member has acknowledged last.
type MemberAck struct {
	Member string
	Seq    uint64
	At     time.Time
	Gone   bool // its connection has ended since
}

// acks is the stage between the sync of a group and its publication. The leader asks it
// whether commits may enter the log, the publisher whether a group may be published.
type acks struct {
	e *Engine

	need       atomic.Int32
	stalled    atomic.Bool
	generation atomic.Uint64 // groups of an earlier one are dropped: a fence has come between
	logged     atomic.Uint64 // sequence number of the last own transaction in the log
	wake       chan struct{} // to the publisher
	room       chan struct{} // to the leader: a group was published, or waiting has no end

	mu       sync.Mutex
	policy   AckPolicy
	states   map[string]*MemberAck
	scratch  []uint64
	reached  uint64
	degraded bool
	since    time.Time
	closed   bool
	// While degraded: where the log stood, and when. A majority that reaches it in time has
	// caught up, also where commits never pause.
	mark   uint64
	marked time.Time
	looked time.Time // when the publisher looked last
	woke   time.Time // when it found that the process had stood still: waits begin then
	asked  time.Time // see Asked; zero: never
	// Own transactions from unacked to unackedTo were answered without acknowledgements; 0:
	// none. The first is in the store too.
	unacked, unackedTo uint64
}

func newAcks(e *Engine, logged uint64) (*acks, error) {
	a := &acks{e: e, wake: make(chan struct{}, 1), room: make(chan struct{}, 1), states: map[string]*MemberAck{}}
	a.logged.Store(logged)
	b, err := store.Get(e.store.DB, store.MetaUnackedKey())
	if err != nil || b == nil {
		return a, err
	}
	seq, ok := store.U64(b)
	if !ok || seq == 0 {
		return nil, fmt.Errorf("mark of unacknowledged commits in %s: %w", e.store.Dir(), store.ErrCorrupt)
	}
	a.unacked, a.unackedTo = seq, logged
	return a, nil
}

// SetAckPolicy takes effect at once, also for the commits that wait. A server starts with
// the zero policy: nobody is waited for. It fails where more members are needed than there are.
func (e *Engine) SetAckPolicy(p AckPolicy) error {
	if p.Need < 0 || p.Need > len(p.Members) {
		return fmt.Errorf("commits cannot wait for %d of %d members", p.Need, len(p.Members))
	}
	if p.Timeout <= 0 {
		p.Timeout = defaultAckTimeout
	}
	p.Members = slices.Clone(p.Members)
	a := e.acks
	a.mu.Lock()
	defer a.mu.Unlock()
	a.policy = p
	for name := range a.states {
		if !slices.Contains(p.Members, name) {
			delete(a.states, name)
		}
	}
	a.reached = 0
	if p.Need == 0 || p.Strict {
		a.degraded = false
	}
	if p.Need == 0 || !p.Strict {
		a.stalled.Store(false)
	}
	if !a.degraded && !a.stalled.Load() {
		a.since = time.Time{}
	}
	a.need.Store(int32(p.Need))
	a.count()
	a.poke()
	return nil
}

// Acknowledge notes that a member has everything on disk that this server has committed up
// to seq, and that it accepts no epoch below this one. A higher epoch than this server's
// makes it read-only, as AcceptEpoch does: ErrFenced. One that is lower counts for nothing:
// ErrStaleEpoch. It fails for a member that is not in the policy, and for one that has more
// than this server has made.
func (e *Engine) Acknowledge(member string, epoch, seq uint64) error {
	a := e.acks
	a.mu.Lock()
	now := e.epoch.Load()
	if epoch > now {
		a.mu.Unlock()
		if _, err := e.AcceptEpoch(epoch); err != nil && !errors.Is(err, ErrStaleEpoch) {
			return err
		}
		return fmt.Errorf("%s is at epoch %d, this server was at %d: %w", member, epoch, now, ErrFenced)
	}
	defer a.mu.Unlock()
	switch {
	case epoch < now:
		return fmt.Errorf("acknowledgement of %s for epoch %d, this is epoch %d: %w", member, epoch, now, ErrStaleEpoch)
	case !slices.Contains(a.policy.Members, member):
		return fmt.Errorf("acknowledgement of %q: it is none of the members %v", member, a.policy.Members)
	case seq > a.logged.Load():
		return fmt.Errorf("%s acknowledges transaction %s:%d, this server has made %d: it has what is lost here, compare the two",
			member, e.store.Server, seq, a.logged.Load())
	}
	s := a.states[member]
	if s == nil {
		s = &MemberAck{Member: member}
		a.states[member] = s
	}
	// It may be lower than before: a member that came back with an older disk.
	s.Seq, s.At, s.Gone = seq, time.Now(), false
	if a.count() {
		a.poke()
	}
	return nil
}

// MemberGone notes that a member's connection has ended. What it has acknowledged stays true.
func (e *Engine) MemberGone(member string) {
	a := e.acks
	a.mu.Lock()
	if s := a.states[member]; s != nil {
		s.Gone = true
	}
	a.mu.Unlock()
}

// AckStatus is the state of the acknowledgements.
func (e *Engine) AckStatus() AckStatus {
	a := e.acks
	a.mu.Lock()
	defer a.mu.Unlock()
	s := AckStatus{
		AckPolicy: a.policy, Reached: a.reached, Logged: a.logged.Load(),
		Stalled: a.stalled.Load(), Degraded: a.degraded, Since: a.since,
	}
	if a.unacked > 0 {
		s.Unacked = a.gtid(a.unacked)
	}
	for _, m := range a.states {
		s.States = append(s.States, *m)
	}
	slices.SortFunc(s.States, func(x, y MemberAck) int { return strings.Compare(x.Member, y.Member) })
	return s
}

// count finds how far enough members are, and reports whether that is further than before.
// a.mu is held.
func (a *acks) count() bool {
	need := a.policy.Need
	if need == 0 {
		return false
	}
	a.scratch = a.scratch[:0]
	for _, s := range a.states {
		a.scratch = append(a.scratch, s.Seq)
	}
	if len(a.scratch) < need {
		return false
	}
	slices.Sort(a.scratch)
	reached := a.scratch[len(a.scratch)-need]
	if reached <= a.reached {
		return false
	}
	a.reached = reached
	a.catchUp()
	return true
}

// catchUp returns to waiting where enough members are where the log is, and forgets
// what was unacknowledged once it no longer is. a.mu is held.
func (a *acks) catchUp() {
	if a.degraded {
		switch logged := a.logged.Load(); {
		case a.reached >= logged, a.reached >= a.mark && time.Since(a.marked) <= a.policy.Timeout:
			a.degraded, a.since = false, time.Time{}
			a.e.log.Info("the replicas have caught up: commits wait for their acknowledgements again", "reached", a.reached, "logged", logged)
		case a.reached >= a.mark:
			a.mark, a.marked = logged, time.Now()
		}
	}
	if !a.degraded && a.reached >= a.unackedTo {
		if err := a.forget(); err != nil {
			a.e.log.Error(err.Error()) // tried again with the next acknowledgement
		}
	}
}

// forget forgets what was unacknowledged. a.mu is held.
func (a *acks) forget() error {
	if a.unacked == 0 {
		return nil
	}
	if err := a.e.store.DB.Delete(store.MetaUnackedKey(), pebble.Sync); err != nil {
		return fmt.Errorf("forget that commits were unacknowledged: %w", err)
	}
	a.unacked, a.unackedTo = 0, 0
	return nil
}

// ForgetUnacknowledged forgets that commits were answered without acknowledgements: another server is known to have them, or
// acknowledgements are asked for no more.
func (e *Engine) ForgetUnacknowledged() error {
	e.acks.mu.Lock()
	defer e.acks.mu.Unlock()
	return e.acks.forget()
}

// poke makes publisher and leader look again.
func (a *acks) poke() {
	for _, c := range []chan struct{}{a.wake, a.room} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// published tells the leader that there is room for another group: one was published or
// dropped. Publisher only.
func (a *acks) published() {
	if a.need.Load() == 0 {
		return
	}
	select {
	case a.room <- struct{}{}:
	default:
	}
}

// makeRoom returns when another group may enter the log: one of those before it has been
// published, or nothing can be admitted. Leader only.
func (a *acks) makeRoom(groups chan *group) {
	for a.need.Load() > 0 && len(groups) == cap(groups) && !a.stalled.Load() {
		a.mu.Lock()
		closed := a.closed
		a.mu.Unlock()
		if closed {
			return
		}
		<-a.room
	}
}

// admit says why a commit that writes may not enter the log. Leader only.
func (a *acks) admit() error {
	if !a.stalled.Load() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.stalled.Load() {
		return nil
	}
	return &NotAcknowledgedError{Need: a.policy.Need, Members: slices.Clone(a.policy.Members), Timeout: a.policy.Timeout}
}

// NotAcknowledgedError says why new commits are refused. It wraps ErrNotAcknowledged.
type NotAcknowledgedError struct {
	Need    int
	Members []string
	Timeout time.Duration
}

// Error names the members.
func (e *NotAcknowledgedError) Error() string {
	return fmt.Sprintf("%v: %d of %v have to, and have not within %s", ErrNotAcknowledged, e.Need, e.Members, e.Timeout)
}

// Unwrap is ErrNotAcknowledged.
func (*NotAcknowledgedError) Unwrap() error { return ErrNotAcknowledged }

// verdict is what becomes of a group.
type verdict int

const (
	ackWaits verdict = iota
	ackPasses
	ackDropped // nobody is told anything of it, and its locks stay
)

// await returns when the group may be published, or reports false: it must never be.
// Publisher only. Where nobody is waited for it costs two loads.
func (a *acks) await(g *group) bool {
	if a.need.Load() == 0 {
		return a.generation.Load() == g.generation
	}
	var timer *time.Timer
	due := g.synced
	for {
		now := time.Now()
		every := a.look(due, now)
		v, again := a.judge(g, now)
		if v != ackWaits {
			if timer != nil {
				timer.Stop()
			}
			return v == ackPasses
		}
		var expired <-chan time.Time
		due = time.Time{}
		if again > 0 {
			again = min(again, every)
			due = now.Add(again)
			if timer == nil {
				timer = time.NewTimer(again)
			} else {
				timer.Reset(again)
			}
			expired = timer.C
		}
		select {
		case <-a.wake:
		case <-expired:
		}
	}
}

// stillFor is how much later than it was due the publisher may look, at least, before the process counts
// as one that has stood still.
const stillFor = 250 * time.Millisecond

// look notes that the publisher looks now, which it was to do at due; zero: whenever it is woken. A process that
// was frozen may have been replaced: time in which it heard nobody is not time in which nobody has answered.
// The answer is when to look again at the latest.
func (a *acks) look(due, now time.Time) (every time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	every = max(a.policy.Timeout/8, time.Millisecond)
	if !due.IsZero() && due.Before(a.looked) {
		due = a.looked // busy with the groups before
	}
	if !due.IsZero() && now.Sub(due) > max(every, stillFor) {
		a.woke = now
		a.e.log.Warn("the process stood still: the time that replicas have to acknowledge begins anew", "for", now.Sub(due))
	}
	a.looked = now
	return every
}

// askedWithin is for how long commits may go on unacknowledged after the other servers were asked. They are asked
// once a second, and may take two for an answer.
const askedWithin = 5 * time.Second

// askedAgain is when to look again whether they were asked.
const askedAgain = 50 * time.Millisecond

// Asked notes that the server has asked the others for their epochs, whether they have answered or not, and accepted a
// higher one. Once it was called, commits go on unacknowledged only for a while after each call: a server that
// stood still may have been replaced, and learns of it first.
func (e *Engine) Asked() {
	a := e.acks
	a.mu.Lock()
	a.asked = time.Now()
	a.mu.Unlock()
}

// recordAgain is when to try again to record that commits are unacknowledged.
const recordAgain = time.Second

// judge says what becomes of a group now; again, where it waits and is not 0, when to ask
// again without having been woken.
func (a *acks) judge(g *group, now time.Time) (v verdict, again time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.generation.Load() != g.generation:
		return ackDropped, 0
	case a.policy.Need == 0, g.last < g.first:
		return ackPasses, 0
	case a.reached >= g.last:
		if a.stalled.Load() {
			a.stalled.Store(false)
			a.since = time.Time{}
			a.e.log.Info("acknowledgements are back: commits are taken again", "reached", a.reached)
		}
		return ackPasses, 0
	case a.closed:
		return ackDropped, 0
	}
	begun := g.synced
	if begun.Before(a.woke) {
		begun = a.woke
	}
	if left := begun.Add(a.policy.Timeout).Sub(now); !a.degraded && left > 0 {
		return ackWaits, left
	}
	if a.policy.Strict {
		if !a.stalled.Load() {
			a.stalled.Store(true)
			a.since = now
			a.e.log.Error("the replicas do not acknowledge: new commits are refused until they do, those in the log wait",
				"needed", a.policy.Need, "members", a.policy.Members, "timeout", a.policy.Timeout, "reached", a.reached, "waiting_for", g.last)
			a.poke()
		}
		return ackWaits, 0
	}
	if !a.asked.IsZero() && now.Sub(a.asked) > askedWithin {
		return ackWaits, askedAgain
	}
	if err := a.degrade(g, now); err != nil {
		a.e.log.Error("record that commits are unacknowledged, which keeps them waiting: " + err.Error())
		return ackWaits, recordAgain
	}
	return ackPasses, 0
}

// degrade lets a group pass without acknowledgements, after that is on disk. a.mu is held.
func (a *acks) degrade(g *group, now time.Time) error {
	if a.unacked == 0 {
		if err := a.e.store.DB.Set(store.MetaUnackedKey(), store.AppendU64(nil, g.first), pebble.Sync); err != nil {
			return err
		}
		a.unacked = g.first
	}
	a.unackedTo = g.last
	if !a.degraded {
		a.degraded, a.since = true, now
		a.mark, a.marked = a.logged.Load(), now
		a.e.log.Error("the replicas do not acknowledge: commits go on without, and are lost with this server",
			"needed", a.policy.Need, "members", a.policy.Members, "timeout", a.policy.Timeout, "from", a.gtid(g.first))
	}
	return nil
}

// gtid names a transaction of this server.
func (a *acks) gtid(seq uint64) string { return a.e.store.Server + ":" + strconv.FormatUint(seq, 10) }

// fence drops every group that has entered the log and is not published, and forgets
// what members have acknowledged: it was for another epoch. No commit that writes may
// enter the log any more, or it would wait for the next fence.
func (a *acks) fence() {
	a.mu.Lock()
	a.generation.Add(1)
	clear(a.states)
	a.reached, a.degraded, a.since = 0, false, time.Time{}
	a.stalled.Store(false)
	a.mu.Unlock()
	a.poke()
}

// close drops the groups that wait now and those that would.
func (a *acks) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.poke()
}
