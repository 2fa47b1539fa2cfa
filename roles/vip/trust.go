package vip

import (
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// rememberEvery bounds what may be replayed to a node that was killed and starts again,
// until its peers speak.
const rememberEvery = time.Minute

// trust is what the authentication of all groups shares: the numbers of this node's
// adverts, and those heard before the last restart.
type trust struct {
	log  *slog.Logger
	file string
	disk sync.Mutex // one write at a time

	mu       sync.Mutex // never held over the disk, but by the first authenticator
	memory   memory
	unstored bool      // memory knows more than the file
	sequence *sequence // nil until the first group that authenticates
}

func newTrust(log *slog.Logger, node string) *trust { return &trust{log: log, file: memoryFile(node)} }

// authenticator is that of a plan, nil where its adverts are not authenticated.
func (t *trust) authenticator(p plan) *authenticator {
	if len(p.key) == 0 {
		return nil
	}
	t.begin()
	t.mu.Lock()
	defer t.mu.Unlock()
	a := newAuthenticator(p.key, p.router.vrid, t.sequence, map[netip.Addr]uint64{})
	a.learn(p.router.vrid, t.memory.Heard)
	return a
}

// begin reads the memory, and reserves numbers before the first is used.
func (t *trust) begin() {
	t.mu.Lock()
	if t.sequence != nil {
		t.mu.Unlock()
		return
	}
	var err error
	if t.memory, err = recall(t.file); err != nil {
		t.log.Warn("virtual addresses", "err", err)
	}
	t.sequence = t.memory.start(time.Now())
	t.unstored = true
	t.mu.Unlock()
	t.store()
}

// keep takes the numbers heard, and reserves more of our own when half of them, of which
// last is the latest, are used; last is 0 where nothing is authenticated. It writes both,
// unless a write is under way: then the next keep does.
func (t *trust) keep(heard map[string]uint64, last uint64) {
	t.learn(heard, last)
	if t.disk.TryLock() {
		defer t.disk.Unlock()
		t.write()
	}
}

// finish is keep at the end of a process, which waits for the disk.
func (t *trust) finish(heard map[string]uint64, last uint64) {
	t.learn(heard, last)
	t.store()
}

func (t *trust) learn(heard map[string]uint64, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sequence == nil {
		return
	}
	more := memory{Heard: heard}
	if last+reservation/2 >= t.memory.Reserved {
		more.Reserved = last + reservation
	}
	if t.memory.raise(more) {
		t.unstored = true
	}
}

func (t *trust) store() {
	t.disk.Lock()
	defer t.disk.Unlock()
	t.write()
}

// write tries again at its next call what has failed.
func (t *trust) write() {
	t.mu.Lock()
	needed := t.unstored
	t.unstored = false
	m := memory{Reserved: t.memory.Reserved, Heard: maps.Clone(t.memory.Heard)}
	t.mu.Unlock()
	if !needed {
		return
	}
	if err := m.store(t.file); err != nil {
		t.log.Warn("virtual addresses", "err", err)
		t.mu.Lock()
		t.unstored = true
		t.mu.Unlock()
	}
}
