package txn

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// gap saves a load whose keys come in ascending order, as most do, from looking for each in the
// store: between two keys of an index there is nothing, until somebody else has written to it.
//
// Who writes a key holds its lock until that is published, and the index has another version when
// the lock is let go. So as long as the version is the same, a key that the transaction has
// locked is in the store only if it was when the gap was found.
type gap struct {
	keys    *keyLocks
	version uint64
	last    []byte // the key that was asked for last
	streak  int    // how often they came in ascending order
	needed  int    // streak, before the next gap is looked for
	open    bool   // from last to end nothing is in the store
	end     []byte // nil: the end of the index
	served  int    // keys that were in the gap
}

const (
	// gapRows is how many rows a transaction has written before it looks for gaps, and how many
	// keys come in order then.
	gapRows = 16
	// gapNeeded bounds gap.needed, which grows where gaps are small or do not last.
	gapNeeded = 1 << 14
)

// getUnique is get of a key of a unique index that the transaction has locked, from the newest state.
//
// Hot path: BenchmarkLoadData of roles/db/sql.
func (t *Txn) getUnique(ix *store.Index, key []byte) ([]byte, error) {
	if t.owner.writes.Load() < gapRows {
		return t.get(t.e.store.DB, key)
	}
	if !t.set.empty() {
		switch value, deleted, found, err := t.set.get(key, t.set.seq); {
		case err != nil || deleted:
			return nil, err
		case found:
			return value, nil
		}
	}
	empty, err := t.inGap(ix, key)
	if err != nil || empty {
		return nil, err
	}
	return store.Get(t.e.store.DB, key)
}

// inGap says that the key is known not to be in the store.
func (t *Txn) inGap(ix *store.Index, key []byte) (bool, error) {
	g := t.gaps[ix.Desc.ID]
	if g == nil {
		if t.gaps == nil {
			t.gaps = map[uint32]*gap{}
		}
		g = &gap{keys: t.e.locks.at(indexSpace(ix.Desc.ID)), needed: gapRows}
		t.gaps[ix.Desc.ID] = g
	}
	ascending := bytes.Compare(g.last, key) < 0
	g.last = append(g.last[:0], key...)
	if !ascending {
		g.open, g.streak = false, 0
		return false, nil
	}
	g.streak++
	version := g.keys.version.Load()
	if g.open && version == g.version && (g.end == nil || bytes.Compare(key, g.end) < 0) {
		g.served++
		return true, nil
	}
	if g.open {
		if g.served < g.needed {
			g.needed = min(2*g.needed, gapNeeded)
		} else {
			g.needed = gapRows
		}
		g.open, g.streak = false, 0
	}
	if g.streak < g.needed {
		return false, nil
	}
	g.version = version
	return t.openGap(g, ix, key)
}

// openGap looks for the first key of the store at or behind key.
func (t *Txn) openGap(g *gap, ix *store.Index, key []byte) (empty bool, err error) {
	it, err := t.e.store.DB.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: store.IndexSpan(store.SpaceRows, ix.Desc.ID).End})
	if err != nil {
		return false, fmt.Errorf("look for the next key of index %s: %w", ix.Desc.Name, err)
	}
	g.end = nil
	if it.First() {
		g.end = bytes.Clone(it.Key())
	}
	if err := it.Close(); err != nil {
		return false, fmt.Errorf("look for the next key of index %s: %w", ix.Desc.Name, err)
	}
	g.served, g.open = 0, !bytes.Equal(g.end, key)
	return g.open, nil
}
