package db

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"stack/roles/db/dump"
	"stack/roles/db/txn"
)

// A primary that was started anew, or is taken again in a later epoch, shows its whole log, and the end of it may be
// on no other server. If it is lost now, and replaced, what a client has read of that was never there. So clients are
// turned away until as many replicas have it as commits wait for, or the server follows another primary, which
// has all of it.

// doubt makes clients wait for the acknowledgement of this server's transactions up to a number, 0: of none. m.mu is
// held, but for a member that nobody has yet.
func (m *member) doubt(seq uint64) {
	if seq > 0 && m.policy.Need > 0 {
		m.log.Warn("clients are turned away until replicas have the end of the log, or this server follows another one", "upto", seq)
		m.unproven.Store(seq)
		m.unprovenSince = time.Now()
		return
	}
	m.unproven.Store(0)
}

// begin is for a server that was started anew.
func (m *member) begin() {
	if m.term.Led {
		m.doubt(m.toProve())
	}
}

// toProve is the number of the transaction that proves the end of the log once the replicas have acknowledged it. Where commits
// wait for one server, only transactions of this server's own may be on no other: a promotion asks all that have what others have made.
// Where they wait for more, it is one that this server has yet to make.
func (m *member) toProve() uint64 {
	n := m.data.db.AckStatus().Logged
	if m.policy.Need > 1 {
		n++
	}
	return n
}

// takesOver reports whether the server, opened after a term, may have what too few servers have: it has just been told of it by
// the primary of before, or was that primary and has not ended in order. m.mu is held.
func (m *member) takesOver(from term) bool {
	before := from.Primary
	if before == "" {
		before = from.Before
	}
	return m.policy.Need > 1 && (from.Led || before != "" && before != m.name)
}

// turnAway closes the sessions of clients and keeps new ones out until the end of the log is proven, also after a new start. It is
// called before what was received is applied. m.mu is held.
func (m *member) turnAway() error {
	t := m.term
	t.Led = true
	if err := m.enter(t); err != nil {
		return err
	}
	m.doubt(m.toProve())
	m.demoted()
	return nil
}

// showOwn shows what this server had when it was no longer the primary: the primary that it follows has it. m.mu is held.
func (m *member) showOwn() error {
	if err := errors.Join(m.data.db.Reveal(m.term.Epoch), m.data.db.ForgetUnacknowledged()); err != nil {
		return err
	}
	if m.term.Led {
		t := m.term
		t.Led = false
		if err := m.enter(t); err != nil {
			return err
		}
	}
	m.doubt(0)
	return nil
}

// settleIn is showOwn where commits wait for more than one server: when the primary that is followed has told that the end of its own log
// is proven. m.mu is held.
func (m *member) settleIn() error {
	if !m.term.Led && m.unproven.Load() == 0 || !m.data.replica.Told() {
		return nil
	}
	return m.showOwn()
}

// proveAgain is when to look again whether what proves the end of the log can be committed.
const proveAgain = 20 * time.Millisecond

// prove commits what proves the end of the log, beside, once a replica follows: one that nobody follows may have been replaced, and would
// make what another one lacks. It ends where the epoch does.
func (m *member) prove(epoch uint64) {
	upto, told := m.unproven.Load(), ""
	go func() {
		for ; m.data.db.Epoch() == epoch; time.Sleep(proveAgain) {
			s := m.data.db.AckStatus()
			if s.Logged >= upto {
				return
			}
			here := func(x txn.MemberAck) bool { return !x.Gone }
			if !slices.ContainsFunc(s.States, here) && !m.isFollowed() {
				continue
			}
			err := m.data.db.LogNothing()
			if errors.Is(err, txn.ErrClosed) {
				return
			}
			if err != nil && err.Error() != told {
				told = err.Error()
				m.log.Error("commit what proves the end of the log: " + told)
			}
		}
	}()
}

// isFollowed reports whether a server of the site reads the log.
func (m *member) isFollowed() bool {
	return slices.ContainsFunc(m.data.engine.Source().Replicas(), func(r dump.Replica) bool { return r.Reading && r.Name != "" })
}

// shown is what dump.Source.SetShown takes.
func (m *member) shown() uint64 {
	if !m.several.Load() {
		return math.MaxUint64
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.takesWrites() || !m.proven() {
		return 0
	}
	return m.data.db.Executed().Seq + 1
}

// proven reports whether clients may see what is here. m.mu is held.
func (m *member) proven() bool {
	if m.unproven.Load() == 0 {
		return true
	}
	if !m.open {
		return false
	}
	s := m.data.db.AckStatus()
	switch {
	case s.Need == 0 || s.Reached >= m.unproven.Load():
	case !s.Strict && time.Since(m.unprovenSince) > s.Timeout:
		m.log.Error("replicas do not acknowledge the end of the log: clients are served without (db.ack_policy: degrade)", "upto", m.unproven.Load())
	default:
		return false
	}
	m.log.Info("clients are served", "reached", s.Reached)
	m.unproven.Store(0)
	return true
}

// settle notes, as the server ends and nothing is committed any more, that the end of its log is proven where it is:
// then the next start need not ask.
func (m *member) settle() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.data.db.AckStatus()
	if !m.takesWrites() || !m.term.Led || s.Need == 0 || s.Reached < s.Logged || !m.proven() {
		return nil
	}
	t := m.term
	t.Led = false
	return m.enter(t)
}

// serves says why clients are turned away, nil: they are not.
func (m *member) serves() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if why := m.doubts(); why != "" {
		return errors.New(why + " (stack db status)")
	}
	return nil
}

// turnsAway is serves for the metrics, which do not wait for a switch of roles: while one is under way it says what was so before.
func (m *member) turnsAway() bool {
	if !m.mu.TryLock() {
		return m.unproven.Load() != 0
	}
	defer m.mu.Unlock()
	return !m.proven()
}

// doubts is serves for somebody who looks at the status; empty: clients are served. m.mu is held.
func (m *member) doubts() string {
	if m.proven() {
		return ""
	}
	last := fmt.Sprintf("%s:%d", m.data.store.Server, m.unproven.Load())
	if m.policy.Need > 1 {
		return fmt.Sprintf("what it had when it started or took over may be on no other server; clients are served when %d replicas have acknowledged its transaction %s, "+
			"which it makes behind all of that once one follows it, or when it follows the primary", m.policy.Need, last)
	}
	return fmt.Sprintf("it was the primary, and its transaction %s and those before it may be on no other server; "+
		"clients are served when a replica has acknowledged them, or when it follows the primary", last)
}
