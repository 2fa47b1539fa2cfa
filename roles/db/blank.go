package db

import (
	"fmt"

	"stack/roles/db/group"
)

// A replica whose disk is lost begins empty, and has not what it acknowledged before: a promotion must not count on it. It
// was acknowledged before this server asked the primary for its state, so the primary has it then; a server that has all
// that the primary had counts again.

// fill is what a blank server has to have; see term.Blank. Another primary may not have all that the one before had.
type fill struct {
	asked bool
	epoch uint64
	want  string // GTID set of the primary of that epoch when it was asked first
}

// done reports whether a server with this GTID set has it.
func (f fill) done(executed string) bool { return f.asked && contains(executed, f.want) }

// filled notes what the primary has, and ends that the server is blank once it has that too. m.mu is held.
func (m *member) filled(primary *group.State) error {
	if !m.term.Blank {
		return nil
	}
	if !m.fill.asked || m.fill.epoch != primary.Epoch {
		m.fill = fill{epoch: primary.Epoch, want: primary.Executed, asked: true}
	}
	if !m.fill.done(m.data.db.ExecutedSet()) {
		return nil
	}
	t := m.term
	t.Blank = false
	if err := m.enter(t); err != nil {
		return fmt.Errorf("keep that this server has what the primary had: %w", err)
	}
	m.log.Info("this server began empty, and has now what the primary had: promotions count on it", "primary", primary.Name, "executed", m.fill.want)
	return nil
}
