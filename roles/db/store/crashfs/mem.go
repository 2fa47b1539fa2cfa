// Package crashfs is a file system of tests from which clones of a crash are taken.
package crashfs

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Mem is a file system in memory that can be cloned at any time. Link and ReuseForWrite of
// vfs.MemFS take its lock for reading twice: a clone that asks for it in between would wait
// for them, and they for the clone.
type Mem struct {
	*vfs.MemFS
	cloning sync.RWMutex
}

// New is an empty file system.
func New() *Mem { return Of(vfs.NewCrashableMem()) }

// Of is a file system with the content of a clone.
func Of(fs *vfs.MemFS) *Mem { return &Mem{MemFS: fs} }

// Link is that of vfs.MemFS.
func (m *Mem) Link(from, to string) error {
	m.cloning.RLock()
	defer m.cloning.RUnlock()
	return m.MemFS.Link(from, to)
}

// ReuseForWrite is that of vfs.MemFS.
func (m *Mem) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	m.cloning.RLock()
	defer m.cloning.RUnlock()
	return m.MemFS.ReuseForWrite(from, to, category)
}

// CrashClone is that of vfs.MemFS, at any time.
func (m *Mem) CrashClone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	m.cloning.Lock()
	defer m.cloning.Unlock()
	return m.MemFS.CrashClone(cfg)
}
