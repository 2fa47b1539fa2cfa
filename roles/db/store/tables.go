package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// tableSize is the size of the table files of Tables, bytes.
	tableSize = 128 << 20
	// syncEvery is how much is written to a file between two hints to the disk: all of it at once
	// would hold up the commits of others.
	syncEvery = 512 << 10
	// tableIndexBlock is the size of the parts of their indexes, bytes. Two of each file are read
	// when it becomes part of the store, with all commits waiting: a gigabyte has ten files, and parts of
	// indexBlock took 5 ms of each.
	tableIndexBlock = 32 << 10
)

// Tables collects keys in table files that become part of the store at once, by Ingest. One
// goroutine at a time uses it.
type Tables struct {
	s     *Store
	dir   string
	paths []string
	w     *sstable.Writer
	bytes uint64
	ends  []chan error // of files that are being made durable, in order
}

// endsAtOnce bounds Tables.ends.
const endsAtOnce = 2

// NewTables begins to collect. Close must be called.
func (s *Store) NewTables() (*Tables, error) {
	dir, err := s.newScratch()
	if err != nil {
		return nil, err
	}
	return &Tables{s: s, dir: dir}, nil
}

// Set adds a key; keys come in ascending order.
func (t *Tables) Set(key, value []byte) error { return t.add(key, value, false) }

// Delete adds a tombstone.
func (t *Tables) Delete(key []byte) error { return t.add(key, nil, true) }

func (t *Tables) add(key, value []byte, deleted bool) error {
	if t.w == nil {
		path := filepath.Join(t.dir, strconv.Itoa(len(t.paths))+".sst")
		o := t.s.pebbleOptions()
		o.EnsureDefaults()
		o.Levels[0].IndexBlockSize = tableIndexBlock
		w, err := newTable(t.s.fs, o, t.s.DB.TableFormat(), path)
		if err != nil {
			return err
		}
		t.w, t.bytes, t.paths = w, 0, append(t.paths, path)
	}
	var err error
	if deleted {
		err = t.w.Delete(key)
	} else {
		err = t.w.Set(key, value)
	}
	if err != nil {
		return fmt.Errorf("write a table file: %w", err)
	}
	if t.bytes += uint64(len(key) + len(value)); t.bytes >= tableSize {
		return t.Cut()
	}
	return nil
}

// Cut ends the file that is being written: keys below those added so far may follow in the
// next one, as long as no two files overlap. It is made durable in the background.
func (t *Tables) Cut() error {
	if t.w == nil {
		return nil
	}
	w, end := t.w, make(chan error, 1)
	t.w, t.ends = nil, append(t.ends, end)
	go func() { end <- w.Close() }()
	return t.wait(endsAtOnce)
}

// Sync returns when everything that was added is durable, in files that nobody knows yet.
func (t *Tables) Sync() error { return errors.Join(t.Cut(), t.wait(0)) }

// wait returns when no more than so many files are being made durable.
func (t *Tables) wait(most int) (err error) {
	for len(t.ends) > most {
		if failed := <-t.ends[0]; failed != nil {
			err = errors.Join(err, fmt.Errorf("write a table file: %w", failed))
		}
		t.ends = t.ends[1:]
	}
	return err
}

// Ingest makes everything part of the store, atomically and durably: as a batch that is
// committed with a sync would. It waits for a Checkpoint that is being made.
func (t *Tables) Ingest() error {
	if err := t.Sync(); err != nil {
		return err
	}
	if len(t.paths) == 0 {
		return nil
	}
	t.s.taking.RLock()
	defer t.s.taking.RUnlock()
	if err := t.s.DB.Ingest(context.Background(), t.paths); err != nil {
		return fmt.Errorf("take table files into the store: %w", err)
	}
	return nil
}

// Close removes the files that have not been ingested.
func (t *Tables) Close() error {
	err := t.Sync()
	return errors.Join(err, t.s.fs.RemoveAll(t.dir))
}

// newTable makes a table file. Close syncs it.
func newTable(fs vfs.FS, o *pebble.Options, format sstable.TableFormat, path string) (*sstable.Writer, error) {
	file, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("make a table file: %w", err)
	}
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: syncEvery})
	return sstable.NewWriter(objstorageprovider.NewFileWritable(file), o.MakeWriterOptions(0, format)), nil
}
