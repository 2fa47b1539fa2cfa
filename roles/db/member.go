package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/roles/db/binlog/event"
	"stack/roles/db/group"
	"stack/roles/db/incarnation"
	"stack/roles/db/replica"
	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/internal/dbcheck"
)

// term is an epoch and its primary.
type term struct {
	Epoch   uint64 `json:"epoch"`
	Primary string `json:"primary"` // empty: nobody yet
	// Before is the primary of the last epoch that had one, Decided that epoch, as far as this
	// server knows: without them nobody could tell after a promotion that did not end.
	Before  string `json:"before,omitempty"`
	Decided uint64 `json:"decided,omitempty"`
	// Led: this server has been the primary, and followed none since. The end of its log may be nowhere else.
	Led bool `json:"led,omitempty"`
	// Lost says what this server, the primary of the epoch, has lost: another one has it. It stays closed.
	Lost string `json:"lost,omitempty"`
	// Followed: all that this server had was on the primary in this epoch. If the primary lacks some of it
	// later, then the primary has lost it.
	Followed bool `json:"followed,omitempty"`
	// Blank: the data directory was empty when this server heard of its first primary, or was restored. It may have lost another
	// one, with what it had acknowledged. That ends when it has what the primary had afterwards: the GTID set
	// Awaits, empty where the primary was not asked yet.
	Blank  bool   `json:"blank,omitempty"`
	Awaits string `json:"awaits,omitempty"`
}

// next is a later epoch that has no primary yet.
func (t term) next(epoch uint64) term {
	n := term{Epoch: epoch, Before: t.Before, Decided: t.Decided, Led: t.Led, Blank: t.Blank || t == term{}, Awaits: t.Awaits}
	if t.Primary != "" {
		n.Before, n.Decided = t.Primary, t.Epoch
	}
	return n
}

// member is this server among the database servers of the site: it keeps the term, and is a
// primary or follows one accordingly.
type member struct {
	name     string
	first    string // the primary where nobody was ever one
	data     *data
	log      *slog.Logger
	addrs    map[string]netip.AddrPort // of the others
	ca       string                    // file of the CA
	password string
	others   []group.Member

	mu      sync.Mutex // held while the term changes
	term    term
	policy  txn.AckPolicy
	several atomic.Bool // commits wait for more than one server
	open    bool
	forgot  bool // the others know it as the primary, and its data directory does not
	undone  undone
	trouble string            // what keeps it from its role; empty: nothing
	leaving bool              // the process is about to start anew
	apart   bool              // the primary has lost what this server has of it
	asked   incarnation.Known // what this server had before the others were asked last; zero: they never were
	untidy  bool              // what was put aside has not been looked at since the server follows
	well    time.Time         // since when following goes well, each time that it was looked at; zero: it does not
	revival revival
	seeder  *seeder
	restart func() // starts the process anew, later
	follows string // the primary that the replica is set to, empty: not known
	// lagSince is the moment of which this server had everything when its lag was known last.
	lagSince time.Time
	// without is the epoch that was accepted last without what was received and could not be applied, 0: none was.
	without uint64
	// unproven is up to which of this server's transactions the replicas have to acknowledge before clients are
	// served, 0: none; since is when they could begin to.
	unproven      atomic.Uint64
	unprovenSince time.Time
	// hurry makes govern look at the other servers at once.
	hurry   chan struct{}
	opened  func() // called after the server was opened for writes
	demoted func() // called after it was closed
}

var _ group.Member = (*member)(nil)

// newMember reads the term. The server takes no writes until Open.
func newMember(node *config.Node, d *data, log *slog.Logger, password string) (*member, error) {
	d.db.CloseForWrites()
	m := &member{
		name: node.Name, data: d, log: log, password: password, policy: ackPolicy(node), addrs: map[string]netip.AddrPort{},
		ca:     filepath.Join(node.TLS.SecretsDir, "ca.crt"),
		undone: d.undone, seeder: &seeder{}, restart: func() {}, // before clients are served nobody has to
		hurry: make(chan struct{}, 1),
	}
	all := node.Databases()
	m.first = all[0].Name
	m.several.Store(m.policy.Need > 1)
	for _, x := range all {
		if x.Name != node.Name {
			m.addrs[x.Name] = x.DB
		}
	}
	b, err := store.Get(d.store.DB, store.MetaTermKey())
	if err != nil {
		return nil, err
	}
	if m.seeder.copies, err = readCopies(d.store); err != nil {
		return nil, err
	}
	if b != nil {
		if err := json.Unmarshal(b, &m.term); err != nil {
			return nil, fmt.Errorf("term of %s: %w: %w", d.store.Dir(), store.ErrCorrupt, err)
		}
	}
	if epoch := d.db.Epoch(); m.term.Epoch != epoch {
		m.term = m.term.next(epoch) // a crash came between the two
	}
	if err := d.db.SetAckPolicy(m.closedPolicy()); err != nil {
		return nil, err
	}
	if err := m.lacks(); err != nil {
		return nil, err
	}
	m.begin()
	return m, nil
}

// lacks makes a server whose relay log was damaged, or whose data was restored, one that may have acknowledged what it has no more.
func (m *member) lacks() error {
	relay, err := store.Get(m.data.store.DB, store.MetaRelayLostKey())
	if err != nil {
		return err
	}
	restored, err := store.Get(m.data.store.DB, store.MetaRestoredKey())
	if err != nil || relay == nil && restored == nil {
		return err
	}
	if (m.term != term{}) {
		t := m.term
		t.Blank, t.Awaits = true, ""
		if restored != nil && t.Primary == m.name {
			t.Lost = "the data was restored from a backup: other servers may have more, for which clients were answered. It takes no writes; run stack db promote on the server with the newest data, " +
				"and this one joins as a replica; where this one is it, with --force"
		}
		if relay != nil && t.Primary == m.name && m.data.replica.Following() { // it was taken for what was in it, and had not applied that
			t.Lost = "the relay log was damaged before this server, which was to be the primary, had applied it: it has lost what other servers may have. It takes no writes; run stack db promote"
		}
		if err := m.enter(t); err != nil {
			return err
		}
	}
	b := m.data.store.DB.NewBatch()
	defer b.Close()
	return errors.Join(b.Delete(store.MetaRelayLostKey(), nil), b.Delete(store.MetaRestoredKey(), nil), b.Commit(pebble.Sync))
}

// ackPolicy is what commits of this node wait for.
func ackPolicy(node *config.Node) txn.AckPolicy {
	p := txn.AckPolicy{Need: node.AckNeed(), Timeout: node.DB.AckTimeout, Strict: node.DB.AckPolicy == "strict"}
	for _, x := range node.Databases() {
		if x.Name != node.Name {
			p.Members = append(p.Members, x.Name)
		}
	}
	return p
}

// closedPolicy is for a server that is not open: nobody is waited for, and what replicas acknowledge is kept. They may connect before
// it opens in their epoch, and say so once.
func (m *member) closedPolicy() txn.AckPolicy { return txn.AckPolicy{Members: m.policy.Members} }

// setPolicy takes effect now where the server is the primary, else when it becomes one.
func (m *member) setPolicy(p txn.AckPolicy) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policy = p
	m.several.Store(p.Need > 1)
	if !m.open {
		return nil
	}
	return m.waitFor(p)
}

// waitFor makes commits wait as the policy says. m.mu is held.
func (m *member) waitFor(p txn.AckPolicy) error {
	if err := m.data.db.SetAckPolicy(p); err != nil || p.Need > 0 {
		return err
	}
	return m.data.db.ForgetUnacknowledged() // as everything is from now on
}

// Name is the node's name.
func (m *member) Name() string { return m.name }

// State fails where the store cannot be read.
func (m *member) State(context.Context) (group.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := group.State{
		Name: m.name, Epoch: m.data.db.Epoch(), Open: m.takesWrites(), Server: m.data.store.Server,
		Received: m.data.replica.Received(), Executed: m.data.db.ExecutedSet(), // in this order: what is received is executed later
	}
	t := m.term
	if s.Epoch != t.Epoch {
		t = t.next(s.Epoch) // an acknowledgement has told of a higher epoch, and not of its primary
	}
	s.Primary, s.Before, s.Decided, s.Blank = t.Primary, t.Before, t.Decided, t.blank(s.Executed) || m.seeder.status() != nil || m.data.replica.Stuck()
	var err error
	s.Incarnations, err = incarnation.Read(m.data.store)
	return s, err
}

// role is what balancers are told.
func (m *member) role() dbcheck.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := dbcheck.State{Name: m.name, Epoch: m.data.db.Epoch(), Open: m.takesWrites() && m.proven()}
	if s.Epoch == m.term.Epoch {
		s.Primary = m.term.Primary
	}
	if s.Open || s.Primary == "" || m.follows != s.Primary {
		m.lagSince = time.Time{}
		return s
	}
	st, ok := m.data.replica.Status()
	now := time.Now()
	switch s.Follows = ok && st.State == replica.StateStreaming; {
	case ok && st.LagKnown:
		// Kept as a point in time, since which it is unknown now and then how far this server is behind.
		m.lagSince = now.Add(-st.Lag)
		s.Lag, s.LagKnown = st.Lag, true
	case !m.lagSince.IsZero():
		s.Lag, s.LagKnown = now.Sub(m.lagSince), true
	}
	return s
}

// takesWrites: an acknowledgement may have closed the server since it was opened.
func (m *member) takesWrites() bool { return m.open && m.term.Epoch == m.data.db.Epoch() }

// Accept accepts an epoch; see group.Member. With a primary, the server follows it.
func (m *member) Accept(_ context.Context, epoch uint64, primary string) (executed string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch > m.term.Epoch && !m.open {
		// What is being received is in one of the logs after this, or was not acknowledged.
		if err := m.data.replica.Stop(); err != nil && !errors.Is(err, replica.ErrNoSource) {
			return "", fmt.Errorf("stop following before epoch %d: %w", epoch, err)
		}
		m.follows = ""
	}
	if executed, err = m.data.db.AcceptEpoch(epoch); err == nil {
		if m.data.replica.Stuck() {
			m.without = epoch
		}
		executed, err = event.UnionOf(executed, m.data.replica.Received())
	}
	if err != nil {
		return "", err
	}
	if epoch > m.term.Epoch {
		if err := m.enter(m.term.next(epoch)); err != nil {
			return "", err
		}
	}
	switch {
	case primary == "" || primary == m.term.Primary:
	case m.term.Primary != "":
		return "", fmt.Errorf("the primary of epoch %d is %s, not %s", epoch, m.term.Primary, primary)
	case primary != m.name && !m.addrs[primary].IsValid():
		return "", fmt.Errorf("%s is no database server of the site here", primary)
	default:
		if err := m.enter(term{Epoch: epoch, Primary: primary, Led: m.term.Led, Blank: m.term.blank(m.data.db.ExecutedSet())}); err != nil {
			return "", err
		}
		select { // it is open already, and its commits may wait for this server
		case m.hurry <- struct{}{}:
		default:
		}
	}
	return executed, nil
}

// enter keeps a term, and demotes the server where it was the primary before. m.mu is held.
func (m *member) enter(t term) error {
	value, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := m.data.store.DB.Set(store.MetaTermKey(), value, pebble.Sync); err != nil {
		return fmt.Errorf("keep the primary of epoch %d: %w", t.Epoch, err)
	}
	was := m.term
	m.term = t
	if m.open && t.Epoch > was.Epoch {
		m.log.Error("another server takes over: this one is no longer the primary", "epoch", t.Epoch, "before", was.Epoch)
		m.open = false
		if err := m.data.db.SetAckPolicy(m.closedPolicy()); err != nil {
			return err
		}
		m.demoted()
	}
	if t.Primary != "" && t.Primary != was.Primary {
		m.log.Info("the primary of an epoch is known", "primary", t.Primary, "epoch", t.Epoch)
	}
	return nil
}

// Open makes the server the primary of an epoch that it has accepted. It may have to apply what it has received before it takes
// writes: then it is the primary when Open returns, and opens by itself.
func (m *member) Open(_ context.Context, epoch uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.takesWrites() && epoch == m.term.Epoch {
		return nil
	}
	if epoch != m.term.Epoch || m.term.Primary != "" && m.term.Primary != m.name {
		return fmt.Errorf("this server is in epoch %d with the primary %q: it cannot be opened in epoch %d", m.term.Epoch, m.term.Primary, epoch)
	}
	was := m.term
	if m.takesOver(was) {
		if err := m.turnAway(); err != nil {
			return err
		}
	}
	if ready, err := m.drain(epoch); err != nil || !ready || m.takesWrites() {
		return err
	}
	takesOver := m.takesOver(was)
	if takesOver { // there is more since, and what commits wait for may have changed
		if err := m.turnAway(); err != nil {
			return err
		}
	}
	if err := m.data.replica.Reset(true); err != nil {
		return fmt.Errorf("stop following: %w", err)
	}
	m.follows = ""
	if err := m.enter(term{Epoch: epoch, Primary: m.name, Led: true}); err != nil {
		return err
	}
	if err := m.waitFor(m.policy); err != nil {
		return err
	}
	m.unprovenSince = time.Now() // replicas could not acknowledge before
	if n := m.data.db.AckStatus().Logged; !takesOver && n > m.data.db.Executed().Seq {
		m.doubt(n)
		m.demoted() // what was dropped is shown now
	}
	if err := m.data.db.OpenForWrites(epoch); err != nil {
		return err
	}
	m.open = true
	if takesOver {
		m.prove(epoch)
	}
	m.log.Info("this server is the primary and takes writes", "epoch", epoch, "acknowledgements", m.policy.Need)
	m.opened()
	return nil
}

// drainWithin is how long Open waits for what was received to be applied.
const drainWithin = 3 * time.Second

// drain applies what was received, of which something may be on no other server, and reports whether that is done. If it takes
// long the server becomes the primary before. m.mu is held, but not while it waits.
func (m *member) drain(epoch uint64) (ready bool, err error) {
	if m.without == epoch && m.data.replica.Stuck() {
		// Who has taken this server for the primary has not counted that.
		if err := m.dropReceived("it cannot be applied, and this server was taken for the primary without it", func(id event.ID) bool { return !m.data.db.HasExecuted(id) }); err != nil {
			return false, err
		}
	}
	done, err := m.data.replica.Drain()
	if errors.Is(err, replica.ErrRunning) {
		if err := m.data.replica.Stop(); err != nil && !errors.Is(err, replica.ErrNoSource) {
			return false, fmt.Errorf("stop following: %w", err)
		}
		done, err = m.data.replica.Drain()
	}
	if err != nil {
		return false, fmt.Errorf("apply what was received: %w", err)
	}
	m.follows = ""
	m.mu.Unlock()
	select {
	case <-done:
	case <-time.After(drainWithin):
	}
	m.mu.Lock()
	n := m.data.replica.Pending()
	switch {
	case m.term.Epoch != epoch || m.term.Primary != m.name && m.term.Primary != "":
		return false, fmt.Errorf("epoch %d was begun meanwhile, with the primary %q: %w", m.term.Epoch, m.term.Primary, txn.ErrStaleEpoch)
	case n == 0:
		return true, nil
	case m.data.replica.Stuck():
		st, _ := m.data.replica.Status()
		return false, fmt.Errorf("%d transactions that were received cannot be applied: %s", n, st.SQL.Text)
	}
	m.log.Warn("this server is the primary, and takes writes when what it has received is applied", "epoch", epoch, "transactions", n)
	if m.term.Primary == m.name {
		return false, nil
	}
	m.demoted() // what it waits for may be a lock that a client holds
	return false, m.enter(term{Epoch: epoch, Primary: m.name, Led: true})
}

// stopFollowing leaves it to follow to begin anew. m.mu is held.
func (m *member) stopFollowing() error {
	if err := m.data.replica.Stop(); err != nil && !errors.Is(err, replica.ErrNoSource) {
		return err
	}
	m.follows = ""
	return nil
}

// follow follows the primary of the term, where it is another server that takes writes, and looks after it. A
// server with transactions that the primary lacks starts anew without them.
func (m *member) follow(states []*group.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	primary := m.term.Primary
	if primary == "" || primary == m.name || m.leaving {
		return nil
	}
	i := slices.IndexFunc(states, func(s *group.State) bool { return s != nil && s.Name == primary && s.Epoch == m.term.Epoch })
	if i < 0 {
		return nil
	}
	if err := m.part(states[i]); err != nil || !states[i].Open {
		return err
	}
	if err := m.filled(states[i]); err != nil {
		return err
	}
	// What was dropped at the fence counts: it is in the data, and hidden only until something is applied.
	own, err := m.known()
	if err != nil {
		return err
	}
	errant, err := errantOf(own, states[i])
	if err == nil && errant != "" {
		errant, err = m.cutReceived(errant, states[i])
	}
	if err != nil {
		return err
	}
	switch {
	case errant != "":
		// Also where it is followed already: then the primary is no longer what it was.
		if err := m.stopFollowing(); err != nil {
			return err
		}
		return m.leave(errant, states[i])
	case m.follows == primary:
		return errors.Join(m.settleIn(), m.revive())
	}
	addr := m.addrs[primary]
	if !addr.IsValid() {
		return fmt.Errorf("the primary %s is no database server of the site in the config", primary)
	}
	if err := m.data.replica.Stop(); err != nil && !errors.Is(err, replica.ErrNoSource) {
		return err
	}
	t := m.term // kept also so that another order of the config changes nothing
	t.Followed = true
	if err := m.enter(t); err != nil {
		return err
	}
	if !m.several.Load() {
		if err := m.showOwn(); err != nil {
			return err
		}
	}
	err = m.data.replica.Change(func(s *replica.Settings, _ *replica.Position) error {
		s.Host, s.Port = addr.Addr().String(), addr.Port()
		s.User, s.Password, s.Auto = group.Account, m.password, true
		s.TLS, s.CA, s.Verify = true, m.ca, true
		s.Retry, s.Heartbeat = 1, int64(time.Second)
		return nil
	})
	if err == nil {
		err = m.data.replica.Start()
	}
	if err != nil {
		return fmt.Errorf("follow %s: %w", primary, err)
	}
	m.follows, m.revival, m.well, m.untidy = primary, revival{}, time.Time{}, true
	return nil
}
