package txn

import "sync/atomic"

// allSets adds up what the write sets of all transactions hold in memory, so that many of them
// together stay within a limit. Sets tell of themselves in steps: small ones cost nothing.
type allSets struct {
	bytes atomic.Int64
	limit int64
}

// tellStep is by how much a write set changes before it tells, bytes; what transactions hold that
// never grow so far is not counted.
const tellStep = 64 << 10

// crowded says whether a set that has told of so many bytes should move out: all together are
// over the limit, and it is one of those to blame.
func (a *allSets) crowded(told int64) bool {
	return a != nil && told >= 4*tellStep && a.bytes.Load() > a.limit
}

// tell reports the size of the set where it has changed enough.
func (w *writeSet) tell() {
	if d := w.size - w.told; w.all != nil && (d >= tellStep || d <= -tellStep) {
		w.all.bytes.Add(d)
		w.told = w.size
	}
}

// forgotten takes the set out of the sum.
func (w *writeSet) forgotten() {
	if w.told != 0 {
		w.all.bytes.Add(-w.told)
		w.told = 0
	}
}
