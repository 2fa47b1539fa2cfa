package store

import (
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// shrinkStep is how much of a file goes at a time, bytes.
const shrinkStep = 16 << 20

// RemoveLarge removes a file that nobody else has a name for. A large one shrinks first, step by
// step, and each step is on disk before the next: on a file system that tells its disk at once what is
// free (mount option discard) a sync waits until the disk has heard of all that was freed since
// the one before, and gigabytes of it would hold up the commits of others.
func RemoveLarge(fs vfs.FS, path string) error {
	if onDisk(fs) {
		shrink(fs, path)
	}
	return fs.Remove(path)
}

// shrink leaves one step of a file. What fails is left to the removal.
func shrink(fs vfs.FS, path string) {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= shrinkStep {
		return
	}
	// The file's own sync would write what of it is in memory alone: another one has the steps on disk.
	name := filepath.Join(filepath.Dir(path), "pace-"+filepath.Base(path))
	pace, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return
	}
	for size := info.Size() - shrinkStep; size > 0 && err == nil; size -= shrinkStep {
		if err = os.Truncate(path, size); err == nil {
			_, err = pace.Write([]byte{0})
		}
		if err == nil {
			err = pace.Sync()
		}
	}
	pace.Close()
	_ = fs.Remove(name)
}
