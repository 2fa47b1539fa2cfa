package static

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a root with everything in it that has led other servers astray.
func tree(t *testing.T) (root, outside string) {
	t.Helper()
	base := t.TempDir()
	root, outside = filepath.Join(base, "www"), filepath.Join(base, "www-private")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(root, "dir", "deep"), 0o755))
	must(os.MkdirAll(outside, 0o755))
	must(os.WriteFile(filepath.Join(root, "a.txt"), []byte("a"), 0o644))
	must(os.WriteFile(filepath.Join(root, "dir", "b.txt"), []byte("b"), 0o644))
	must(os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644))
	must(os.Symlink("a.txt", filepath.Join(root, "in-relative")))
	must(os.Symlink(filepath.Join(root, "a.txt"), filepath.Join(root, "in-absolute")))
	must(os.Symlink("../../www/a.txt", filepath.Join(root, "dir", "in-climbing")))
	must(os.Symlink("dir", filepath.Join(root, "in-dir")))
	must(os.Symlink("../www-private/secret", filepath.Join(root, "out-relative")))
	must(os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, "out-absolute")))
	must(os.Symlink("../www-private", filepath.Join(root, "out-dir")))
	must(os.Symlink("/proc/self/root/etc/passwd", filepath.Join(root, "magic")))
	must(os.Symlink("loop", filepath.Join(root, "loop")))
	must(os.Symlink("gone", filepath.Join(root, "dangling")))
	must(unix.Mkfifo(filepath.Join(root, "fifo"), 0o644))
	if os.Geteuid() == 0 {
		must(unix.Mknod(filepath.Join(root, "null"), unix.S_IFCHR|0o666, 1<<8|3))
	}
	return root, outside
}

func TestOpenUnderEachPolicy(t *testing.T) {
	dir, _ := tree(t)
	ok, missing, isDir := error(nil), ErrNotFound, ErrDirectory
	for _, c := range []struct {
		path                 string
		within, follow, deny error
	}{
		{"/a.txt", ok, ok, ok},
		{"/dir/b.txt", ok, ok, ok},
		{"/dir", isDir, isDir, isDir},
		{"/dir/", isDir, isDir, isDir},
		{"/", isDir, isDir, isDir},
		{"/a.txt/", missing, missing, missing},
		{"/a.txt/x", missing, missing, missing},
		{"/nothing", missing, missing, missing},
		{"/in-relative", ok, ok, missing},
		{"/in-absolute", ok, ok, missing},
		{"/dir/in-climbing", ok, ok, missing},
		{"/in-dir/b.txt", ok, ok, missing},
		{"/out-relative", missing, ok, missing},
		{"/out-absolute", missing, ok, missing},
		{"/out-dir/secret", missing, ok, missing},
		{"/out-dir", missing, isDir, missing},
		{"/magic", missing, missing, missing},
		{"/loop", missing, missing, missing},
		{"/dangling", missing, missing, missing},
		{"/fifo", missing, missing, missing},
		{"/null", missing, missing, missing},
		{"/" + strings.Repeat("x", 300), missing, missing, missing},
		{"/" + strings.Repeat("x/", 3000), missing, missing, missing},
	} {
		for policy, want := range map[Symlinks]error{Within: c.within, Follow: c.follow, Deny: c.deny} {
			r, err := OpenRoot(dir, policy)
			if err != nil {
				t.Fatal(err)
			}
			o, err := r.Open(c.path)
			if !errors.Is(err, want) {
				t.Errorf("%s under policy %d: %v, want %v", c.path, policy, err, want)
			}
			if err == nil {
				_ = unix.Close(o.FD)
			}
		}
	}
}

// The root itself may be reached through a link; absolute links inside still count.
func TestRootThroughLink(t *testing.T) {
	dir, _ := tree(t)
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRoot(link, Within)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := r.Open("/in-absolute"); err != nil {
		t.Error(err)
	} else if _ = unix.Close(o.FD); !strings.HasSuffix(o.Name, "/www/a.txt") {
		t.Error("resolved name:", o.Name)
	}
	if _, err := r.Open("/out-absolute"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestOpenRootSaysWhatIsWrong(t *testing.T) {
	dir, _ := tree(t)
	for path, want := range map[string]string{
		dir + "/nothing": "root " + dir + "/nothing: the directory does not exist; create it, or correct the path",
		dir + "/a.txt":   "root " + dir + "/a.txt: is not a directory; name the directory that holds the files",
	} {
		if _, err := OpenRoot(path, Within); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if _, err := ParseSymlinks("sometimes"); err == nil || err.Error() != `symlinks: "sometimes" is not one of within, follow, deny` {
		t.Error(err)
	}
}

func TestOpenLeaksNoDescriptor(t *testing.T) {
	dir, _ := tree(t)
	r, err := OpenRoot(dir, Within)
	if err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for range 200 {
		for _, p := range []string{"/a.txt", "/in-absolute", "/out-absolute", "/fifo", "/dir", "/nothing", "/magic"} {
			if o, err := r.Open(p); err == nil {
				_ = unix.Close(o.FD)
			}
			_, _ = r.Stat(p)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
