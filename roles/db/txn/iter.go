package txn

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// iter merges a state of the store with a transaction's writes: on equal keys the
// write set wins, and its tombstones hide. key and value are valid until the next
// call.
type iter struct {
	buildup *buildup // is told where the store was slow to read
	bounds  store.KeyRange
	base    *pebble.Iterator
	set     *overlay // nil: the transaction has written nothing
	mix     mixing   // nil: on equal keys the write set wins
	reverse bool
	started bool
	fromSet bool
	hidden  bool // with mix: the write set has given what has the key of the base's entry
	key     []byte
	value   []byte
	err     error
}

// newIter opens an iterator over r; reader is a snapshot or the store itself. It
// sees the writes of the transaction up to number seq and none that follow.
func (t *Txn) newIter(reader pebble.Reader, r store.KeyRange, reverse bool, seq uint64) (*iter, error) {
	if bytes.Compare(r.Start, r.End) >= 0 {
		r.End = r.Start
	}
	base, err := reader.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	if err != nil {
		return nil, fmt.Errorf("open an iterator: %w", err)
	}
	it := &iter{buildup: t.e.buildup, bounds: r, base: base, reverse: reverse}
	if !t.set.empty() {
		it.set = t.set.iter(r.Start, r.End, reverse, seq)
	}
	return it, nil
}

// next moves to the next entry; false at the end or on error.
func (it *iter) next() bool {
	if it.err != nil {
		return false
	}
	switch {
	case !it.started && it.reverse:
		it.base.Last()
	case !it.started:
		it.base.First()
	case it.fromSet:
		it.set.next()
	case it.reverse:
		it.base.Prev()
	default:
		it.base.Next()
	}
	it.started = true
	return it.settle()
}

// seek moves a forward iterator to the first entry with a key ≥ key.
func (it *iter) seek(key []byte) bool {
	if it.err != nil {
		return false
	}
	it.started, it.hidden = true, false
	it.base.SeekGE(key)
	if it.set != nil {
		it.set.seek(key)
	}
	return it.settle()
}

// settle picks the entry that comes first from the two sides, skipping what the
// write set hides.
func (it *iter) settle() bool {
	if it.mix != nil && it.set != nil {
		return it.settleMixed()
	}
	for {
		baseOK := it.base.Valid()
		if it.set == nil || !it.set.valid {
			if it.set != nil && it.set.err() != nil {
				it.err = it.set.err()
				return false
			}
			it.fromSet = false
			return baseOK && it.take() || it.finish(baseOK)
		}
		order := -1
		if baseOK {
			order = bytes.Compare(it.set.key, it.base.Key())
			if it.reverse {
				order = -order
			}
		}
		if order > 0 {
			it.fromSet = false
			return it.take()
		}
		if order == 0 {
			if it.reverse {
				it.base.Prev()
			} else {
				it.base.Next()
			}
		}
		if it.set.deleted {
			it.set.next()
			continue
		}
		it.fromSet = true
		it.key, it.value = it.set.key, it.set.value
		return true
	}
}

// settleMixed is settle where mix says what of the base is seen. On equal keys both sides may be, the
// write set first.
func (it *iter) settleMixed() bool {
	for {
		baseOK, order := it.base.Valid(), 1
		switch {
		case it.set.err() != nil:
			it.err = it.set.err()
			return false
		case !it.set.valid && !baseOK:
			return it.finish(false)
		case !baseOK:
			order = -1
		case it.set.valid:
			if order = bytes.Compare(it.set.key, it.base.Key()); it.reverse {
				order = -order
			}
		}
		if order <= 0 {
			it.hidden = order == 0
			if it.set.deleted {
				it.set.next()
				continue
			}
			it.fromSet = true
			it.key, it.value = it.set.key, it.set.value
			return true
		}
		hidden := it.hidden
		it.fromSet, it.hidden = false, false
		if !it.take() {
			return false
		}
		seen, err := it.mix(it.key, it.value, hidden)
		if err != nil {
			it.err = err
			return false
		}
		if seen {
			return true
		}
		if it.reverse {
			it.base.Prev()
		} else {
			it.base.Next()
		}
	}
}

func (it *iter) take() bool {
	it.key = it.base.Key()
	if it.value, it.err = it.base.ValueAndErr(); it.err != nil {
		return false
	}
	return true
}

func (it *iter) finish(baseOK bool) bool {
	if !baseOK && it.err == nil {
		it.err = it.base.Error()
	}
	return false
}

// reportSlow tells of the part of the range that was read, if that took long for what it gave.
func (it *iter) reportSlow() {
	if it.buildup.busy() || !slow(it.base.Stats()) {
		return
	}
	r := store.KeyRange{Start: bytes.Clone(it.bounds.Start), End: bytes.Clone(it.bounds.End)}
	if it.base.Valid() {
		at := append(bytes.Clone(it.base.Key()), 0)
		if it.reverse {
			r.Start = at[:len(at)-1]
		} else {
			r.End = at
		}
	}
	it.buildup.report(r)
}

func (it *iter) close() error {
	it.reportSlow()
	err := it.base.Close()
	if it.set != nil {
		err = errors.Join(err, it.set.close())
	}
	if it.err == nil && err != nil {
		it.err = fmt.Errorf("close an iterator: %w", err)
	}
	return it.err
}

// get reads one key from reader with the transaction's writes over it; nil if it is
// not there. The value is not to be changed.
func (t *Txn) get(reader pebble.Reader, key []byte) ([]byte, error) {
	if !t.set.empty() {
		value, deleted, found, err := t.set.get(key, t.set.seq)
		switch {
		case err != nil || deleted:
			return nil, err
		case found:
			return value, nil
		}
	}
	return store.Get(reader, key)
}
