package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// Take backs st up into dir while it runs, and returns when the backup is durable. dir is
// made; where it is there it must be empty. It holds everything that was committed before
// the call. On an error, ctx's among them, what was written is removed.
func Take(ctx context.Context, st *store.Store, fs vfs.FS, dir, version string) (_ *Manifest, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	if inside(st.Dir(), dir) {
		return nil, fmt.Errorf("the backup cannot be in the data directory %s: name another directory", st.Dir())
	}
	made, err := makeEmpty(fs, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clear(fs, dir, made))
		}
	}()
	m := &Manifest{Format: manifestFormat, Version: version, Server: st.Server}
	if m.Made, err = fill(ctx, st, fs, dir); err != nil {
		return nil, err
	}
	if m.Executed, err = examine(ctx, fs, dir); err != nil {
		return nil, err
	}
	files, err := store.CopyFiles(fs, dir)
	if err != nil {
		return nil, fmt.Errorf("back up to %s: %w", dir, err)
	}
	for _, name := range files {
		f := File{Name: name}
		sum := sha256.New()
		if f.Bytes, err = copyTo(ctx, fs, filepath.Join(dir, filepath.FromSlash(name)), sum); err != nil {
			return nil, fmt.Errorf("back up to %s: %w", dir, err)
		}
		f.Sum = hexSum(sum)
		m.Bytes += f.Bytes
		m.Files = append(m.Files, f)
	}
	if err := writeManifest(fs, dir, m); err != nil {
		return nil, writeHint(fmt.Errorf("back up to %s: %w", dir, err))
	}
	return m, nil
}

// fill copies the store into dir by way of a checkpoint in the data directory, which takes moments: the way to another file
// system may take minutes. Everything in the copy was committed before made.
func fill(ctx context.Context, st *store.Store, fs vfs.FS, dir string) (made time.Time, err error) {
	from, remove, err := st.TemporaryCheckpoint(ctx)
	if err != nil {
		return made, err
	}
	made = time.Now().UTC()
	defer func() { err = errors.Join(err, remove()) }()
	inner := filepath.Join(dir, filepath.Clean(storePrefix))
	files, err := store.CopyFiles(fs, from)
	if err == nil {
		err = fs.MkdirAll(inner, 0o700)
	}
	for _, name := range files {
		if err == nil {
			name = filepath.FromSlash(name)
			err = linkOrCopy(ctx, fs, filepath.Join(from, name), filepath.Join(dir, name))
		}
	}
	if err == nil {
		err = errors.Join(syncDir(fs, inner), syncDir(fs, dir))
	}
	if err != nil {
		return made, writeHint(fmt.Errorf("back up to %s: %w", dir, err))
	}
	return made, nil
}

// syncEvery is how much is written to a file between two hints to the disk: all of it at once would hold
// up the commits.
const syncEvery = 512 << 10

// linkOrCopy gives a file another name, or copies it to another file system.
func linkOrCopy(ctx context.Context, fs vfs.FS, from, to string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if fs.Link(from, to) == nil {
		return nil
	}
	out, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	out = vfs.NewSyncingFile(out, vfs.SyncingFileOptions{BytesPerSync: syncEvery})
	_, err = copyTo(ctx, fs, from, out)
	return errors.Join(err, out.Sync(), out.Close())
}

// inside reports whether dir is root or below it.
func inside(root, dir string) bool {
	rel, err := filepath.Rel(root, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// makeEmpty makes dir durably; one that is there must be empty.
func makeEmpty(fs vfs.FS, dir string) (made bool, err error) {
	names, err := fs.List(dir)
	switch {
	case err == nil && len(names) == 0:
		return false, nil
	case err == nil:
		return false, fmt.Errorf("the directory %s is not empty: a backup overwrites nothing; name a new directory", dir)
	case !errors.Is(err, os.ErrNotExist):
		return false, writeHint(fmt.Errorf("back up to %s: %w", dir, err))
	}
	parent := filepath.Dir(dir)
	if _, err := fs.Stat(parent); err != nil && parent != "." {
		return false, fmt.Errorf("back up to %s: the directory above it: %w", dir, err)
	}
	if err = fs.MkdirAll(dir, 0o700); err == nil {
		if parent == "." && vfs.Root(fs) != vfs.Default {
			parent = "" // the root of a file system in memory
		}
		err = syncDir(fs, parent)
	}
	if err != nil {
		return false, writeHint(fmt.Errorf("back up to %s: %w", dir, err))
	}
	return true, nil
}

// writeHint adds what helps where the service may not write.
func writeHint(err error) error {
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w; the server writes the backup itself, as its own user: name a directory that it may write to, such as one below /var/lib/stack, or give the unit ReadWritePaths", err)
	}
	return err
}

// clear removes an unfinished backup.
func clear(fs vfs.FS, dir string, whole bool) error {
	if whole {
		return fs.RemoveAll(dir)
	}
	var errs []error
	for _, name := range []string{"store", formatName, manifestFile, manifestFile + ".new"} {
		if err := fs.RemoveAll(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// examine opens the copy, which proves that it opens, compares all its blocks with their
// checksums, and reads the GTID set that it holds. A damaged block would be copied as it
// is, and be found when the backup is needed.
func examine(ctx context.Context, fs vfs.FS, dir string) (executed string, err error) {
	st, err := store.OpenBackup(store.Options{Dir: dir, FS: fs, CacheBytes: 1 << 20})
	if err != nil {
		return "", fmt.Errorf("the copy in %s does not open: %w", dir, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var bad error
	_, err = st.CheckFiles(ctx, func(file string, err error) {
		if bad == nil {
			bad = fmt.Errorf("the database is damaged, and so would be the backup: file %s: %w; run stack db check, and save what can be read with mariadb-dump", filepath.Base(file), err)
		}
	})
	if err = errors.Join(bad, err); err != nil {
		return "", err
	}
	own, err := store.Get(st.DB, store.MetaExecutedKey())
	return st.ExecutedWith(string(own)), err
}

// copyTo sends the content of a file to w.
func copyTo(ctx context.Context, fs vfs.FS, path string, w io.Writer) (int64, error) {
	in, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return io.CopyBuffer(w, &stoppable{ctx, in}, make([]byte, 256<<10))
}

// stoppable reads until its context ends.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
