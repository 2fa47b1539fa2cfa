package txn

import (
	"bytes"
	"errors"
	"time"

	"stack/roles/db/store"
)

// A locking read iterates over the published view and locks what it finds. Locks are
// given back after the view with the changes is published, so once a lock is granted
// the view of then holds the newest state of what it locks. Whether the view that the
// iterator reads is as new as that is told by the versions of the indexes, which move
// when a writer lets go: where one has moved since the view was taken, the iterator is
// opened anew at the place where it stood.

// lockedRows is the state of a locking read.
type lockedRows struct {
	mode     LockMode
	wait     time.Duration
	rest     store.KeyRange // what the range still has to give
	index    *keyLocks
	primary  *keyLocks
	versions [2]uint64 // of the index and the primary index, when the view was taken
	spare    []byte    // buffer for rest
	stay     bool      // the iterator stands on an entry that has not been looked at
	ended    bool
}

func (r *Rows) openLocked() error {
	l := &r.locked
	l.mode, _ = r.scan.Mode.locks()
	l.wait, l.rest = r.t.lockWait, r.scan.Range
	if r.scan.Waiting != WaitLocked {
		l.wait = noWait
	}
	locks := r.t.e.locks
	l.index, l.primary = locks.at(indexSpace(r.index.Desc.ID)), locks.at(indexSpace(r.table.Primary.Desc.ID))
	points := r.t.isolation == ReadCommitted || r.scan.Waiting == SkipLocked
	switch {
	case r.scan.Keys != nil:
		r.next, r.reader = r.nextLockedKey, r.t.e.store.DB
		return nil
	case r.scan.Point && (!points || r.index.IsPrimary() && r.scan.Waiting != SkipLocked):
		r.next, r.reader = r.nextKey, r.t.e.store.DB
		return nil
	case points:
		r.next = r.nextPoint
	default:
		r.next = r.nextRanged
	}
	return r.reopen()
}

// reopen reads from the published view of now, from rest on.
func (r *Rows) reopen() error {
	l := &r.locked
	l.versions = r.versions()
	v := r.t.e.currentView()
	if v == nil {
		return ErrClosed
	}
	it, err := r.t.newIter(v.snap, l.rest, r.scan.Reverse, r.seq)
	if err != nil {
		r.t.e.releaseView(v)
		return err
	}
	// Only now: an open iterator keeps the older values in the write set that it sees.
	if r.it != nil {
		err = r.it.close()
	}
	r.dropView()
	r.it, r.view, r.reader = it, v, v.snap
	return err
}

func (r *Rows) versions() [2]uint64 {
	return [2]uint64{r.locked.index.version.Load(), r.locked.primary.version.Load()}
}

// lockRow locks the row under a primary key.
func (r *Rows) lockRow(primary []byte) (fresh bool, err error) {
	return r.t.point(r.ctx, indexSpace(r.table.Primary.Desc.ID), primary, r.locked.mode, r.locked.wait)
}

func (r *Rows) unlockRow(primary []byte, fresh bool) {
	if fresh {
		r.t.unlock(indexSpace(r.table.Primary.Desc.ID), primary)
	}
}

// nextKey reads the one row of a point. The key is locked, whether there is a row or
// not; under READ COMMITTED only where a row is returned.
func (r *Rows) nextKey() (bool, error) {
	if r.locked.ended {
		return false, nil
	}
	r.locked.ended = true
	key := r.scan.Range.Start
	fresh, err := r.t.point(r.ctx, indexSpace(r.index.Desc.ID), key, r.locked.mode, r.locked.wait)
	if err != nil {
		return false, err
	}
	ok, err := r.readKey(key)
	if err == nil && !ok && r.t.isolation == ReadCommitted {
		r.unlockRow(key, fresh)
	}
	return ok, err
}

func (r *Rows) readKey(key []byte) (bool, error) {
	value, err := r.t.getAt(r.reader, key, r.seq)
	if err != nil || value == nil {
		return false, err
	}
	if !r.index.IsPrimary() {
		primary, err := r.index.PrimaryKeyOf(key, value)
		if err != nil {
			return false, err
		}
		if _, err := r.lockRow(primary); err != nil {
			return false, err
		}
	}
	return r.decode(key, value)
}

// nextLockedKey locks the next of the rows asked for and reads it as it is then. Under READ
// COMMITTED those that are not to be returned are not waited for, or let go.
func (r *Rows) nextLockedKey() (bool, error) {
	points := r.t.isolation == ReadCommitted || r.scan.Waiting == SkipLocked
	for len(r.scan.Keys) > 0 {
		key := r.scan.Keys[0]
		r.scan.Keys = r.scan.Keys[1:]
		if err := r.ctx.Err(); err != nil {
			return false, err
		}
		if points {
			if ok, err := r.publishedKey(key); err != nil {
				return false, err
			} else if !ok {
				continue
			}
		}
		fresh, err := r.lockRow(key)
		if r.scan.Waiting == SkipLocked && errors.Is(err, ErrLocked) {
			continue
		}
		if err != nil {
			return false, err
		}
		ok, err := r.readKey(key)
		if ok || err != nil {
			return ok, err
		}
		if points {
			r.unlockRow(key, fresh)
		}
	}
	return false, nil
}

// publishedKey says whether a row is to be returned as far as is published.
func (r *Rows) publishedKey(key []byte) (bool, error) {
	v := r.t.e.currentView()
	if v == nil {
		return false, ErrClosed
	}
	defer r.t.e.releaseView(v)
	r.reader = v.snap
	defer func() { r.reader = r.t.e.store.DB }()
	return r.readKey(key)
}

// nextRanged locks, in the index, everything from where it stands to the next key with
// that key, and the row that it names: until the end nothing comes, changes or goes
// where it has read. At the end of the range it locks the rest. It stops where its
// caller does.
func (r *Rows) nextRanged() (bool, error) {
	l := &r.locked
	for !l.ended {
		found := r.it.next()
		if r.it.err != nil {
			return false, r.it.err
		}
		step := l.rest
		if found {
			l.spare = append(l.spare[:0], r.it.key...)
			if r.scan.Reverse {
				step.Start = l.spare
			} else {
				l.spare = append(l.spare, 0)
				step.End = l.spare
			}
		}
		if err := r.t.span(r.ctx, r.index.Desc.ID, step, l.mode, l.wait); err != nil {
			return false, err
		}
		if l.versions[0] != l.index.version.Load() {
			if err := r.reopen(); err != nil {
				return false, err
			}
			continue
		}
		if !found {
			l.ended = true
			return false, nil
		}
		if r.scan.Reverse {
			l.rest.End, l.spare = step.Start, nil
		} else {
			l.rest.Start, l.spare = step.End, nil
		}
		if ok, err := r.decodeRanged(); ok || err != nil {
			return ok, err
		}
		if err := r.ctx.Err(); err != nil {
			return false, err
		}
	}
	return false, nil
}

// decodeRanged decodes the entry at which the iterator stands. The row of a secondary
// entry is locked and then read as it is now, for it may have changed since the view.
func (r *Rows) decodeRanged() (bool, error) {
	if !r.index.IsPrimary() {
		primary, err := r.index.PrimaryKeyOf(r.it.key, r.it.value)
		if err != nil {
			return false, err
		}
		if _, err := r.lockRow(primary); err != nil {
			return false, err
		}
		r.reader = r.t.e.store.DB
	}
	return r.decode(r.it.key, r.it.value)
}

// nextPoint locks the rows that it returns and nothing else. A row that does not match
// is not waited for.
func (r *Rows) nextPoint() (bool, error) {
	l := &r.locked
	for !l.ended {
		if !l.stay && !r.it.next() {
			break
		}
		l.stay = false
		if err := r.ctx.Err(); err != nil {
			return false, err
		}
		if ok, err := r.decode(r.it.key, r.it.value); err != nil {
			return false, err
		} else if !ok {
			continue
		}
		primary := bytes.Clone(r.primary)
		fresh, err := r.lockRow(primary)
		if r.scan.Waiting == SkipLocked && errors.Is(err, ErrLocked) {
			continue
		}
		if err != nil {
			return false, err
		}
		if l.versions == r.versions() {
			return true, nil
		}
		ok, err := r.again(primary)
		if ok || err != nil {
			return ok, err
		}
		r.unlockRow(primary, fresh)
	}
	l.ended = true
	return false, r.it.err
}

// again looks, in the view of now, at the entry where the iterator stands, whose row
// has just been locked. false: it is not there any more or does not match any more.
func (r *Rows) again(primary []byte) (bool, error) {
	l := &r.locked
	key := bytes.Clone(r.it.key)
	if r.scan.Reverse {
		l.rest.End = append(bytes.Clone(key), 0)
	} else {
		l.rest.Start = key
	}
	if err := r.reopen(); err != nil {
		return false, err
	}
	if !r.it.next() {
		l.ended = true
		return false, r.it.err
	}
	if !bytes.Equal(r.it.key, key) {
		l.stay = true
		return false, nil
	}
	ok, err := r.decode(r.it.key, r.it.value)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(r.primary, primary) {
		l.stay = true // a unique entry that names another row now
		return false, nil
	}
	return ok, nil
}
