package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// Sorter puts keys in order that come in none, within a bound of memory: more of them goes
// to temporary storage in sorted runs. One goroutine at a time uses it.
type Sorter struct {
	s       *Store
	limit   int
	arena   []byte // keys and values as they came
	entries []sorted
	added   uint64
	scratch *Scratch // nil: everything is in memory
}

// sorted is where a key and its value stand in the arena.
type sorted struct{ at, key, value int }

const sortedSize = 24 // bytes of a sorted in memory

// NewSorter makes one that keeps up to limit bytes in memory. Close must be called.
func (s *Store) NewSorter(limit int) *Sorter { return &Sorter{s: s, limit: limit} }

// Add takes a key and a value, which it copies. No key may be the beginning of another;
// the same key may come again.
func (s *Sorter) Add(key, value []byte) error {
	s.entries = append(Room(s.entries, 1), sorted{len(s.arena), len(key), len(value)})
	s.arena = append(append(Room(s.arena, len(key)+len(value)), key...), value...)
	if len(s.arena)+sortedSize*len(s.entries) < s.limit {
		return nil
	}
	return s.moveOut()
}

func (s *Sorter) key(e sorted) []byte { return s.arena[e.at : e.at+e.key] }

func (s *Sorter) value(e sorted) []byte { return s.arena[e.at+e.key : e.at+e.key+e.value] }

// sort orders what is in memory; what came first of equal keys stays first.
func (s *Sorter) sort() {
	slices.SortFunc(s.entries, func(a, b sorted) int {
		if c := bytes.Compare(s.key(a), s.key(b)); c != 0 {
			return c
		}
		return a.at - b.at
	})
}

// moveOut makes a run of what is in memory. The number behind each key keeps equal ones
// apart and in order.
func (s *Sorter) moveOut() (err error) {
	if s.scratch == nil {
		if s.scratch, err = s.s.NewScratch(); err != nil {
			return err
		}
	}
	s.sort()
	err = s.scratch.Add(func(w *RunWriter) error {
		var numbered []byte
		for _, e := range s.entries {
			s.added++
			numbered = binary.BigEndian.AppendUint64(append(numbered[:0], s.key(e)...), s.added)
			if err := w.Set(numbered, s.value(e)); err != nil {
				return err
			}
		}
		return nil
	})
	s.arena, s.entries = s.arena[:0], s.entries[:0]
	return err
}

// Each calls f for everything that was added, in the order of the keys; equal keys follow
// one another. f keeps nothing.
func (s *Sorter) Each(f func(key, value []byte) error) (err error) {
	if s.scratch == nil {
		s.sort()
		for _, e := range s.entries {
			if err := f(s.key(e), s.value(e)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.moveOut(); err != nil {
		return err
	}
	s.arena, s.entries = nil, nil
	it := s.scratch.NewIter(nil, nil)
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = f(it.Key()[:len(it.Key())-8], it.Value())
	}
	if closed := it.Close(); closed != nil {
		err = errors.Join(err, closed) // else the caller's stays what it is
	}
	return err
}

// Close gives memory and temporary storage back.
func (s *Sorter) Close() error {
	s.arena, s.entries = nil, nil
	if s.scratch == nil {
		return nil
	}
	return s.scratch.Close()
}
