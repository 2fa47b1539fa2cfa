package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFS is the file system that Pebble works on. It differs from the one below in what
// Pebble has no option for: nobody else may read its directories, since the one above may be
// the operator's own, and a checkpoint can be ended.
type pebbleFS struct {
	vfs.FS

	mu    sync.Mutex
	until map[string]context.Context // of the checkpoints under way, by directory
}

// Unwrap gives what it stands for.
func (p *pebbleFS) Unwrap() vfs.FS { return p.FS }

// MkdirAll implements vfs.FS; the mode is the owner's alone.
func (p *pebbleFS) MkdirAll(dir string, _ os.FileMode) error { return p.FS.MkdirAll(dir, 0o700) }

// Create implements vfs.FS.
func (p *pebbleFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := p.ended(name); err != nil {
		return nil, err
	}
	return p.FS.Create(name, category)
}

// Link implements vfs.FS.
func (p *pebbleFS) Link(from, to string) error {
	if err := p.ended(to); err != nil {
		return err
	}
	return p.FS.Link(from, to)
}

// during makes new files below dir fail when ctx has ended, until the result is called.
func (p *pebbleFS) during(ctx context.Context, dir string) (end func()) {
	prefix := dir + string(filepath.Separator)
	p.mu.Lock()
	p.until[prefix] = ctx
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		delete(p.until, prefix)
		p.mu.Unlock()
	}
}

func (p *pebbleFS) ended(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for prefix, ctx := range p.until {
		if strings.HasPrefix(name, prefix) {
			return context.Cause(ctx)
		}
	}
	return nil
}
