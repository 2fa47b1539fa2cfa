package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// OpenReadOnly opens a data directory that no process uses, to look at it. Its content is
// not changed. The store accepts no writes.
func OpenReadOnly(opts Options) (*Store, error) {
	opts.setDefaults()
	if _, err := opts.FS.Stat(opts.Dir); err != nil {
		return nil, fmt.Errorf("cannot read data directory %s: %w", opts.Dir, err)
	}
	if !IsDataDirectory(opts.FS, opts.Dir) {
		// Before the lock, which is a file: one of somebody else is not to get it.
		if err := refuseUnfinished(opts.FS, opts.Dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s holds no store", opts.Dir)
	}
	own, err := takeOwnership(opts.FS, opts.Dir)
	if err != nil {
		return nil, err
	}
	s, err := openReadOnly(opts)
	if err != nil {
		return nil, errors.Join(err, own.release())
	}
	s.owner = own
	return s, nil
}

// OpenBackup opens the copy that Checkpoint has made in a directory, to look at it. It
// leaves no file behind and may be called for the same directory more than once.
func OpenBackup(opts Options) (*Store, error) {
	opts.setDefaults()
	opts.FS = unlocked{opts.FS}
	return openReadOnly(opts)
}

func openReadOnly(opts Options) (*Store, error) {
	s := &Store{dir: opts.Dir, fs: opts.FS, log: opts.Log, opts: opts}
	if err := refuseUnfinished(s.fs, s.dir); err != nil {
		return nil, err
	}
	format, err := readFormat(s.fs, s.dir)
	if err == nil && format == nil {
		err = fmt.Errorf("%s holds no store", s.dir)
	}
	if err != nil {
		return nil, err
	}
	if err := s.openPebble(true); err != nil {
		return nil, err
	}
	if err := errors.Join(s.verify(format), s.readHistory()); err != nil {
		return nil, errors.Join(err, s.closeDB())
	}
	return s, nil
}

// unlocked is a file system in which locking does nothing: for directories that are only
// read, perhaps on a disk that cannot be written.
type unlocked struct{ vfs.FS }

func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap gives what it stands for.
func (u unlocked) Unwrap() vfs.FS { return u.FS }

// Checkpoint makes a copy of the store, as it is at one moment during the call, with everything that was
// committed before it: in dir, which must be there and empty, and on the file system of the data directory, where
// files that do not change any more are hard links. On return the copy is durable. It ends with the
// file at which it notices that ctx has ended.
//
// Pebble lists the tables when it begins, and copies the write-ahead log when it has linked them, with what was committed
// meanwhile. Table files that are ingested in between are in neither, but commits that build on them would be in
// the log: so Tables.Ingest waits until the copy is made. Other commits do not.
func (s *Store) Checkpoint(ctx context.Context, dir string) error {
	defer s.pebbleFS.during(ctx, dir)()
	s.taking.Lock()
	err := s.DB.Checkpoint(filepath.Join(dir, pebbleDir), pebble.WithFlushedWAL())
	s.taking.Unlock()
	if err == nil {
		// A copy, no link: nothing else names the file's content.
		err = vfs.Copy(s.fs, filepath.Join(s.dir, formatFile), filepath.Join(dir, formatFile))
	}
	if err == nil {
		err = errors.Join(syncDir(s.fs, filepath.Join(dir, pebbleDir)), syncDir(s.fs, dir))
	}
	if err != nil {
		return fmt.Errorf("copy the store to %s: %w", dir, err)
	}
	return nil
}

// TemporaryCheckpoint makes a Checkpoint in a directory of its own inside the data directory. The caller removes it; otherwise
// the next start does.
func (s *Store) TemporaryCheckpoint(ctx context.Context) (dir string, remove func() error, err error) {
	if dir, err = s.newScratch(); err != nil {
		return "", nil, err
	}
	remove = func() error { return s.fs.RemoveAll(dir) }
	if err = s.Checkpoint(ctx, dir); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return dir, remove, nil
}

// CheckFiles reads every table file that is in use from the disk, past all caches, and calls
// damaged for each of which a block does not have its checksum, or which is not there. Files that the store removes
// meanwhile are left out, and so are those that it is writing, or was when its process was killed: they belong to
// it when they are whole. It answers how many were read; an error, which may be ctx's, means that it could not go on.
func (s *Store) CheckFiles(ctx context.Context, damaged func(file string, err error)) (files int, err error) {
	names, err := s.tablesInUse()
	if err != nil {
		return 0, err
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := ctx.Err(); err != nil {
			return files, err
		}
		path := filepath.Join(s.dir, pebbleDir, name)
		failed := s.checkFile(ctx, path)
		if errors.Is(failed, os.ErrNotExist) {
			used, err := s.tablesInUse()
			if err != nil {
				return files, err
			}
			if !slices.Contains(used, name) {
				continue
			}
		}
		if failed != nil {
			damaged(path, failed)
		}
		files++
	}
	return files, nil
}

const tableSuffix = ".sst"

// tablesInUse names the table files of the newest version of the store.
func (s *Store) tablesInUse() (names []string, err error) {
	levels, err := s.DB.SSTables()
	if err != nil {
		return nil, fmt.Errorf("list the table files of %s: %w", s.dir, err)
	}
	for _, tables := range levels {
		for _, table := range tables {
			names = append(names, table.BackingSSTNum.String()+tableSuffix)
		}
	}
	return names, nil
}

func (s *Store) checkFile(ctx context.Context, path string) (err error) {
	file, err := s.fs.Open(path)
	if err != nil {
		return err
	}
	in, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	o := s.pebbleOptions()
	o.EnsureDefaults()
	o.Cache = nil
	r, err := sstable.NewReader(ctx, in, o.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, in.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}
