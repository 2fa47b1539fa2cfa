package binlog

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog/event"
)

// noLinks is a file system that has no hard links, or another one for the archive.
type noLinks struct{ vfs.FS }

func (noLinks) Link(string, string) error { return errors.New("cross-device link") }

// Complete files are in the archive before they leave the log, as links or copies; the
// files of the archive are a log from which everything can be read.
func TestArchive(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"links": vfs.NewMem(), "copies": noLinks{vfs.NewMem()}} {
		n := open(t, fs, Options{Archive: "kept"})
		for range 3 {
			n.commit(100, 200, 300)
			n.group(true, true)
			must(t, n.l.WaitSealed(ctx))
		}
		must(t, purgeTo(n.l, 4))
		if files := n.l.Files(); files[0].Number != 4 {
			t.Fatalf("%s: %v after the purge", name, files)
		}
		dir := filepath.Join("kept", n.st.Server)
		d, err := OpenDirectory(fs, dir)
		must(t, err)
		r, err := d.From(nil)
		must(t, err)
		transactions := 0
		for {
			ev, err := r.Next(ctx)
			if err != nil {
				break
			}
			if event.Type(ev[4]) == event.TypeGTID {
				transactions++
			}
		}
		r.Close()
		if transactions != 9 {
			t.Errorf("%s: %d transactions in the archive", name, transactions)
		}
	}
}

// While the archive cannot be written nothing is removed, and the operator is told; then
// it goes on.
func TestArchiveThatFails(t *testing.T) {
	fs := vfs.NewMem()
	n := open(t, fs, Options{})
	dir := filepath.Join("kept", n.st.Server)
	must(t, fs.MkdirAll(dir, 0o700))
	other, err := fs.Create(filepath.Join(dir, FileName(1)), vfs.WriteCategoryUnspecified)
	must(t, err)
	must(t, other.Close())
	n.l.SetArchive("kept")
	n.commit(100)
	n.group(true, true)
	must(t, n.l.WaitSealed(ctx))
	if err := purgeTo(n.l, 2); err == nil || !strings.Contains(err.Error(), "another file of this name is there") {
		t.Fatalf("purge: %v", err)
	}
	n.l.trouble.Store(nil)
	n.l.SetBounds(0, 1)
	must(t, waitFor(func() bool { return n.l.Trouble() != "" }))
	if files := n.l.Files(); files[0].Number != 1 {
		t.Fatalf("what is not archived was removed: %v", files)
	}
	must(t, fs.Remove(filepath.Join(dir, FileName(1))))
	must(t, purgeTo(n.l, 2))
	if files := n.l.Files(); files[0].Number != 2 {
		t.Fatalf("%v", files)
	}
}
