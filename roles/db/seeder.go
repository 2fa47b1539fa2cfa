package db

import (
	"context"
	ctls "crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/group"
	"stack/roles/db/replica"
	"stack/roles/db/seed"
	"stack/roles/db/sql"
	"stack/roles/db/store"
)

const (
	seedRetryFirst = 10 * time.Second // after a seed that has failed, and twice as long after the next
	seedRetryMost  = 10 * time.Minute
)

// seeder fetches a copy of the primary's data for a member that cannot follow it with its own.
type seeder struct {
	mu       sync.Mutex
	why      string // empty: none is needed
	from     string // the primary that it is needed from
	running  bool
	progress seed.Progress
	copies   copies
	failures int // in a row
	failed   error
	next     time.Time // of the next attempt

	stop context.CancelFunc // of the attempt that runs
	wait sync.WaitGroup
}

// Rejoin is what Detail shows of a member that gets a copy of the primary's data.
type Rejoin struct {
	Why      string     `json:"why"`
	From     string     `json:"from"`
	State    string     `json:"state"` // fetching, checking, or waiting for the next attempt
	Done     int64      `json:"done_bytes"`
	Total    int64      `json:"bytes"`
	Rate     int64      `json:"bytes_per_second"`
	Failures int        `json:"failures"`
	Copies   int        `json:"copies"` // that have come one soon after another, the last one at LastCopy
	LastCopy *time.Time `json:"last_copy,omitempty"`
	Error    string     `json:"error,omitempty"`
	Next     *time.Time `json:"next_attempt,omitempty"`
}

// String is one line.
func (r *Rejoin) String() string {
	text := fmt.Sprintf("a copy of the data of %s is needed: %s", r.From, r.State)
	if r.Next != nil && time.Now().Before(*r.Next) {
		text += " until " + r.Next.UTC().Format(time.DateTime)
	}
	if r.Total > 0 {
		text += fmt.Sprintf(", %.1f of %.1f MB", float64(r.Done)/1e6, float64(r.Total)/1e6)
	}
	if r.Copies > 0 && r.LastCopy != nil {
		text += fmt.Sprintf("; %d copies have not helped for long, the last one of %s", r.Copies, r.LastCopy.UTC().Format(time.DateTime))
	}
	if r.Error != "" {
		text += fmt.Sprintf("; %d attempts have failed: %s", r.Failures, r.Error)
	}
	return text
}

// status is nil where no copy is needed.
func (s *seeder) status() *Rejoin {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == "" {
		return nil
	}
	r := &Rejoin{Why: s.why, From: s.from, State: "waiting", Failures: s.failures, Done: s.progress.Done, Total: s.progress.Total}
	if s.running {
		r.State, r.Rate = string(s.progress.Step), s.progress.Rate
	} else if !s.next.IsZero() {
		next := s.next
		r.Next = &next
	}
	if s.failed != nil {
		r.Error = s.failed.Error()
	}
	if s.copies.Count > 0 {
		at := s.copies.At
		r.Copies, r.LastCopy = s.copies.Count, &at
	}
	return r
}

// need notes that a copy of a primary's data is needed: now, or when its time has come after the copies before.
func (s *seeder) need(primary, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from != primary {
		s.failures, s.failed, s.next, s.progress = 0, nil, s.copies.due(time.Now()), seed.Progress{}
	}
	s.from, s.why = primary, why
}

// end ends what runs and waits. With forget, no copy is needed any more.
func (s *seeder) end(forget bool) {
	s.mu.Lock()
	stop := s.stop
	if forget {
		s.why, s.from = "", ""
	}
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	s.wait.Wait()
}

// reseed begins an attempt where a copy is needed and its time has come, and ends one from a
// server that is the primary no longer.
func (m *member) reseed(ctx context.Context, states []*group.State) {
	s := m.seeder
	m.mu.Lock()
	primary, epoch, leaving, apart := m.term.Primary, m.term.Epoch, m.leaving, m.apart
	m.mu.Unlock()
	s.mu.Lock()
	needed, from, due := s.why != "", s.from, !s.running && !time.Now().Before(s.next)
	s.mu.Unlock()
	if needed && (from != primary || apart) { // a copy of what has lost data is of no use
		s.end(true)
		return
	}
	open := slices.ContainsFunc(states, func(x *group.State) bool { return x != nil && x.Name == primary && x.Open })
	if !needed || !due || !open || leaving {
		return
	}
	o, err := m.seedOptions(from)
	if err != nil {
		s.done(err)
		return
	}
	o.Epoch = epoch
	attempt, stop := context.WithCancel(ctx)
	s.mu.Lock()
	s.running, s.stop = true, stop
	s.progress.Step = seed.StepFetch
	why := s.why
	s.mu.Unlock()
	m.log.Warn("a copy of the primary's data is being fetched", "primary", from, "why", why)
	s.wait.Go(func() {
		defer stop()
		err := seed.Fetch(attempt, m.data.store, o)
		if s.done(err) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.again("a copy of the primary's data is put in place of its own", "primary", from)
			return
		}
		if attempt.Err() == nil {
			m.log.Error("no copy of the primary's data was fetched", "primary", from, "error", err)
		}
	})
}

// done ends an attempt and says whether it has brought the copy.
func (s *seeder) done(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.failed = false, err
	if err == nil {
		return true
	}
	s.failures++
	s.next = time.Now().Add(min(seedRetryFirst<<min(s.failures-1, 10), seedRetryMost))
	return false
}

// seedOptions are for a copy of the data of this server, fetched as the account of the site.
func (m *member) seedOptions(from string) (o seed.Options, err error) {
	addr := m.addrs[from]
	if !addr.IsValid() {
		return o, fmt.Errorf("the primary %s is no database server of the site in the config", from)
	}
	roots, err := seed.Roots(vfs.Default, m.ca)
	if err != nil {
		return o, fmt.Errorf("read the CA of the site: %w", err)
	}
	st := m.data.store
	return seed.Options{
		Address: addr.String(), User: group.Account, Password: m.password,
		TLS:    &ctls.Config{MinVersion: ctls.VersionTLS12, ServerName: from, RootCAs: roots},
		Store:  store.Options{Version: sql.Version, CacheBytes: seedCache, Log: m.log},
		Wanted: m.wanted,
		Room: func(n int64) error {
			if err := st.CheckRoom(uint64(n)); err != nil {
				return fmt.Errorf("a copy of the primary's data needs %.1f MB more beside the old data: %w", float64(n)/1e6, err)
			}
			return nil
		},
		Progress: func(p seed.Progress) {
			m.seeder.mu.Lock()
			defer m.seeder.mu.Unlock()
			if p.Broken == nil {
				m.seeder.progress = p
			}
		},
	}, nil
}

// wanted says why a copy with this executed set must not replace the data: the server has followed the primary in this
// epoch, and has more.
func (m *member) wanted(executed string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	own, err := m.known()
	if err != nil {
		return err
	}
	if m.term.Followed && !contains(executed, own.Executed) {
		return fmt.Errorf("a copy of the data of %s would have %s, this server has %s: the primary has lost data that it had in this epoch, and this server keeps its own; stop %[1]s and run stack db promote here, or empty the data directory %[4]s if %[1]s is right",
			m.term.Primary, executed, own.Executed, m.data.store.Dir())
	}
	return nil
}

const (
	reviveFirst = time.Second // after following has ended for good, and twice as long after the next
	reviveMost  = time.Minute
	// reviveWell is how long following must go well before it counts as repaired.
	reviveWell = time.Minute
)

// revival is the attempts to follow again after that has ended.
type revival struct {
	pause time.Duration // before the next attempt
	next  time.Time     // zero: none is due
	since time.Time     // of the last attempt
}

// revive looks after following that was begun: what needs a copy of the primary's data gets one, anything else is
// tried again, more and more rarely. What an operator has stopped stays. m.mu is held.
func (m *member) revive() error {
	st, ok := m.data.replica.Status()
	if !ok {
		return nil
	}
	now := time.Now()
	if st.State != replica.StateStreaming {
		m.well = time.Time{}
	}
	switch st.State {
	case replica.StateIOFailed, replica.StateSQLFailed:
	case replica.StateStreaming:
		if m.well.IsZero() {
			m.well = now
		}
		if now.Sub(m.revival.since) > reviveWell {
			m.revival = revival{}
		}
		return nil
	default:
		return nil
	}
	why := ""
	switch {
	case st.State == replica.StateSQLFailed && st.Diverged != "":
		why = st.Diverged
	case st.State == replica.StateIOFailed && st.IO.Code == codeLogGone && strings.Contains(strings.ToLower(st.IO.Text), "seed the replica anew"):
		why = st.IO.Text
	}
	if why != "" {
		m.seeder.need(m.follows, why)
		return nil
	}
	failed := st.SQL.Text
	if st.State == replica.StateIOFailed {
		failed = st.IO.Text
	}
	switch {
	case m.revival.next.IsZero():
		m.revival.pause = min(max(2*m.revival.pause, reviveFirst), reviveMost)
		m.revival.next = now.Add(m.revival.pause)
	case now.After(m.revival.next):
		m.revival.next, m.revival.since = time.Time{}, now
		if err := m.data.replica.Start(); err != nil {
			return fmt.Errorf("follow %s again: %w", m.follows, err)
		}
	}
	return fmt.Errorf("%s is not followed, which is tried again: %s", m.follows, failed)
}

// codeLogGone is MySQL's number for a log that cannot be sent.
const codeLogGone = 1236

// idle reports whether no copy is needed, or being fetched.
func (s *seeder) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why == "" && !s.running
}

// tidy removes what earlier times have put aside, but for the newest, and a copy that nobody needs: once following has gone
// well for a while. A server that needs a copy follows at first too, until the primary refuses or a row is not what it was, and
// goes on with what it has fetched of the copy.
func (m *member) tidy() error {
	m.mu.Lock()
	due := m.untidy && !m.well.IsZero() && time.Since(m.well) >= reviveWell && m.seeder.idle()
	m.untidy = m.untidy && !due
	m.mu.Unlock()
	if !due {
		return nil
	}
	st := m.data.store
	_, automatic, err := store.Replaced(st.FS(), st.Dir())
	if err != nil {
		return err
	}
	for len(automatic) > 1 {
		m.log.Info("data that a copy has replaced earlier is removed", "directory", automatic[0])
		if err := st.FS().RemoveAll(automatic[0]); err != nil {
			return fmt.Errorf("remove %s: %w", automatic[0], err)
		}
		automatic = automatic[1:]
	}
	if _, err := st.FS().Stat(store.SeedingDir(st.Dir())); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if r, err := seed.Unfinished(st.FS(), st.Dir()); err != nil || r == nil || !r.Site {
		return err
	}
	return seed.Remove(st.FS(), st.Dir())
}
