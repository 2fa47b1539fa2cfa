package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFS is the file system that Pebble works on. It differs from the one below in what
// Pebble has no option for: nobody else may read its directories, since the one above may be
// the operator's own, a checkpoint can be ended, a marker is not durable before the manifest
// that it names, a full disk is met with what was kept for it, and a disk that does not take the
// write-ahead log ends the process with a sentence, where Pebble panics.
type pebbleFS struct {
	vfs.FS
	dir    string                        // of the store; checkpoints are elsewhere
	spare  spare                         // of the store's file system
	failed atomic.Pointer[pebble.Logger] // ends the process; nil while the store is being opened, which may fail

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
	if filepath.Dir(name) == p.dir && strings.HasPrefix(filepath.Base(name), "marker.") {
		// Pebble syncs the directory after both names are in it: a crash before could keep either.
		if err := syncDir(p.FS, p.dir); err != nil {
			return nil, p.fail(err)
		}
	}
	if filepath.Dir(name) != p.dir {
		return p.FS.Create(name, category)
	}
	f, err := p.create(name, category)
	switch filepath.Ext(name) {
	case logSuffix:
		return p.durable(name, f, err)
	case tableSuffix:
		waitIfFull(err)
		if err == nil {
			f = patientFile{f}
		}
	}
	return f, err
}

// create makes a file of the store. Compactions give space back in the end and may take much
// before: not of what is kept.
func (p *pebbleFS) create(name string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	if isCompaction(category) {
		return p.FS.Create(name, category)
	}
	err = p.spare.spared(0, func() (err error) {
		f, err = p.FS.Create(name, category)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sparedFile{f, &p.spare}, nil
}

const logSuffix = ".log"

// isCompaction reports whether files of this category are rewritten ones.
func isCompaction(category vfs.DiskWriteCategory) bool {
	return category == "pebble-compaction" || category == "pebble-blob-file-rewrite"
}

// ReuseForWrite implements vfs.FS.
func (p *pebbleFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.ReuseForWrite(from, to, category)
	if err == nil {
		f = sparedFile{f, &p.spare}
	}
	return p.durable(to, f, err)
}

// OpenDir implements vfs.FS.
func (p *pebbleFS) OpenDir(name string) (vfs.File, error) {
	f, err := p.FS.OpenDir(name)
	return p.durable(name, f, err)
}

// durable watches over a file of the write-ahead log, and the directory that names it.
func (p *pebbleFS) durable(name string, f vfs.File, err error) (vfs.File, error) {
	if name != p.dir && (filepath.Dir(name) != p.dir || !strings.HasSuffix(name, logSuffix)) {
		return f, err
	}
	if err != nil {
		return nil, p.fail(err)
	}
	durable := durableFile{File: f, fs: p, name: name}
	if file, ok := below(f).(syscall.Conn); ok && name != p.dir {
		if durable.own, err = file.SyscallConn(); err != nil {
			return nil, p.fail(errors.Join(err, f.Close()))
		}
	}
	return durable, nil
}

// below is the file that a sparedFile stands for.
func below(f vfs.File) vfs.File {
	if s, ok := f.(sparedFile); ok {
		return s.File
	}
	return f
}

// fail ends the process once the store is open.
func (p *pebbleFS) fail(err error) error {
	if log := p.failed.Load(); log != nil && err != nil {
		(*log).Fatalf("write-ahead log: %v", err)
	}
	return err
}

// durableFile is a file whose writes and syncs either succeed or end the process.
type durableFile struct {
	vfs.File
	fs   *pebbleFS
	name string
	own  syscall.RawConn // of a log that is the operating system's own file; nil for a directory and in other file systems
}

func (f durableFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, f.fs.fail(err)
}

func (f durableFile) Sync() error  { return f.fs.fail(f.File.Sync()) }
func (f durableFile) Close() error { return f.fs.fail(f.File.Close()) }

// SyncData is what every group of commits waits for.
func (f durableFile) SyncData() error {
	if f.own == nil {
		return f.fs.fail(f.File.SyncData())
	}
	return f.fs.fail(fdatasync(f.name, f.own))
}

func (f durableFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.fail(err)
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
