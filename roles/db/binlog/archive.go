package binlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// SetArchive names the directory that complete files are kept in, below a directory with
// this server's UUID; empty: none. No file is removed from the log that is not there.
func (l *Log) SetArchive(dir string) {
	l.archive.Store(&dir)
	l.wake()
}

// CheckArchive makes the directory of an archive, and a file in it for a moment: an error says why none can be kept there.
func CheckArchive(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	var f *os.File
	if err == nil {
		f, err = os.CreateTemp(dir, "writable-*"+archiveSuffix)
	}
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("db.binlog.archive: %w; name a directory that belongs to the user of the service, below /var/lib/stack or in ReadWritePaths= of a drop-in for its unit", err)
	}
	return nil
}

// archiveDir is where complete files go; empty: nowhere.
func (l *Log) archiveDir() string {
	if dir := l.archive.Load(); dir != nil && *dir != "" {
		return filepath.Join(*dir, l.st.Server)
	}
	return ""
}

// archiveAll puts the files that are complete and not in the archive there. l.purging is
// held.
func (l *Log) archiveAll() error {
	dir := l.archiveDir()
	if dir == "" {
		return nil
	}
	l.mu.Lock()
	var complete []uint32
	for i := range l.files {
		if f := &l.files[i]; f.number < l.readable.File && f.sealed.Offset >= f.end && f.archived != dir {
			complete = append(complete, f.number)
		}
	}
	l.mu.Unlock()
	for _, number := range complete {
		if err := l.archiveFile(dir, number); err != nil {
			return fmt.Errorf("archive %s of the binary log in %s: %w; until it is there, it stays in the log", FileName(number), dir, err)
		}
		l.mu.Lock()
		if f := l.find(number); f != nil {
			f.archived = dir
		}
		l.mu.Unlock()
	}
	return nil
}

// archiveSuffix ends the name of a file in the archive that is not whole yet.
const archiveSuffix = ".copying"

// archiveFile puts a complete file into the archive, durably: as a hard link where that can
// be, since nobody changes the file any more.
func (l *Log) archiveFile(dir string, number uint32) error {
	fs, from, to := l.st.FS(), l.path(number), filepath.Join(dir, FileName(number))
	info, err := fs.Stat(from)
	if err != nil {
		return err
	}
	if there, err := fs.Stat(to); err == nil {
		if there.Size() == info.Size() {
			return nil // from before a restart
		}
		return fmt.Errorf("another file of this name is there, of %d bytes and not %d: move it away", there.Size(), info.Size())
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := fs.Link(from, to); err != nil {
		if err := copyDurably(fs, from, to); err != nil {
			return err
		}
	}
	return errors.Join(l.st.SyncDir(dir), l.st.SyncDir(filepath.Dir(dir)))
}

// copyDurably copies a file, which has its name only when it is whole and durable.
func copyDurably(fs vfs.FS, from, to string) error {
	in, err := fs.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fs.Create(to+archiveSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		return fs.Rename(to+archiveSuffix, to)
	}
	return errors.Join(err, fs.Remove(to+archiveSuffix))
}
