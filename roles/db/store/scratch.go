package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// scratchDir holds what a process needs while it runs: a start removes it.
const scratchDir = "tmp"

const (
	// tableSize is the size of the table files of Tables, bytes.
	tableSize = 128 << 20
	// syncEvery is how much is written to a table file between two syncs: one sync of all
	// of it would hold up the commits of others.
	syncEvery = 512 << 10
)

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
// synced, and no crash leaves it behind for long. It grows by sorted runs. One goroutine at
// a time uses it.
type Scratch struct {
	DB *pebble.DB

	dir   string
	fs    vfs.FS
	opts  *pebble.Options
	cache *pebble.Cache
	runs  int
}

// NewScratch makes an empty one. Close removes it.
func (s *Store) NewScratch() (*Scratch, error) {
	dir, err := s.newScratch()
	if err != nil {
		return nil, err
	}
	c := &Scratch{dir: dir, fs: volatile{s.fs}, cache: pebble.NewCache(8 << 20)}
	c.opts = &pebble.Options{
		FS: c.fs, Cache: c.cache, DisableWAL: true, MemTableSize: 64 << 10, FormatMajorVersion: pebbleFormat,
		Logger: logger{s.log, s.opts.Fatal}, EventListener: s.events(),
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
	}
	for i := range c.opts.Levels {
		c.opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	c.opts.EnsureDefaults()
	if c.DB, err = pebble.Open(filepath.Join(dir, "db"), c.opts); err != nil {
		c.cache.Unref()
		return nil, errors.Join(fmt.Errorf("open temporary storage in %s: %w", dir, err), s.fs.RemoveAll(dir))
	}
	return c, nil
}

// Add puts a run of keys in: fill gives them in ascending order, each once, to set. Keys
// that are there already are replaced.
func (c *Scratch) Add(fill func(set func(key, value []byte) error) error) error {
	c.runs++
	path := filepath.Join(c.dir, strconv.Itoa(c.runs)+".run")
	w, err := newTable(c.fs, c.opts, c.DB.TableFormat(), path)
	if err != nil {
		return err
	}
	n := 0
	err = fill(func(key, value []byte) error {
		n++
		return w.Set(key, value)
	})
	if err = errors.Join(err, w.Close()); err == nil && n > 0 {
		err = c.DB.Ingest(context.Background(), []string{path})
	}
	if err != nil {
		return fmt.Errorf("write temporary storage in %s: %w", c.dir, err)
	}
	return nil
}

// Close removes everything. Iterators must be closed before.
func (c *Scratch) Close() error {
	err := c.DB.Close()
	c.cache.Unref()
	return errors.Join(err, c.fs.RemoveAll(c.dir))
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

// Tables collects keys in table files that become part of the store at once, by Ingest. One
// goroutine at a time uses it.
type Tables struct {
	s     *Store
	dir   string
	paths []string
	w     *sstable.Writer
	bytes uint64
}

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
// next one, as long as no two files overlap.
func (t *Tables) Cut() error {
	if t.w == nil {
		return nil
	}
	err := t.w.Close()
	t.w = nil
	if err != nil {
		return fmt.Errorf("write a table file: %w", err)
	}
	return nil
}

// Ingest makes everything part of the store, atomically and durably: as a batch that is
// committed with a sync would.
func (t *Tables) Ingest() error {
	if err := t.Cut(); err != nil {
		return err
	}
	if len(t.paths) == 0 {
		return nil
	}
	if err := t.s.DB.Ingest(context.Background(), t.paths); err != nil {
		return fmt.Errorf("take table files into the store: %w", err)
	}
	return nil
}

// Close removes the files that have not been ingested.
func (t *Tables) Close() error {
	err := t.Cut()
	return errors.Join(err, t.s.fs.RemoveAll(t.dir))
}

// volatile is a file system on which syncing does nothing.
type volatile struct{ vfs.FS }

// Unwrap gives what it stands for.
func (v volatile) Unwrap() vfs.FS { return v.FS }

func (v volatile) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return unsynced(v.FS.Create(name, category))
}

func (v volatile) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return unsynced(v.FS.OpenReadWrite(name, category, opts...))
}

func (v volatile) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return unsynced(v.FS.ReuseForWrite(oldname, newname, category))
}

func (v volatile) OpenDir(name string) (vfs.File, error) { return unsynced(v.FS.OpenDir(name)) }

// Lock takes no lock: the directory is this process's own.
func (v volatile) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func unsynced(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error                { return nil }
func (unsyncedFile) SyncData() error            { return nil }
func (unsyncedFile) SyncTo(int64) (bool, error) { return true, nil }
