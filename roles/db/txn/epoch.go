package txn

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// Epoch is the number of the term in which this server is a primary or follows one. It
// never falls, and is 0 before the first AcceptEpoch.
func (e *Engine) Epoch() uint64 { return e.epoch.Load() }

// readEpoch reads the epoch that a store has accepted.
func readEpoch(st *store.Store) (uint64, error) {
	b, err := store.Get(st.DB, store.MetaEpochKey())
	if err != nil || b == nil {
		return 0, err
	}
	n, ok := store.U64(b)
	if !ok {
		return 0, fmt.Errorf("epoch of %s: %w", st.Dir(), store.ErrCorrupt)
	}
	return n, nil
}

// AcceptEpoch promises never to acknowledge, apply or commit in an epoch below n. Where n is
// higher than before the server becomes read-only, its commits that wait for
// acknowledgements are dropped (ErrOutcomeUnknown), and what is being applied in the epoch
// before either is in the log when AcceptEpoch returns or never will be. The promise and the
// log up to the returned GTID set are on disk then. n as before changes nothing; a lower
// one is ErrStaleEpoch.
func (e *Engine) AcceptEpoch(n uint64) (executed string, err error) {
	e.epochMu.Lock()
	defer e.epochMu.Unlock()
	now := e.epoch.Load()
	switch {
	case n < now:
		return "", fmt.Errorf("epoch %d is asked for, this server has accepted %d: %w", n, now, ErrStaleEpoch)
	case n > now:
		// Read-only before the generation ends: what the leader admits after is refused,
		// what it has admitted before is dropped.
		e.shut.Store(true)
		e.epoch.Store(n)
		e.acks.fence()
		if err := e.store.DB.Set(store.MetaEpochKey(), store.AppendU64(nil, n), pebble.Sync); err != nil {
			return "", fmt.Errorf("accept epoch %d: %w", n, err)
		}
		if now > 0 {
			e.log.Info("a higher epoch was accepted: this server is read-only until it is opened", "epoch", n, "before", now)
		}
	}
	// Behind everything that the leader has admitted before.
	r := &commitRequest{barrier: true}
	if err := e.queue.commit(r); err != nil {
		return "", fmt.Errorf("accept epoch %d: %w", n, err)
	}
	if err := e.store.DB.LogData(nil, pebble.Sync); err != nil {
		return "", fmt.Errorf("accept epoch %d: %w", n, err)
	}
	return r.executed, nil
}

// OpenForWrites ends what CloseForWrites and a higher epoch began, where the epoch is still n; else
// ErrStaleEpoch, and nothing changes.
func (e *Engine) OpenForWrites(n uint64) error {
	e.epochMu.Lock()
	defer e.epochMu.Unlock()
	if now := e.epoch.Load(); now != n {
		return fmt.Errorf("open for writes in epoch %d, this server has accepted %d: %w", n, now, ErrStaleEpoch)
	}
	if err := e.reveal(); err != nil {
		return fmt.Errorf("open for writes in epoch %d: %w", n, err)
	}
	e.shut.Store(false)
	return nil
}

// Reveal makes what was dropped part of the data, in epoch n, else ErrStaleEpoch: whoever decides
// has it too. The server stays as it is, closed.
func (e *Engine) Reveal(n uint64) error {
	e.epochMu.Lock()
	defer e.epochMu.Unlock()
	if now := e.epoch.Load(); now != n {
		return fmt.Errorf("show in epoch %d what was dropped, this server has accepted %d: %w", n, now, ErrStaleEpoch)
	}
	return e.reveal()
}

func (e *Engine) reveal() error { return e.queue.commit(&commitRequest{barrier: true, reveals: true}) }

// ApplyEpoch says in which epoch the source is whose transactions are repeated: they are
// refused with ErrStaleEpoch once this server has accepted a higher one. 0: the source
// has none, as a server of another kind.
func (t *Txn) ApplyEpoch(n uint64) { t.epoch = n }
