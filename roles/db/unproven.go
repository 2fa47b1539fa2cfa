package db

import (
	"fmt"
	"time"
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
		m.unproven, m.unprovenSince = seq, time.Now()
		return
	}
	m.unproven = 0
}

// begin is for a server that was started anew.
func (m *member) begin() {
	if m.term.Led {
		m.doubt(m.data.db.AckStatus().Logged)
	}
}

// proven reports whether clients may see what is here. m.mu is held.
func (m *member) proven() bool {
	if m.unproven == 0 {
		return true
	}
	if !m.open {
		return false
	}
	s := m.data.db.AckStatus()
	switch {
	case s.Need == 0 || s.Reached >= m.unproven:
	case !s.Strict && time.Since(m.unprovenSince) > s.Timeout:
		m.log.Error("replicas do not acknowledge the end of the log: clients are served without (db.ack_policy: degrade)", "upto", m.unproven)
	default:
		return false
	}
	m.log.Info("clients are served", "reached", s.Reached)
	m.unproven = 0
	return true
}

// settle notes, as the server ends and nothing is committed any more, that the end of its log is proven where it is:
// then the next start need not ask.
func (m *member) settle() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.data.db.AckStatus()
	if !m.takesWrites() || !m.term.Led || s.Need == 0 || s.Reached < s.Logged {
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
	if m.proven() {
		return nil
	}
	return fmt.Errorf("it was the primary, and its transaction %s:%d and those before it may be on no other server; "+
		"clients are served when replicas have acknowledged them, or when it follows the primary (stack db status)", m.data.store.Server, m.unproven)
}
