package txn

import (
	"bytes"
	"time"
)

// LockedKeys is a lock, held or asked for, as monitoring shows it.
type LockedKeys struct {
	Client  uint32 // of whom; 0: not known
	Index   uint32 // id of the index whose keys it is about, 0 for definitions
	Table   uint32 // id of the table whose definition it is about, 0 for keys
	Point   bool   // one key; else the keys from Start to End
	Mode    LockMode
	Start   []byte
	End     []byte
	Waiting bool
	For     []uint32 // clients that it waits for
	Since   time.Time
}

// asked is a request that waits; keys.mu is held.
func (r *lockRequest) asked() LockedKeys {
	k := r.keys.named(LockedKeys{Point: r.point, Mode: r.mode, Start: bytes.Clone(r.start), End: bytes.Clone(r.end), Waiting: true, Since: r.since}, r.owner)
	for _, o := range r.keys.blockers(r, nil) {
		if o.client != nil {
			k.For = append(k.For, o.client.ID)
		}
	}
	return k
}

// named says what and whose a lock is.
func (k *keyLocks) named(l LockedKeys, o *Owner) LockedKeys {
	switch {
	case k.space.ofTable(), k.space.ofChange():
		l.Table = uint32(k.space)
	case k.space != catalogSpace:
		l.Index = uint32(k.space)
	}
	if o.client != nil {
		l.Client = o.client.ID
	}
	return l
}

// Locks lists the locks that are held and asked for, at most limit of them. Each index is looked
// at at a moment of its own.
func (e *Engine) Locks(limit int) []LockedKeys {
	var list []LockedKeys
	e.locks.spaces.Range(func(_, v any) bool {
		list = v.(*keyLocks).list(list, limit)
		return len(list) < limit
	})
	return list
}

func (k *keyLocks) list(list []LockedKeys, limit int) []LockedKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	for r := k.first; r != nil && len(list) < limit; r = r.next {
		list = append(list, r.asked())
	}
	for _, h := range k.ranged {
		list = h.listRanges(list, h.x, Exclusive, limit)
		list = h.listRanges(list, h.s, Shared, limit)
	}
	for n := k.points.seek(nil); n != nil && len(list) < limit; n = n.next[0] {
		for _, x := range n.holders {
			list = append(list, k.named(LockedKeys{Point: true, Mode: x.mode, Start: bytes.Clone(n.key)}, x.h.owner))
		}
	}
	return list
}

func (h *held) listRanges(list []LockedKeys, set rangeSet, mode LockMode, limit int) []LockedKeys {
	for _, r := range set[:min(len(set), max(limit-len(list), 0))] {
		list = append(list, h.keys.named(LockedKeys{Mode: mode, Start: bytes.Clone(r.start), End: bytes.Clone(r.end)}, h.owner))
	}
	return list
}

// LastDeadlock is the newest deadlock that was ended, nil if there was none.
func (e *Engine) LastDeadlock() *Deadlock { return e.locks.lastDeadlock.Load() }

// WaitsSince is when the transaction began to wait for the lock that it waits for; zero: it
// does not wait. It may be asked by anybody.
func (t *Txn) WaitsSince() (since time.Time, definition bool) {
	r := t.owner.waiting.Load()
	if r == nil {
		return time.Time{}, false
	}
	r.keys.mu.Lock()
	defer r.keys.mu.Unlock()
	if r.ended() {
		return time.Time{}, false
	}
	return r.since, r.keys.space.ofTable() || r.keys.space.ofChange() || r.keys.space == catalogSpace
}

// Writes is the number of rows written so far. It may be asked by anybody.
func (t *Txn) Writes() int64 { return t.owner.writes.Load() }

// String is the mode as MySQL shows it.
func (m LockMode) String() string {
	if m == Exclusive {
		return "X"
	}
	return "S"
}
