package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// Restore makes a data directory out of the backup in from, and returns the UUID of the
// server that it belongs to, which is a new one. dir must not exist, be empty, or hold a
// restore that was not finished. A damaged backup is refused, and the error names the file;
// dir then stays marked as unfinished, as after a crash: nothing opens it, and another
// restore may begin there.
func Restore(ctx context.Context, fs vfs.FS, from, dir, version string) (server string, m *Manifest, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	if inside(dir, from) {
		return "", nil, fmt.Errorf("the backup %s is inside the data directory %s: move it away first", from, dir)
	}
	if m, err = Read(fs, from); err != nil {
		return "", nil, err
	}
	r, err := store.BeginRestore(fs, dir)
	if err != nil {
		return "", nil, err
	}
	for _, f := range m.Files {
		if err := restoreFile(ctx, fs, from, r.Path(f.Name), f); err != nil {
			return "", nil, errors.Join(err, r.Abort())
		}
	}
	if server, err = r.Finish(version); err != nil {
		return "", nil, err
	}
	return server, m, nil
}

// restoreFile copies one file and compares it with what the backup says of it.
func restoreFile(ctx context.Context, fs vfs.FS, from, to string, f File) error {
	out, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("restore %s: %w", f.Name, err)
	}
	sum := sha256.New()
	// The sum first: a file of vfs may change what it was given to write.
	n, err := copyTo(ctx, fs, filepath.Join(from, filepath.FromSlash(f.Name)), io.MultiWriter(sum, out))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return damaged(from, f.Name, "it is missing")
		}
		return fmt.Errorf("restore %s: %w", f.Name, err)
	}
	return compare(from, f, n, hexSum(sum))
}

func compare(from string, f File, bytes int64, sum string) error {
	switch {
	case bytes != f.Bytes:
		return damaged(from, f.Name, fmt.Sprintf("it has %d bytes, not %d", bytes, f.Bytes))
	case sum != f.Sum:
		return damaged(from, f.Name, "its SHA-256 is not the one in "+manifestFile)
	}
	return nil
}

func damaged(from, name, why string) error {
	return fmt.Errorf("the backup is damaged: file %s: %s; use another backup", filepath.Join(from, filepath.FromSlash(name)), why)
}

// Verify reads a whole backup and compares every file with the manifest.
func Verify(ctx context.Context, fs vfs.FS, from string) (*Manifest, error) {
	if fs == nil {
		fs = vfs.Default
	}
	m, err := Read(fs, from)
	if err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		sum := sha256.New()
		n, err := copyTo(ctx, fs, filepath.Join(from, filepath.FromSlash(f.Name)), sum)
		if errors.Is(err, os.ErrNotExist) {
			return nil, damaged(from, f.Name, "it is missing")
		}
		if err != nil {
			return nil, fmt.Errorf("read the backup: %w", err)
		}
		if err := compare(from, f, n, hexSum(sum)); err != nil {
			return nil, err
		}
	}
	return m, nil
}
