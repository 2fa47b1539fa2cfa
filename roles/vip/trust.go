package vip

import (
	"log/slog"
	"maps"
	"net/netip"
	"strings"
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

	mu       sync.Mutex
	memory   memory
	sequence *sequence // nil until the first group that authenticates
}

func newTrust(log *slog.Logger, node string) *trust { return &trust{log: log, file: memoryFile(node)} }

// authenticator is that of a plan, nil where its adverts are not authenticated.
func (t *trust) authenticator(p plan) *authenticator {
	if len(p.key) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sequence == nil {
		var err error
		if t.memory, err = recall(t.file); err != nil {
			t.log.Warn("virtual addresses", "err", err)
		}
		t.sequence = t.memory.start(time.Now())
		t.store()
	}
	heard := map[netip.Addr]uint64{}
	prefix := heardKey(p.router.vrid, netip.Addr{})
	prefix = prefix[:strings.IndexByte(prefix, ' ')+1]
	for key, number := range t.memory.Heard {
		if text, own := strings.CutPrefix(key, prefix); own {
			if from, err := netip.ParseAddr(text); err == nil {
				heard[from] = number
			}
		}
	}
	return newAuthenticator(p.key, p.router.vrid, t.sequence, heard)
}

// keep stores the numbers heard, and reserves more of our own when half of them, of
// which last is the latest, are used. It waits for the disk.
func (t *trust) keep(heard map[string]uint64, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	enough := last+reservation/2 < t.memory.Reserved
	if enough && maps.Equal(heard, t.memory.Heard) {
		return
	}
	if !enough {
		t.memory.Reserved = last + reservation
	}
	maps.Copy(t.memory.Heard, heard)
	t.store()
}

func (t *trust) store() {
	if err := t.memory.store(t.file); err != nil {
		t.log.Warn("virtual addresses", "err", err)
	}
}
