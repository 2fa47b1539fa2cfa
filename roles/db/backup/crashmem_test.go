package backup

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crashMem is a file system in memory that can be cloned at any time. Link and ReuseForWrite of
// vfs.MemFS take its lock for reading twice: a clone that asks for it in between would wait
// for them, and they for the clone.
type crashMem struct {
	*vfs.MemFS
	cloning sync.RWMutex
}

func newCrashMem() *crashMem { return &crashMem{MemFS: vfs.NewCrashableMem()} }

func (c *crashMem) Link(from, to string) error {
	c.cloning.RLock()
	defer c.cloning.RUnlock()
	return c.MemFS.Link(from, to)
}

func (c *crashMem) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	c.cloning.RLock()
	defer c.cloning.RUnlock()
	return c.MemFS.ReuseForWrite(from, to, category)
}

func (c *crashMem) CrashClone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	c.cloning.Lock()
	defer c.cloning.Unlock()
	return c.MemFS.CrashClone(cfg)
}
