package store

import (
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// SyncData makes what was written to a file beside the store durable, so far as reading it takes. name is for the
// error.
func SyncData(name string, f vfs.File) error {
	if file, ok := f.(syscall.Conn); ok {
		own, err := file.SyscallConn()
		if err != nil {
			return err
		}
		return fdatasync(name, own)
	}
	return f.SyncData()
}
