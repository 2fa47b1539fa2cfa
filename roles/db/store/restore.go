package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restoreFile stands in a data directory for as long as a restore into it is not finished:
// nothing opens such a directory.
const restoreFile = "RESTORE"

// restoreNew is what becomes that: a process may have ended in between.
const restoreNew = restoreFile + ".new"

// Restore is a data directory that is being filled from a backup. It is owned by this
// process until Finish or Abort.
type Restore struct {
	dir   string
	fs    vfs.FS
	owner *owner
}

// refuseUnfinished refuses a directory that a restore or a clone has begun and not finished.
func refuseUnfinished(fs vfs.FS, dir string) error {
	switch _, err := fs.Stat(filepath.Join(dir, restoreFile)); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	what, err := readMark(fs, dir)
	if err != nil {
		return err
	}
	if what != "" {
		return fmt.Errorf("a clone into data directory %s was not finished: run stack db clone again", dir)
	}
	return fmt.Errorf("a restore into data directory %s was not finished: run stack db restore again", dir)
}

// BeginRestore claims a data directory to restore into: one that does not exist, is empty,
// or that a restore has begun and not finished, of which nothing is kept. Any other is
// refused and stays as it is. fs nil is the operating system's.
func BeginRestore(fs vfs.FS, dir string) (*Restore, error) {
	if fs == nil {
		fs = vfs.Default
	}
	if _, err := fs.Stat(filepath.Join(dir, restoreFile)); err == nil {
		if what, err := readMark(fs, dir); err != nil {
			return nil, err
		} else if what != "" {
			return nil, fmt.Errorf("a clone into data directory %s was not finished: run stack db clone again, or empty the directory", dir)
		}
	}
	return beginRestore(fs, dir, false)
}

// beginRestore is BeginRestore; with keep, what is there of an unfinished one stays.
func beginRestore(fs vfs.FS, dir string, keep bool) (_ *Restore, err error) {
	// A directory of somebody else is not to get a file of ours.
	if err := refuseFull(fs, dir, lockFile); err != nil {
		return nil, err
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
	if err := refuseFull(fs, dir, ""); err != nil {
		return nil, err
	}
	begun := refuseUnfinished(fs, dir) != nil
	mark, err := fs.Create(filepath.Join(dir, restoreFile), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(mark.Sync(), mark.Close(), syncDir(fs, dir))
	}
	if err == nil && begun && !keep {
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

// refuseFull refuses a directory that holds anything, unless a restore has begun in it. One
// that holds a file called unless is left to the caller: somebody may own it.
func refuseFull(fs vfs.FS, dir, unless string) error {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	if slices.Contains(names, restoreFile) || slices.Contains(names, unless) {
		return nil
	}
	for _, name := range names {
		if name != lockFile && name != "lost+found" && name != restoreNew {
			return fmt.Errorf("data directory %s is not empty (%s): a restore overwrites nothing; move it away, or set another db.data_dir", dir, name)
		}
	}
	return nil
}

// clear removes what an unfinished restore has left, but its mark and the lock.
func (r *Restore) clear() error {
	return errors.Join(r.fs.RemoveAll(filepath.Join(r.dir, pebbleDir)), r.fs.RemoveAll(filepath.Join(r.dir, "binlog")), r.fs.RemoveAll(filepath.Join(r.dir, scratchDir)), removeIfThere(r.fs, filepath.Join(r.dir, formatFile)),
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
// of its own that begins empty, and what the backup had executed as its history. then, where
// not nil, goes on with the store, which is closed behind it. From here on the directory can
// be opened; where then fails it stays unfinished. The caller has synced the files.
func (r *Restore) Finish(opts Options, then func(*Store) error) (server string, err error) {
	opts.Dir, opts.FS = r.dir, r.fs
	s := &Store{dir: r.dir, fs: r.fs, owner: r.owner, opts: opts}
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
	if err = s.verify(f); err == nil && s.renamed {
		err = s.writeFormat() // an earlier attempt has ended between the two
	}
	if err == nil {
		err = s.rename()
	}
	if err = errors.Join(err, s.closeDB()); err == nil {
		err = s.writeFormat()
	}
	if err == nil && then != nil {
		if err := r.goOn(opts, then); err != nil {
			return "", errors.Join(err, r.owner.release())
		}
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

// goOn opens the directory, which nobody else can yet, for then.
func (r *Restore) goOn(opts Options, then func(*Store) error) error {
	opts.setDefaults()
	s := &Store{dir: r.dir, fs: r.fs, log: opts.Log, opts: opts}
	if err := s.open(); err != nil {
		return err
	}
	return errors.Join(then(s), s.Close())
}

// rename gives the store a new server UUID, and notes that it was restored. The binary log is another server's and goes.
func (s *Store) rename() error {
	if err := s.readHistory(); err != nil {
		return err
	}
	executed, err := Get(s.DB, MetaExecutedKey())
	if err != nil {
		return err
	}
	history := JoinSets(s.History, string(executed))
	former := s.Server
	s.Server = newUUID()
	b := s.DB.NewBatch()
	defer b.Close()
	log := SpaceRange(SpaceBinlog)
	files, marks := []byte{byte(SpaceMeta), metaLogFile}, []byte{byte(SpaceMeta), metaLogSealed}
	err = errors.Join(
		b.Set([]byte{byte(SpaceMeta), metaFormer}, []byte(former), nil), // FORMAT says so until it is written
		b.Set([]byte{byte(SpaceMeta), metaServer}, []byte(s.Server), nil),
		b.Delete(MetaExecutedKey(), nil),
		b.Delete(MetaLogLastKey(), nil),
		b.Delete(MetaUnackedKey(), nil), // counts transactions of the other server
		b.Delete(MetaSourceKey(), nil),  // it follows nobody before it is told to
		b.Delete(MetaSourcePositionKey(), nil),
		b.Delete(MetaDivergedKey(), nil),
		b.Delete(MetaRejoinKey(), nil),
		b.Delete(MetaRelayLostKey(), nil),
		b.Set(MetaRestoredKey(), nil, nil), // what was acknowledged from another disk may be missing
		b.Delete(MetaCopiesKey(), nil),
		b.DeleteRange(log.Start, log.End, nil),
		b.DeleteRange(files, PrefixEnd(files), nil),
		b.DeleteRange(marks, PrefixEnd(marks), nil),
	)
	if history != "" {
		err = errors.Join(err, b.Set(MetaHistoryKey(), []byte(history), nil))
	}
	return errors.Join(err, b.Commit(pebble.Sync))
}

// JoinSets is the union of two GTID sets of different servers.
func JoinSets(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "," + b
}

func (s *Store) readHistory() error {
	b, err := Get(s.DB, MetaHistoryKey())
	if err != nil {
		return err
	}
	s.History = string(b)
	return nil
}

// ExecutedWith is the executed set when the store was opened: own, the set of this server,
// and the history.
func (s *Store) ExecutedWith(own string) string { return JoinSets(s.History, own) }

// Abort gives the directory free. It stays marked as unfinished, so that nothing opens it.
func (r *Restore) Abort() error { return r.owner.release() }
