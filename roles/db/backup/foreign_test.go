package backup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// Pipes, links and devices in a backup are refused by name, by check and restore, and so
// is a file in the store that the backup has not made: nothing blocks, nothing is followed.
func TestNoPlainFiles(t *testing.T) {
	root := t.TempDir()
	s := start(t, vfs.Default, filepath.Join(root, "db"))
	s.fill(t, 10)
	good := filepath.Join(root, "good")
	_, err := Take(ctx, s.st, vfs.Default, good, "8")
	must(t, err)
	s.stop(t)
	m, err := Read(vfs.Default, good)
	must(t, err)
	replaceBy := func(make func(path, saved string) error) func(dir, name string) error {
		return func(dir, name string) error {
			path := filepath.Join(dir, filepath.FromSlash(name))
			saved := filepath.Join(root, "saved-"+filepath.Base(name))
			if err := os.Rename(path, saved); err != nil {
				return err
			}
			return make(path, saved)
		}
	}
	for what, spoil := range map[string]func(dir, name string) error{
		"pipe":        replaceBy(func(path, _ string) error { return unix.Mkfifo(path, 0o600) }),
		"link":        replaceBy(func(path, saved string) error { return os.Symlink(saved, path) }),
		"directory":   replaceBy(func(path, _ string) error { return os.Mkdir(path, 0o700) }),
		"device link": replaceBy(func(path, _ string) error { return os.Symlink("/dev/zero", path) }),
		"stranger":    func(dir, name string) error { return unix.Mkfifo(filepath.Join(dir, "store", "000999.log"), 0o600) },
	} {
		for _, name := range []string{manifestFile, formatName, m.Files[len(m.Files)-1].Name} {
			dir := filepath.Join(root, what+strings.ReplaceAll(name, "/", "-"))
			must(t, os.CopyFS(dir, os.DirFS(good)))
			must(t, spoil(dir, name))
			want := filepath.FromSlash(name)
			if what == "stranger" {
				want = "000999.log"
			}
			if _, err := Backup(ctx, store.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("check with a %s at %s: %v", what, name, err)
			}
			to := filepath.Join(root, "to-"+filepath.Base(dir))
			if _, _, err := Restore(ctx, vfs.Default, dir, to, store.Options{Version: "8"}, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("restore with a %s at %s: %v", what, name, err)
			}
		}
	}
}

// A directory that is refused gets no file.
func TestForeignDirectoriesStayAsTheyAre(t *testing.T) {
	root := t.TempDir()
	s := start(t, vfs.Default, filepath.Join(root, "db"))
	s.fill(t, 1)
	_, err := Take(ctx, s.st, vfs.Default, filepath.Join(root, "good"), "8")
	must(t, err)
	s.stop(t)
	foreign := filepath.Join(root, "foreign")
	must(t, os.Mkdir(foreign, 0o755))
	must(t, os.WriteFile(filepath.Join(foreign, "letter"), []byte("x"), 0o600))
	if _, _, err := Restore(ctx, vfs.Default, filepath.Join(root, "good"), foreign, store.Options{Version: "8"}, nil); err == nil || !strings.Contains(err.Error(), "is not empty (letter)") {
		t.Errorf("restore: %v", err)
	}
	if _, err := Directory(ctx, store.Options{Dir: foreign}); err == nil || !strings.Contains(err.Error(), "holds no store") {
		t.Errorf("check: %v", err)
	}
	entries, err := os.ReadDir(foreign)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("the directory now holds %v", entries)
	}
}
