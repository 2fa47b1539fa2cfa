package txn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"stack/roles/db/store"
)

// spill is the part of a large write set that has left memory. An entry is
//
//	key, each 00 in it written 00 FF; 00 01
//	8 bytes  number of the write, complemented: the newest version of a key comes first
//
// and its value a byte, 1 for a tombstone, and the value that was written. What a rollback
// takes back stays stored and is passed over.
type spill struct {
	at     *store.Scratch
	upTo   uint64            // number of the last write in it
	undone []undone          // in order, apart from each other
	bytes  int64             // of keys and values put in
	key    []byte            // scratch of get
	ends   map[string][]byte // the last key of each index, by what its keys begin with
}

// undone are the writes with from < number ≤ to.
type undone struct{ from, to uint64 }

const spillSuffix = 8

// moveOut moves everything in memory to temporary storage. Open iterators keep the list
// that they walk.
func (w *writeSet) moveOut() error {
	if w.live == 0 {
		w.renew()
		return nil
	}
	at, err := w.room.scratch(w.size)
	if err != nil {
		return err
	}
	if w.spill == nil {
		w.spill = &spill{at: at, ends: map[string][]byte{}}
	}
	s := w.spill
	var buf, index, last []byte
	err = at.Add(func(run *store.RunWriter) error {
		for n := w.first(); n != nil; n = n.next[0] {
			if len(n.versions) == 0 {
				continue
			}
			w.prune(n)
			if index != nil && !bytes.Equal(indexOf(n.key), index) {
				// What is looked for behind the rows of a run is not looked for in the entries of
				// another index.
				s.end(index, last)
				if err := run.Cut(); err != nil {
					return err
				}
			}
			index, last = indexOf(n.key), n.key
			for i := len(n.versions) - 1; i >= 0; i-- {
				v := &n.versions[i]
				s.key = appendSpillKey(s.key[:0], n.key, v.seq)
				buf = append(append(buf[:0], boolByte(v.deleted)), v.value...)
				s.bytes += int64(len(n.key) + len(v.value))
				if err := run.Set(s.key, buf); err != nil {
					return err
				}
			}
		}
		s.end(index, last)
		return nil
	})
	if err != nil {
		return err
	}
	s.upTo = w.seq
	w.renew()
	return nil
}

// indexOf is what all keys of the key's index begin with.
func indexOf(key []byte) []byte { return key[:min(len(key), store.IndexPrefixLen)] }

// end takes note that an index has a key in a run.
func (s *spill) end(index, key []byte) {
	if bytes.Compare(s.ends[string(index)], key) < 0 {
		s.ends[string(index)] = key
	}
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// total is the number of bytes of keys and values, in memory and out of it.
func (w *writeSet) total() int64 {
	if w.spill == nil {
		return w.size
	}
	return w.size + w.spill.bytes
}

// close removes what is out of memory. Iterators must have been closed.
func (w *writeSet) close() error {
	w.forgotten()
	if w.spill == nil {
		return nil
	}
	err := w.spill.at.Close()
	w.spill = nil
	return err
}

func appendSpillBound(dst, key []byte) []byte {
	for _, c := range key {
		if dst = append(dst, c); c == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

func appendSpillKey(dst, key []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendSpillBound(dst, key), ^seq)
}

// splitSpillKey appends the key of an entry to dst.
func splitSpillKey(dst, entry []byte) (key []byte, seq uint64, err error) {
	n := len(entry) - spillSuffix - 2
	if n < 0 || entry[n] != 0 || entry[n+1] != 1 {
		return dst, 0, fmt.Errorf("temporary storage, entry % x: %w", entry, store.ErrCorrupt)
	}
	for i := 0; i < n; i++ {
		dst = append(dst, entry[i])
		if entry[i] == 0 {
			i++
		}
	}
	return dst, ^binary.BigEndian.Uint64(entry[n+2:]), nil
}

// undo takes back the writes after number seq.
func (s *spill) undo(seq uint64) {
	if seq >= s.upTo {
		return
	}
	for n := len(s.undone); n > 0 && s.undone[n-1].to > seq; n = len(s.undone) {
		seq = min(seq, s.undone[n-1].from)
		s.undone = s.undone[:n-1]
	}
	s.undone = append(s.undone, undone{seq, s.upTo})
}

// holds reports whether a write is there: not taken back.
func (s *spill) holds(seq uint64) bool {
	i, _ := slices.BinarySearchFunc(s.undone, seq, func(u undone, seq uint64) int {
		if u.to < seq {
			return -1
		}
		return 1
	})
	return i == len(s.undone) || seq <= s.undone[i].from
}

// get is writeSet.get for what has left memory.
func (s *spill) get(key []byte, seq uint64) (value []byte, deleted, found bool, err error) {
	// Rows mostly come in the order of their keys.
	if bytes.Compare(key, s.ends[string(indexOf(key))]) > 0 {
		return nil, false, false, nil
	}
	s.key = appendSpillBound(s.key[:0], key)
	// Runs come in the order of their writes, so the first that counts is the newest.
	err = s.at.Find(s.key, func(version, v []byte) (bool, error) {
		if at := ^binary.BigEndian.Uint64(version); at > seq || !s.holds(at) {
			return true, nil
		}
		if len(v) == 0 {
			return false, fmt.Errorf("read temporary storage: %w", store.ErrCorrupt)
		}
		value, deleted, found = append([]byte{}, v[1:]...), v[0] == 1, true
		return false, nil
	})
	return value, deleted, found, err
}

// spillIter walks a spill as it was when the iterator was opened, one version per key: the
// newest with a number up to seq.
type spillIter struct {
	s       *spill
	it      *store.ScratchIter
	seq     uint64
	reverse bool

	valid   bool
	key     []byte
	value   []byte // of it where forward, else a copy
	deleted bool
	err     error
}

// iter opens an iterator at the first (last if reverse) key of [start, end); end nil means
// unbounded.
func (s *spill) iter(start, end []byte, reverse bool, seq uint64) *spillIter {
	lower := appendSpillBound(nil, start)
	var upper []byte
	if end != nil {
		upper = appendSpillBound(nil, end)
	}
	it := s.at.NewIter(lower, upper)
	i := &spillIter{s: s, it: it, seq: seq, reverse: reverse}
	if reverse {
		it.Last()
	} else {
		it.First()
	}
	i.settle()
	return i
}

func (i *spillIter) next() {
	if i.err != nil {
		i.valid = false
		return
	}
	if !i.reverse {
		i.pass()
	}
	i.settle()
}

// seek moves a forward iterator to the first key ≥ key.
func (i *spillIter) seek(key []byte) {
	if i.err == nil {
		i.it.SeekGE(appendSpillBound(nil, key))
		i.settle()
	}
}

// pass leaves the versions of the current key behind, forward.
func (i *spillIter) pass() {
	bound := appendSpillBound(nil, i.key)
	for i.it.Valid() && bytes.HasPrefix(i.it.Key(), bound) && len(i.it.Key()) == len(bound)+spillSuffix {
		i.it.Next()
	}
}

// settle finds the nearest visible version. Forward, the newest of a key comes first and
// the iterator stays on it; backwards it comes last, and the iterator stands before the key.
func (i *spillIter) settle() {
	i.valid = false
	var key []byte
	for i.it.Valid() {
		var seq uint64
		if key, seq, i.err = splitSpillKey(key[:0], i.it.Key()); i.err != nil {
			return
		}
		if i.valid && !bytes.Equal(key, i.key) {
			return
		}
		if seq <= i.seq && i.s.holds(seq) {
			i.take(key)
			if !i.reverse || i.err != nil {
				return
			}
		}
		if i.reverse {
			i.it.Prev()
		} else {
			i.it.Next()
		}
	}
	if i.err = i.it.Err(); i.err != nil {
		i.valid = false
	}
}

func (i *spillIter) take(key []byte) {
	v := i.it.Value()
	if len(v) == 0 {
		i.err, i.valid = fmt.Errorf("read temporary storage: %w", store.ErrCorrupt), false
		return
	}
	i.valid, i.key, i.deleted = true, append(i.key[:0], key...), v[0] == 1
	if i.reverse {
		i.value = append([]byte(nil), v[1:]...)
	} else {
		i.value = v[1:]
	}
}

func (i *spillIter) close() error { return i.it.Close() }
