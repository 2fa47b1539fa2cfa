package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// Restore makes a data directory out of the backup in from, and returns the UUID of the
// server that it belongs to, which is a new one. dir must not exist, be empty, or hold a
// restore that was not finished. A damaged backup is refused, and the error names the file;
// dir then stays marked as unfinished, as after a crash: nothing opens it, and another
// restore may begin there. replay, where not nil, looks at the manifest before anything is
// written, and then brings the restored store forward; what it refuses is refused.
func Restore(ctx context.Context, fs vfs.FS, from, dir string, opts store.Options, replay Replay) (server string, m *Manifest, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	if inside(dir, from) {
		return "", nil, fmt.Errorf("the backup %s is inside the data directory %s: move it away first", from, dir)
	}
	if m, err = Read(fs, from); err != nil {
		return "", nil, err
	}
	if replay != nil {
		if err := replay.Check(ctx, m.Executed, m.Made); err != nil {
			return "", nil, err
		}
	}
	if err := refuseOthers(fs, from, m); err != nil {
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
	var then func(*store.Store) error
	if replay != nil {
		then = func(st *store.Store) error { return replay.Run(ctx, st) }
	}
	if server, err = r.Finish(opts, then); err != nil {
		return "", nil, err
	}
	return server, m, nil
}

// Replay brings a restored store forward.
type Replay interface {
	// Check says why it cannot go on from a backup that has this executed set and was made
	// then; nothing is written yet.
	Check(ctx context.Context, executed string, made time.Time) error
	// Run changes the store, which nobody else has open.
	Run(ctx context.Context, st *store.Store) error
}

// restoreFile copies one file and compares it with what the backup says of it.
func restoreFile(ctx context.Context, fs vfs.FS, from, to string, f File) error {
	if err := plain(fs, from, f.Name); err != nil {
		return err
	}
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

// plain refuses what is no plain file: a pipe would never end, a link leads elsewhere.
func plain(fs vfs.FS, from, name string) error {
	info, err := lookAt(fs, filepath.Join(from, filepath.FromSlash(name)))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return damaged(from, name, "it is missing")
	case err != nil:
		return fmt.Errorf("read the backup: %w", err)
	case !info.Mode().IsRegular():
		return damaged(from, name, "it is no plain file")
	}
	return nil
}

// lookAt describes a file, or the link that stands there.
func lookAt(fs vfs.FS, path string) (os.FileInfo, error) {
	if vfs.Root(fs) == vfs.Default {
		return os.Lstat(path)
	}
	return fs.Stat(path)
}

// refuseOthers refuses a backup whose store has files that are not of the backup: opening
// the store would read them.
func refuseOthers(fs vfs.FS, from string, m *Manifest) error {
	dir := filepath.Join(from, filepath.Clean(storePrefix))
	info, err := lookAt(fs, dir)
	if err == nil && !info.IsDir() {
		return damaged(from, filepath.Clean(storePrefix), "it is no directory")
	}
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return damaged(from, filepath.Clean(storePrefix), "it is missing")
	}
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	known := map[string]bool{storePrefix + lockName: true}
	for _, f := range m.Files {
		known[f.Name] = true
	}
	for _, name := range names {
		if !known[storePrefix+name] {
			return damaged(from, storePrefix+name, "it is not part of the backup")
		}
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
	if err := refuseOthers(fs, from, m); err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		if err := plain(fs, from, f.Name); err != nil {
			return nil, err
		}
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
