package txn

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/binlog"
	"stack/roles/db/store"
)

// largeSet is a write set that has left memory, on its way into the store: rows and large
// values are in table files already, which the leader makes part of the store together with
// everything that a batch would hold, in one atomic step. A batch would have to fit in
// memory, in the write-ahead log and in a memtable.
type largeSet struct {
	tables *store.Tables
	others []setEntry // keys outside the spaces of the table files, few
	spans  spans      // of the rows and entries
}

type setEntry struct {
	key []byte
	version
}

// scratch makes temporary storage for the write set, or says that the disk is full.
func (t *Txn) scratch(bytes int64) (*store.Scratch, error) {
	if err := t.e.store.CheckSpace(uint64(bytes)); err != nil {
		return nil, err
	}
	if t.set.spill != nil {
		return t.set.spill.at, nil
	}
	return t.e.store.NewScratch()
}

// commit brings a request into the queue; a write set that has left memory is written to
// table files first, while the leader serves others.
func (e *Engine) commit(r *commitRequest, log *rowLog) (err error) {
	if r.log == nil || log.file == nil {
		return e.commitRows(r)
	}
	for try := 1; ; try++ {
		if r.logFile, err = e.binlog.WriteLarge(r.log, log, log.file, e.ExecutedSet()); err != nil {
			return err
		}
		err = e.commitRows(r)
		r.logFile.Close()
		if !errors.Is(err, binlog.ErrMoved) || try == moveTries {
			return err
		}
		time.Sleep(time.Duration(try) * time.Millisecond) // until the others are published
	}
}

// moveTries is how often the file of a large transaction is written while the executed
// set, which it begins with, changes its length: at the first commit of a server, and
// where transactions of other servers come with gaps.
const moveTries = 20

// commitRows brings a request into the queue, and what has left memory of its rows into
// table files before.
func (e *Engine) commitRows(r *commitRequest) (err error) {
	if r.set == nil || r.set.spill == nil {
		return e.queue.commit(r)
	}
	if err := e.store.CheckSpace(uint64(r.set.total())); err != nil && !r.frees {
		return err
	}
	tables, err := e.store.NewTables()
	if err != nil {
		return err
	}
	defer func() {
		if closed := tables.Close(); closed != nil {
			// The outcome of the commit stands; the files go at the next start.
			e.log.Error("remove the files of a large transaction: " + closed.Error())
		}
	}()
	r.large = &largeSet{tables: tables, spans: spans{}}
	if err := r.large.write(r.set); err != nil {
		return err
	}
	e.waitForMemtables()
	// The store begins another memtable then, with all commits waiting. An allocation then would have to
	// sweep what the garbage collector has left to do: 27 ms for 4 MiB, 0.1 behind this.
	runtime.GC()
	return e.queue.commit(r)
}

// write puts the rows of a set into table files.
func (l *largeSet) write(set *writeSet) (err error) {
	it := set.iter(nil, nil, false, set.seq)
	defer func() { err = errors.Join(err, it.close()) }()
	for ; it.valid; it.next() {
		space := store.Space(it.key[0])
		if space == store.SpaceRows {
			l.spans.add(it.key)
		}
		switch {
		case space != store.SpaceRows && space != store.SpaceLarge:
			l.others = append(l.others, setEntry{bytes.Clone(it.key), version{value: append([]byte{}, it.value...), deleted: it.deleted}})
		case it.deleted:
			err = l.tables.Delete(it.key)
		default:
			err = l.tables.Set(it.key, it.value)
		}
		if err != nil {
			return err
		}
	}
	if err := it.err(); err != nil {
		return err
	}
	return l.tables.Sync()
}

// each calls f for what the leader's batch has to hold.
func (l *largeSet) each(f func(key []byte, v *version) error) error {
	for i := range l.others {
		if err := f(l.others[i].key, &l.others[i].version); err != nil {
			return err
		}
	}
	return nil
}

// commit adds the batch to the table files and makes all of it part of the store, once what
// logged waits for is durable too: the syncs go side by side.
func (l *largeSet) commit(b *pebble.Batch, logged func() error) error {
	entries, err := entriesOfBatch(b)
	if err != nil {
		return err
	}
	above := false
	for i := range entries {
		e := &entries[i]
		switch space := store.Space(e.key[0]); {
		case space == store.SpaceRows || space == store.SpaceLarge:
			return fmt.Errorf("the batch of a large transaction holds the row key % x", e.key)
		case space > store.SpaceLarge && !above:
			above = true // table files may not overlap: those of the rows lie between
			if err := l.tables.Cut(); err != nil {
				return err
			}
		}
		if e.deleted {
			err = l.tables.Delete(e.key)
		} else {
			err = l.tables.Set(e.key, e.value)
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(l.tables.Sync(), logged()); err != nil {
		return err
	}
	return l.tables.Ingest()
}

// entriesOfBatch are the keys of a batch in order, each with the last that was said of it.
func entriesOfBatch(b *pebble.Batch) ([]setEntry, error) {
	var entries []setEntry
	for r := b.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("read a batch: %w", err)
		}
		if !ok {
			break
		}
		e := setEntry{key: key, version: version{seq: uint64(len(entries)), value: value}}
		switch kind {
		case pebble.InternalKeyKindSet:
		case pebble.InternalKeyKindDelete:
			e.deleted = true
		default:
			return nil, fmt.Errorf("a large transaction cannot hold a batch with an operation of kind %s", kind)
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b setEntry) int { return bytes.Compare(a.key, b.key) })
	kept := entries[:0]
	for i := range entries {
		if i+1 < len(entries) && bytes.Equal(entries[i].key, entries[i+1].key) {
			continue
		}
		kept = append(kept, entries[i])
	}
	return kept, nil
}

const (
	// memtablesFree is the number of memtables up to which files are taken in at once. Beyond, the memory
	// of one that was flushed before is in use, and the next one's would have to be allocated.
	memtablesFree = 1
	memtablesWait = 5 * time.Second
)

// waitForMemtables lets memtables go to tables on disk until there is room. Those of the first
// seconds of a server are small, and Pebble leaves them until they are as large together as one
// that is full: nobody flushes them but who asks.
func (e *Engine) waitForMemtables() {
	asked := false
	for end := time.Now().Add(memtablesWait); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		m := e.store.DB.Metrics()
		if m.MemTable.Count <= memtablesFree {
			return
		}
		if asked || m.Flush.NumInProgress > 0 {
			continue
		}
		asked = true
		if _, err := e.store.DB.AsyncFlush(); err != nil {
			e.log.Error("flush memtables ahead of table files: " + err.Error())
			return
		}
	}
}
