package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A data directory that is being seeded holds, beside what it held before:
//
//	seeding/   the copy, which is a data directory of its own and has RESTORE until it is whole
//	RESTORE    what has been begun, while the directory cannot be opened:
//	           "clone"        it held nothing before, and the copy is not whole
//	           "aside NAME"   what it held is being moved into NAME
//	           "in NAME"      that is done; the copy is being moved to its place
//
// Each step can be done again after a crash.
const (
	seedingDir    = "seeding"
	replacedStart = "replaced-"
	replacedAuto  = replacedStart + "auto-" // by the server itself
	// ErrantDir holds the files of transactions that were taken back.
	ErrantDir = "errant"
	// SeedsDir holds the checkpoints that the server gives to others; a start removes it.
	SeedsDir = "seeds"

	markClone = "clone"
	markAside = "aside "
	markIn    = "in "
)

// Seeding is a data directory that is being filled with a copy of another server's. It is
// owned by this process until Close.
type Seeding struct {
	dir     string
	fs      vfs.FS
	owner   *owner
	restore *Restore // of the copy; nil once that is whole

	automatic bool // nobody has asked for it
	switching bool // the copy was on its way in when it was begun

	finished bool // Finish was called, which may have given the copy free already
}

// refuseReplaced refuses a directory that has no database and holds one that was put aside: a new, empty one
// beside it would be taken for what is lost.
func refuseReplaced(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("look at the data directory %s: %w", dir, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, replacedStart) {
			return fmt.Errorf("data directory %s has no database, and %s in it is one that was put aside: move its content back, or move it elsewhere to begin with an empty database", dir, name)
		}
	}
	return nil
}

// BeginSeeding claims a data directory to seed: one that does not exist, is empty, or has
// been begun before, of which everything is kept. One that holds data is refused, unless
// replace: then its content is put aside at the end. fs nil is the operating system's.
func BeginSeeding(fs vfs.FS, dir string, replace bool) (_ *Seeding, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	// A directory of somebody else is not to get a file of ours.
	if _, err := seedingState(fs, dir, replace); err != nil {
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
	s := &Seeding{dir: dir, fs: fs, owner: own}
	state, err := seedingState(fs, dir, replace)
	if err != nil {
		return nil, err
	}
	if state == "" {
		empty, err := s.empty()
		if err != nil {
			return nil, err
		}
		if empty {
			if err := s.mark(markClone); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case strings.HasPrefix(state, markAside), strings.HasPrefix(state, markIn):
		s.switching = true // so it is whole
		return s, nil
	case IsDataDirectory(fs, s.copyDir()) && refuseUnfinished(fs, s.copyDir()) == nil:
		return s, nil // whole
	}
	if s.restore, err = beginRestore(fs, s.copyDir(), true); err != nil {
		return nil, err
	}
	return s, nil
}

// BeginSeeding begins, or goes on with, a copy that can be put in the place of what the store
// holds once that is closed. The store is used as before meanwhile. Nobody else may do so for the same store.
func (s *Store) BeginSeeding() (_ *Seeding, err error) {
	x := &Seeding{dir: s.dir, fs: s.fs}
	if WholeSeeding(x.fs, x.dir) {
		return x, nil
	}
	if x.restore, err = beginRestore(x.fs, x.copyDir(), true); err != nil {
		return nil, err
	}
	return x, nil
}

// WholeSeeding reports whether a data directory has a copy beside its content that only needs to be
// put in place.
func WholeSeeding(fs vfs.FS, dir string) bool {
	at := SeedingDir(dir)
	return IsDataDirectory(fs, at) && refuseUnfinished(fs, at) == nil
}

// SwitchInterrupted reports whether the server itself has begun to put a copy in place, and has not
// come to the end.
func SwitchInterrupted(fs vfs.FS, dir string) (bool, error) {
	if _, err := fs.Stat(filepath.Join(dir, restoreFile)); err != nil {
		return false, nil
	}
	state, err := readMark(fs, dir)
	return strings.HasPrefix(state, markAside+replacedAuto) || strings.HasPrefix(state, markIn+replacedAuto), err
}

// Automatic says that nobody has asked for the copy: what it replaces is kept under a name of its own.
func (s *Seeding) Automatic() { s.automatic = true }

// OpenCopy opens the copy, which is whole, as a store.
func (s *Seeding) OpenCopy(opts Options) (*Store, error) {
	opts.Dir, opts.FS = s.copyDir(), s.fs
	return Open(opts)
}

// Replaced are the directories with what the content of a data directory replaced, the oldest first,
// and of these, those that the server itself has put aside.
func Replaced(fs vfs.FS, dir string) (all, automatic []string, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	slices.Sort(names) // by their time
	for _, name := range names {
		path := filepath.Join(dir, name)
		if strings.HasPrefix(name, replacedAuto) {
			automatic = append(automatic, path)
		}
		if strings.HasPrefix(name, replacedStart) {
			all = append(all, path)
		}
	}
	return all, automatic, nil
}

// seedingState is what RESTORE says; a directory that cannot be seeded is an error.
func seedingState(fs vfs.FS, dir string, replace bool) (string, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	if slices.Contains(names, restoreFile) {
		state, err := readMark(fs, dir)
		if err != nil {
			return "", err
		}
		if state == "" {
			return "", fmt.Errorf("a restore into data directory %s was not finished: run stack db restore again, or empty the directory", dir)
		}
		return state, nil
	}
	if replace {
		if slices.ContainsFunc(names, content) && !slices.Contains(names, formatFile) {
			return "", fmt.Errorf("data directory %s holds something else than a database (%s): set another db.data_dir", dir, names[slices.IndexFunc(names, content)])
		}
		return "", nil
	}
	if i := slices.IndexFunc(names, content); i >= 0 {
		return "", fmt.Errorf("data directory %s is not empty (%s): a clone overwrites nothing; move it away, set another db.data_dir, or say --replace, which puts aside what is there", dir, names[i])
	}
	return "", nil
}

// content says whether a name in a data directory is of its data.
func content(name string) bool {
	return name != lockFile && name != "lost+found" && name != restoreFile && name != restoreNew && name != seedingDir && name != SeedsDir && name != ErrantDir && !strings.HasPrefix(name, replacedStart)
}

func (s *Seeding) empty() (bool, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return false, fmt.Errorf("cannot read data directory %s: %w", s.dir, err)
	}
	return !slices.ContainsFunc(names, content), nil
}

// readMark is the content of RESTORE, empty for a restore from a backup.
func readMark(fs vfs.FS, dir string) (string, error) {
	f, err := fs.Open(filepath.Join(dir, restoreFile))
	if err != nil {
		return "", fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return "", fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// mark makes RESTORE say what has been begun, durably.
func (s *Seeding) mark(text string) error {
	path, written := filepath.Join(s.dir, restoreFile), filepath.Join(s.dir, restoreNew)
	f, err := s.fs.Create(written, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write([]byte(text + "\n"))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = errors.Join(s.fs.Rename(written, path), syncDir(s.fs, s.dir))
	}
	if err != nil {
		return fmt.Errorf("mark data directory %s: %w", s.dir, err)
	}
	return nil
}

func (s *Seeding) copyDir() string { return filepath.Join(s.dir, seedingDir) }

// Whole reports whether the copy is whole: what is left is Switch.
func (s *Seeding) Whole() bool { return s.restore == nil }

// Switching reports whether the copy is whole, and was being put in place already: there is no way back.
func (s *Seeding) Switching() bool { return s.switching }

// Anew begins the copy anew, before a switch. remove removes what there is of it, whole or not.
func (s *Seeding) Anew(remove func() error) (err error) {
	if s.restore != nil {
		err = s.restore.Abort()
		s.restore = nil
	}
	if err == nil {
		err = remove()
	}
	if err == nil {
		s.restore, err = beginRestore(s.fs, s.copyDir(), false)
	}
	return err
}

// Path is where a file of the copy goes, or one that is about it.
func (s *Seeding) Path(name string) string {
	return filepath.Join(s.copyDir(), filepath.FromSlash(name))
}

// FS is the file system of the data directory.
func (s *Seeding) FS() vfs.FS { return s.fs }

// Clear removes all files of a copy that is not whole.
func (s *Seeding) Clear() error {
	err := s.restore.clear()
	if err == nil {
		err = makeDir(s.fs, s.Path(pebbleDir))
	}
	if err != nil {
		return fmt.Errorf("clear %s: %w", s.copyDir(), err)
	}
	return nil
}

// Finish makes the copy a server of its own, as Restore.Finish does. The files are synced.
func (s *Seeding) Finish(opts Options, then func(*Store) error) (server string, err error) {
	r := s.restore
	s.finished = true
	if server, err = r.Finish(opts, then); err != nil {
		return "", err
	}
	s.restore = nil
	return server, nil
}

// Switch puts the copy in the place of what the directory held, which goes into the
// directory aside in it; empty where it held nothing.
func (s *Seeding) Switch() (aside string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("put the copy into data directory %s: %w; run stack db clone again", s.dir, err)
		}
	}()
	state := ""
	if _, err := s.fs.Stat(filepath.Join(s.dir, restoreFile)); err == nil {
		if state, err = readMark(s.fs, s.dir); err != nil {
			return "", err
		}
	}
	name, in := strings.CutPrefix(state, markIn)
	if !in {
		var begun bool
		if name, begun = strings.CutPrefix(state, markAside); !begun {
			start := replacedStart
			if s.automatic {
				start = replacedAuto
			}
			name = start + time.Now().UTC().Format("20060102T150405.000Z")
			if err := s.mark(markAside + name); err != nil {
				return "", err
			}
		}
		// What is put aside is to keep no space from others.
		if err := removeIfThere(s.fs, filepath.Join(s.dir, pebbleDir, spareFile)); err != nil {
			return "", err
		}
		if err := s.move(s.dir, filepath.Join(s.dir, name), content); err != nil {
			return "", err
		}
		if err := s.mark(markIn + name); err != nil {
			return "", err
		}
	}
	ours := func(name string) bool { return name == formatFile || name == pebbleDir }
	if err := s.move(s.copyDir(), s.dir, ours); err != nil {
		return "", err
	}
	if err := s.fs.RemoveAll(s.copyDir()); err != nil {
		return "", err
	}
	if err := errors.Join(s.fs.Remove(filepath.Join(s.dir, restoreFile)), syncDir(s.fs, s.dir)); err != nil {
		return "", err
	}
	if _, err := s.fs.Stat(filepath.Join(s.dir, name)); err == nil {
		aside = filepath.Join(s.dir, name)
	}
	return aside, nil
}

// move renames the entries of a directory that are which into another one.
func (s *Seeding) move(from, to string, which func(string) bool) error {
	names, err := s.fs.List(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	moved := false
	for _, name := range names {
		if !which(name) {
			continue
		}
		if !moved {
			if err := makeDir(s.fs, to); err != nil {
				return err
			}
		}
		moved = true
		if err := s.fs.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	if !moved {
		return nil
	}
	// The new name first: between the two a crash leaves both or the new one.
	return errors.Join(syncDir(s.fs, to), syncDir(s.fs, from))
}

// Close gives the directory free.
func (s *Seeding) Close() error {
	var err error
	if s.restore != nil {
		if err = s.restore.Abort(); s.finished {
			err = nil
		}
	}
	if s.owner == nil {
		return err
	}
	return errors.Join(err, s.owner.release())
}

// SeedingDir is where the copy of a data directory that is being seeded is.
func SeedingDir(dir string) string { return filepath.Join(dir, seedingDir) }
