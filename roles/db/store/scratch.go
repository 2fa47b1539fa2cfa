package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// scratchDir holds what a process needs while it runs: a start removes it.
const scratchDir = "tmp"

// clearScratch removes what the process before has left.
func (s *Store) clearScratch() error {
	dir := filepath.Join(s.dir, scratchDir)
	if err := s.fs.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// newScratch makes a directory of its own for one user.
func (s *Store) newScratch() (string, error) {
	dir := filepath.Join(s.dir, scratchDir, strconv.FormatUint(s.scratches.Add(1), 10))
	if err := s.fs.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a directory for temporary files: %w", err)
	}
	return dir, nil
}

// Scratch is an ordered set of keys on disk that is gone with the process: nothing of it is
// synced, and no crash leaves it behind for long. It grows by sorted runs; where there are many,
// they are merged, so that an entry is rewritten once or twice however much there is. One
// goroutine at a time uses it and its iterators.
//
// While there is one, the block cache does not grow much.
//
// Each key ends in 8 bytes that tell the versions of a key apart; no key comes twice.
type Scratch struct {
	s      *Store
	dir    string
	runs   []*run // oldest first, merged ones before those that are not
	made   int
	packed []byte // scratch of reads
	lookup bool   // something was looked for among the keys of a run: runs have filters
}

const (
	// mergeAtOnce is how many runs become one. Each takes a block of memory, and so does each run
	// that is left when everything is read: not more than this of each level.
	mergeAtOnce = 64
	// filterLimit bounds the filters of one Scratch, bytes. Runs beyond it are read to see what
	// they hold.
	filterLimit = 32 << 20
)

// NewScratch makes an empty one. Close removes it.
func (s *Store) NewScratch() (*Scratch, error) {
	dir, err := s.newScratch()
	if err != nil {
		return nil, err
	}
	s.holdCache()
	return &Scratch{s: s, dir: dir}, nil
}

// Add puts a run of keys in, which fill gives in ascending order. What is in it is newer than what
// was added before. With an error nothing was put in: runs are merged before, not behind it.
func (c *Scratch) Add(fill func(w *RunWriter) error) error {
	if err := c.merge(); err != nil {
		return err
	}
	w, err := c.write(0)
	if err != nil {
		return err
	}
	w.hash = c.lookup
	if err := fill(w); err != nil {
		return errors.Join(err, w.r.release())
	}
	r, err := w.finish()
	if err != nil {
		return errors.Join(err, w.r.release())
	}
	if r.entries == 0 {
		return r.release()
	}
	c.runs = append(c.runs, r)
	return nil
}

func (c *Scratch) write(level int) (*RunWriter, error) {
	c.made++
	return newRunWriter(c.s.fs, filepath.Join(c.dir, strconv.Itoa(c.made)+".run"), level)
}

// merge makes one run of the newest ones of a level where they are many. Where it fails they stay.
func (c *Scratch) merge() error {
	for {
		end := len(c.runs)
		begin, bytes, entries := end, int64(0), 0
		for ; begin > 0 && c.runs[begin-1].level == c.runs[end-1].level; begin-- {
			bytes, entries = bytes+c.runs[begin-1].bytes, entries+c.runs[begin-1].entries
		}
		// Without the space for both, the runs stay as they are.
		if end-begin < mergeAtOnce || c.s.CheckSpace(uint64(bytes)) != nil {
			return nil
		}
		if err := c.mergeRuns(begin, end, entries); err != nil {
			return err
		}
	}
}

func (c *Scratch) mergeRuns(begin, end, entries int) (err error) {
	from := c.runs[begin:end]
	w, err := c.write(from[0].level + 1)
	if err != nil {
		return err
	}
	if c.lookup && c.filters()+filterBytes(entries) <= filterLimit {
		w.hash, w.r.filter = true, newFilter(entries)
	}
	it := c.iter(from, nil, nil)
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if err = w.Set(it.Key(), it.Value()); err == nil && it.cut() {
			err = w.Cut()
		}
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return errors.Join(err, w.r.release())
	}
	r, err := w.finish()
	if err != nil {
		return errors.Join(err, w.r.release())
	}
	// The iterator has ended: what is put in takes the place of what it has read.
	merged := slices.Clone(from)
	c.runs = slices.Replace(c.runs, begin, end, r)
	for _, r := range merged {
		err = errors.Join(err, r.release())
	}
	return err
}

// filters are the bytes of all filters.
func (c *Scratch) filters() (n int64) {
	for _, r := range c.runs {
		n += int64(len(r.filter)) * 8
	}
	return n
}

// Find calls f for the versions of key, of the newest run first, until it returns false or an error.
// version and value are valid during the call.
func (c *Scratch) Find(key []byte, f func(version, value []byte) (more bool, err error)) error {
	for i := len(c.runs) - 1; i >= 0; i-- {
		r := c.runs[i]
		block := r.reach(key)
		if block == len(r.blocks) {
			continue
		}
		if first := r.firstKey(block); bytes.Compare(first, key) > 0 && !bytes.HasPrefix(first, key) {
			continue // it lies between two blocks
		}
		if !c.lookup {
			if err := c.fillFilters(); err != nil {
				return err
			}
		}
		if r.filter != nil && !r.filter.may(xxhash.Sum64(key)) {
			continue
		}
		more, err := r.find(key, &c.packed, f)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func versionOf(entry, key []byte) bool {
	return len(entry) == len(key)+versionSize && bytes.HasPrefix(entry, key)
}

// find is Scratch.Find of one run.
func (r *run) find(key []byte, packed *[]byte, f func(version, value []byte) (bool, error)) (more bool, err error) {
	r.found.run = r
	ok, err := r.found.seek(key, false, packed)
	for ; ok && err == nil; ok, err = r.found.step(false) {
		if !versionOf(r.found.key, key) {
			// Another key may lie between the versions of one that begins as it does.
			if !bytes.HasPrefix(r.found.key, key) {
				return true, nil
			}
		} else if err = r.found.settle(false, packed); err != nil {
			return false, err
		} else if more, err = f(r.found.key[len(key):], r.found.value); err != nil || !more {
			return false, err
		}
		if err = r.found.settle(false, packed); err != nil {
			return false, err
		}
	}
	return err == nil, err
}

// fillFilters gives the runs their filters, the first time that something is looked for among the
// keys of one. Rows that come in the order of their keys need none.
func (c *Scratch) fillFilters() error {
	for i, r := range c.runs {
		if r.filter != nil || c.filters()+filterBytes(r.entries) > filterLimit {
			continue
		}
		f := newFilter(r.entries)
		it := c.iter(c.runs[i:i+1], nil, nil)
		for ok := it.First(); ok; ok = it.Next() {
			f.add(xxhash.Sum64(it.Key()[:len(it.Key())-versionSize]))
		}
		if err := it.Close(); err != nil {
			return err
		}
		r.filter = f // a part of it would deny what is there
	}
	c.lookup = true
	return nil
}

// Close removes everything. Iterators must be closed before.
func (c *Scratch) Close() (err error) {
	for _, r := range c.runs {
		err = errors.Join(err, r.release())
	}
	c.runs = nil
	c.s.letCache()
	return errors.Join(err, c.s.fs.RemoveAll(c.dir))
}
