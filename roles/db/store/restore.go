package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restoreFile stands in a data directory for as long as a restore into it is not finished:
// nothing opens such a directory.
const restoreFile = "RESTORE"

// Restore is a data directory that is being filled from a backup. It is owned by this
// process until Finish or Abort.
type Restore struct {
	dir   string
	fs    vfs.FS
	owner *owner
}

// refuseUnfinished refuses a directory that a restore has begun and not finished.
func refuseUnfinished(fs vfs.FS, dir string) error {
	switch _, err := fs.Stat(filepath.Join(dir, restoreFile)); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	return fmt.Errorf("a restore into data directory %s was not finished: run stack db restore again", dir)
}

// BeginRestore claims a data directory to restore into: one that does not exist, is empty,
// or that a restore has begun and not finished, of which nothing is kept. Any other is
// refused and stays as it is. fs nil is the operating system's.
func BeginRestore(fs vfs.FS, dir string) (_ *Restore, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	own, err := takeOwnership(fs, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, own.release())
		}
	}()
	r := &Restore{dir: dir, fs: fs, owner: own}
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	begun := refuseUnfinished(fs, dir) != nil
	for _, name := range names {
		if name != lockFile && name != "lost+found" && !begun {
			return nil, fmt.Errorf("data directory %s is not empty (%s): a restore overwrites nothing; move it away, or set another db.data_dir", dir, name)
		}
	}
	mark, err := fs.Create(filepath.Join(dir, restoreFile), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(mark.Sync(), mark.Close(), syncDir(fs, dir))
	}
	if err == nil && begun {
		err = r.clear()
	}
	if err == nil {
		err = makeDir(fs, filepath.Join(dir, pebbleDir))
	}
	if err != nil {
		return nil, fmt.Errorf("begin a restore into %s: %w", dir, err)
	}
	return r, nil
}

// clear removes what an unfinished restore has left, but its mark and the lock.
func (r *Restore) clear() error {
	return errors.Join(r.fs.RemoveAll(filepath.Join(r.dir, pebbleDir)), removeIfThere(r.fs, filepath.Join(r.dir, formatFile)),
		removeIfThere(r.fs, filepath.Join(r.dir, formatFile+".new")))
}

func removeIfThere(fs vfs.FS, path string) error {
	if err := fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Path is where the file of a backup with this name goes.
func (r *Restore) Path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// Finish makes the filled directory a server of its own: a new server UUID, an executed set
// of its own that begins empty, and what the backup had executed as its history. From here
// on the directory can be opened. The caller has synced the files.
func (r *Restore) Finish(version string) (server string, err error) {
	s := &Store{dir: r.dir, fs: r.fs, owner: r.owner}
	s.opts = Options{Dir: r.dir, FS: r.fs, Version: version}
	s.opts.setDefaults()
	s.log = s.opts.Log
	err = syncDir(r.fs, filepath.Join(r.dir, pebbleDir))
	var f *format
	if err == nil {
		f, err = readFormat(r.fs, r.dir)
	}
	if err == nil && f == nil {
		err = fmt.Errorf("the backup holds no %s", formatFile)
	}
	if err == nil {
		err = s.openPebble(false)
	}
	if err != nil {
		return "", fmt.Errorf("finish the restore into %s: %w", r.dir, err)
	}
	if err = s.verify(f); err == nil {
		err = s.rename()
	}
	if err = errors.Join(err, s.closeDB()); err == nil {
		err = s.writeFormat()
	}
	if err == nil {
		err = errors.Join(r.fs.Remove(filepath.Join(r.dir, restoreFile)), syncDir(r.fs, r.dir))
	}
	if err == nil {
		err = r.owner.release()
	}
	if err != nil {
		return "", fmt.Errorf("finish the restore into %s: %w", r.dir, err)
	}
	return s.Server, nil
}

// rename gives the store a new server UUID. The binary log is another server's and goes.
func (s *Store) rename() error {
	if err := s.readHistory(); err != nil {
		return err
	}
	executed, err := Get(s.DB, MetaExecutedKey())
	if err != nil {
		return err
	}
	history := joinSets(s.History, string(executed))
	s.Server = newUUID()
	b := s.DB.NewBatch()
	defer b.Close()
	log := SpaceRange(SpaceBinlog)
	files, marks := []byte{byte(SpaceMeta), metaLogFile}, []byte{byte(SpaceMeta), metaLogSealed}
	err = errors.Join(
		b.Set([]byte{byte(SpaceMeta), metaServer}, []byte(s.Server), nil),
		b.Delete(MetaExecutedKey(), nil),
		b.DeleteRange(log.Start, log.End, nil),
		b.DeleteRange(files, PrefixEnd(files), nil),
		b.DeleteRange(marks, PrefixEnd(marks), nil),
	)
	if history != "" {
		err = errors.Join(err, b.Set(metaHistoryKey(), []byte(history), nil))
	}
	return errors.Join(err, b.Commit(pebble.Sync))
}

// joinSets is the union of two GTID sets of different servers.
func joinSets(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "," + b
}

func (s *Store) readHistory() error {
	b, err := Get(s.DB, metaHistoryKey())
	if err != nil {
		return err
	}
	s.History = string(b)
	return nil
}

// ExecutedWith is the whole executed set: own, the set of this server, and the history.
func (s *Store) ExecutedWith(own string) string { return joinSets(s.History, own) }

// Abort gives the directory free. It stays marked as unfinished, so that nothing opens it.
func (r *Restore) Abort() error { return r.owner.release() }
