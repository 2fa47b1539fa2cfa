package db

import (
	"fmt"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/group"
	"stack/roles/db/incarnation"
	"stack/roles/db/relay"
	"stack/roles/db/rewind"
)

// What two servers of the site have that is not the same: one has more, or has been taken back to an earlier state of its
// disk and has numbered other transactions like those that it has lost.

// known is what this server has, with what is in its log and not shown, and what it has received and not applied.
func (m *member) known() (k incarnation.Known, err error) {
	received := m.data.replica.Holds() // before what is executed: the one becomes the other
	k = incarnation.Known{Server: m.data.store.Server}
	if k.Executed, err = event.UnionOf(m.data.db.LoggedSet(), received); err == nil {
		k.Starts, err = incarnation.Read(m.data.store)
	}
	return k, err
}

// cutReceived takes what the primary lacks, and what came behind it, off the log of what was received and not applied. It keeps
// it as a file, and returns what the primary still lacks. m.mu is held.
func (m *member) cutReceived(errant string, primary *group.State) (left string, err error) {
	if m.data.replica.Pending() == 0 {
		return errant, nil
	}
	set, err := event.ParseGTIDs(errant)
	if err == nil {
		err = m.stopFollowing()
	}
	if err == nil {
		err = m.mayLack(errant, primary)
	}
	if err == nil {
		err = m.dropReceived("the primary "+primary.Name+" lacks it", func(id event.ID) bool { return id.In(set) && !m.data.db.HasExecuted(id) })
	}
	if err != nil {
		return "", err
	}
	own, err := m.known()
	if err != nil {
		return "", err
	}
	return errantOf(own, primary)
}

// dropReceived takes what bad names, and what came behind it, off the log of what was received, and keeps it as a file. m.mu is
// held, and nothing is received or applied.
func (m *member) dropReceived(why string, bad func(event.ID) bool) error {
	n, file, err := m.data.cutReceived(bad)
	if err != nil {
		return fmt.Errorf("take off what was received (%s): %w", why, err)
	}
	if n > 0 {
		m.log.Error("transactions that were received are not applied: "+why, "transactions", n, "file", file)
	}
	return nil
}

// mayLack says why this server does not give up what a primary lacks.
func (m *member) mayLack(errant string, primary *group.State) error {
	own, err := m.known()
	if err != nil {
		return err
	}
	related, err := share(own.Executed, primary.Executed)
	switch {
	case err != nil:
		return err
	case !related:
		// A wrong directory, or a primary that has lost its own: nothing is thrown away for it.
		return fmt.Errorf("this server's data has nothing in common with that of the primary %s, so it does not follow: if the primary's is the right one, empty the data directory %s", primary.Name, m.data.store.Dir())
	case m.term.Followed:
		return m.lost(errant, primary)
	}
	return nil
}

// cutReceived takes the first transaction that bad names, and those behind it, off what was received and not applied, of which
// nothing may be read or written meanwhile, and keeps them in a file.
func (d *data) cutReceived(bad func(event.ID) bool) (n int, file string, err error) {
	first := ""
	none := func(r *relay.Record) error {
		if first == "" {
			first = r.ID.String()
		}
		return nil
	}
	if n, err = d.relay.Tail(bad, none); err != nil || n == 0 {
		return 0, "", err
	}
	executed, err := event.ParseGTIDs(d.db.ExecutedSet())
	if err != nil {
		return 0, "", err
	}
	file, err = rewind.Keep(d.store, d.db.Binlog(), first, executed, func(add func([]byte) error) error {
		_, err := d.relay.Tail(bad, func(r *relay.Record) error {
			for _, ev := range r.Events {
				if err := add(ev); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
	if err != nil {
		return 0, "", err
	}
	return n, file, d.relay.Cut(d.db.HasExecuted, bad)
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
