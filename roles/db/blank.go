package db

import (
	"fmt"

	"stack/roles/db/group"
)

// A replica whose disk is lost begins empty or with a backup, and has not what it acknowledged before: a promotion must not count on it. It
// was acknowledged before this server asked the primary for its state, so the primary has it then; a server that has all
// that the primary had counts again.

// blank reports whether a server with this executed set may have acknowledged what it has no more. One that never had a
// term may have lost it.
func (t term) blank(executed string) bool {
	return (t.Blank || t == term{}) && (t.Awaits == "" || !contains(executed, t.Awaits))
}

// filled notes what the primary has when it is asked first, and ends that the server is blank once it has that too.
// m.mu is held.
func (m *member) filled(primary *group.State) error {
	t := m.term
	if !t.Blank {
		return nil
	}
	if t.Awaits == "" {
		t.Awaits = primary.Executed
	}
	if contains(m.data.db.ExecutedSet(), t.Awaits) {
		m.log.Info("this server began empty or was restored, and has now what the primary had: promotions count on it", "primary", primary.Name, "executed", t.Awaits)
		t.Blank, t.Awaits = false, ""
	}
	if t == m.term {
		return nil
	}
	if err := m.enter(t); err != nil {
		return fmt.Errorf("keep what this server has to have before promotions count on it: %w", err)
	}
	return nil
}
