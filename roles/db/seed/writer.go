package seed

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// writers is how many files may be on their way to the disk while the next one arrives.
const writers = 2

// writer makes files durable beside the connection's goroutine: a sync takes as long as many
// pieces, and the network need not wait for it.
type writer struct {
	fs   vfs.FS
	free chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	failed error
}

func newWriter(fs vfs.FS) *writer {
	return &writer{fs: fs, free: make(chan struct{}, writers)}
}

// create makes a file, unless another one has failed.
func (w *writer) create(path string) (vfs.File, error) {
	if err := w.err(); err != nil {
		return nil, err
	}
	f, err := w.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// keep syncs a file and gives it its name, later. It waits where too many are under way.
func (w *writer) keep(f vfs.File, part, path string) {
	w.free <- struct{}{}
	w.wg.Go(func() {
		defer func() { <-w.free }()
		err := errors.Join(f.Sync(), f.Close())
		if err == nil {
			err = w.fs.Rename(part, path)
		}
		if err != nil {
			w.mu.Lock()
			if w.failed == nil {
				w.failed = fmt.Errorf("write %s: %w", path, err)
			}
			w.mu.Unlock()
		}
	})
}

func (w *writer) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// wait returns when all files have their names, or why one has not.
func (w *writer) wait() error {
	w.wg.Wait()
	return w.err()
}
