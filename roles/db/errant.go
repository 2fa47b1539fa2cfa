package db

import (
	"fmt"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/group"
	"stack/roles/db/incarnation"
)

// What two servers of the site have that is not the same: one has more, or has been taken back to an earlier state of its
// disk and has numbered other transactions like those that it has lost.

// known is what this server has, with what is in its log and not shown.
func (m *member) known() (k incarnation.Known, err error) {
	k = incarnation.Known{Server: m.data.store.Server, Executed: m.data.db.LoggedSet()}
	k.Starts, err = incarnation.Read(m.data.store)
	return k, err
}

// errantOf is what a server has executed and the primary has not, or has otherwise. Of the primary's own transactions it may
// have some that wait for acknowledgements there.
func errantOf(own incarnation.Known, primary *group.State) (string, error) {
	here, err := event.ParseGTIDs(own.Executed)
	if err != nil {
		return "", fmt.Errorf("executed set of this server: %w", err)
	}
	there, err := event.ParseGTIDs(primary.Executed)
	if err != nil {
		return "", fmt.Errorf("executed set of %s: %w", primary.Name, err)
	}
	uuid, err := event.ParseUUID(primary.Server)
	if err != nil {
		return "", fmt.Errorf("server UUID of %s: %w", primary.Name, err)
	}
	other, err := incarnation.Other(own, primary.Known())
	if err != nil {
		return "", err
	}
	more := event.Without(here, event.Without(there, other))
	delete(more, mysql.SID(uuid))
	return more.String(), nil
}

// part ends following a primary that has lost what this server has of it: what the primary does since is not what
// this server's data goes on with. m.mu is held.
func (m *member) part(primary *group.State) error {
	own := m.asked // what came since, the primary may have made since it has answered
	if own.Server == "" {
		var err error
		if own, err = m.known(); err != nil {
			return err
		}
	}
	lost, err := incarnation.Lost(own, primary.Known())
	if err != nil || len(lost) == 0 {
		m.apart = false
		return err
	}
	m.apart = true
	if err := m.stopFollowing(); err != nil {
		return err
	}
	return m.lost(lost.String(), primary)
}

// overtaken closes a primary whose disk was taken back, until another epoch begins: another server has transactions of
// it that it has not, or has otherwise.
func (m *member) overtaken(states []*group.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.term
	if t.Lost != "" || t.Primary != m.name || m.leaving {
		return nil
	}
	own, err := m.known()
	if err != nil {
		return err
	}
	for _, s := range states {
		if s == nil {
			continue
		}
		lost, err := incarnation.Lost(s.Known(), own)
		if err != nil {
			return err
		}
		if len(lost) == 0 {
			continue
		}
		t.Lost = fmt.Sprintf("%s has %s of this server, which has them not, or others under these numbers: its disk was taken back to an earlier state. It takes no writes; run stack db promote on %[1]s, and it joins again as a replica; "+
			"or, where the earlier state is the right one, stop the others, run stack db promote here and empty their data directories", s.Name, lost)
		return m.stepDown(t)
	}
	return nil
}

// stepDown keeps a term in which this server was the primary and is none any more, and begins a process that is closed. What
// waits for acknowledgements is answered to nobody. m.mu is held.
func (m *member) stepDown(t term) error {
	m.data.db.CloseForWrites()
	if err := m.enter(t); err != nil { // it stays closed, and the next look at the others tries again
		return err
	}
	if m.open {
		m.open = false
		m.data.db.DropUnacknowledged()
		m.demoted()
		m.again(t.Lost)
	}
	return nil
}
