package store

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TempFile is a file that is gone with the process, and that no crash leaves behind for
// long. One goroutine at a time uses it.
type TempFile struct {
	file  vfs.File
	dir   string
	fs    vfs.FS
	paced int64 // bytes that are on their way to the disk
}

// tempName is its name in its directory.
const tempName = "file"

// NewTempFile makes an empty one. Close removes it.
func (s *Store) NewTempFile() (*TempFile, error) {
	dir, err := s.newScratch()
	if err != nil {
		return nil, err
	}
	f, err := s.fs.OpenReadWrite(filepath.Join(dir, tempName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a temporary file: %w", err), s.fs.RemoveAll(dir))
	}
	return &TempFile{file: f, dir: dir, fs: s.fs}, nil
}

// WriteAt writes b at an offset.
func (t *TempFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := t.file.WriteAt(b, at)
	if err != nil {
		return n, fmt.Errorf("write a temporary file: %w", err)
	}
	t.paced = pace(t.file, t.paced, at+int64(n))
	return n, nil
}

// ReadAt fills b from an offset on.
func (t *TempFile) ReadAt(b []byte, at int64) (int, error) {
	return t.file.ReadAt(b, at)
}

// Close removes the file.
func (t *TempFile) Close() error {
	return errors.Join(t.file.Close(), RemoveLarge(t.fs, filepath.Join(t.dir, tempName)), t.fs.RemoveAll(t.dir))
}
