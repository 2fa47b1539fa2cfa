package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_BROKEN_DISK"); dir != "" {
		writeOnBrokenDisk(dir)
	}
	os.Exit(m.Run())
}

func TestDataDirectoryIsMadeAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "db")
	if err := Probe(dir); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	server := s.Server
	if len(server) != 36 || server[14] != '4' {
		t.Errorf("server UUID %q", server)
	}
	if err := Probe(dir); err != nil {
		t.Errorf("probe while open: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if s.Server != server {
		t.Errorf("server UUID changed from %s to %s", server, s.Server)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash between the store's first batch and the FORMAT file.
	if err := os.Remove(filepath.Join(dir, formatFile)); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if s.Server != server {
		t.Errorf("server UUID changed from %s to %s", server, s.Server)
	}
	s.Close()
	if f, err := readFormat(vfs.Default, dir); err != nil || f == nil || f.Server != server {
		t.Errorf("FORMAT was not written again: %+v, %v", f, err)
	}
}

// TestDataIsPrivate: a data directory that the operator made may be open to everybody.
func TestDataIsPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st, err := os.Stat(filepath.Join(dir, pebbleDir))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o700 {
		t.Errorf("the store has mode %v: others can read the data", st.Mode().Perm())
	}
}

func TestBadDirectoriesAreRefusedWithTheCure(t *testing.T) {
	made := func() string {
		dir := t.TempDir()
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	rewrite := func(f func(*format)) string {
		dir := made()
		old, err := readFormat(vfs.Default, dir)
		if err != nil {
			t.Fatal(err)
		}
		f(old)
		b, _ := json.Marshal(old)
		if err := os.WriteFile(filepath.Join(dir, formatFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	busy := t.TempDir()
	s, err := Open(Options{Dir: busy})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	damaged := made()
	os.WriteFile(filepath.Join(damaged, formatFile), []byte("{"), 0o600)
	other := made()
	cases := []struct{ dir, want string }{
		{"", "no data directory is given; set db.data_dir"},
		{busy, fmt.Sprintf("data directory %s is in use by process %d; stop it or set another db.data_dir", busy, os.Getpid())},
		{file, "is a file; set another db.data_dir"},
		{damaged, formatFile + " is damaged; restore it from a backup"},
		{rewrite(func(f *format) { f.Format, f.Version = 99, "9.9" }), "was written by a newer version (9.9) and this one cannot read it; install that version or restore a backup made by this one"},
		{rewrite(func(f *format) { f.Server = "x" }), "restore both from the same backup"},
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(other, 12345, -1); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, struct{ dir, want string }{other, "belongs to uid 12345, this process runs as user root; run it as that user or chown the directory"})
	} else {
		t.Log("not root: a directory of another user is not tried")
	}
	for _, c := range cases {
		s, err := Open(Options{Dir: c.dir})
		if err == nil {
			s.Close()
			t.Errorf("%s: opened, want %q", c.dir, c.want)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, want %q", c.dir, err, c.want)
		}
	}
	if err := Probe(cases[4].dir); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("probe of a newer format: %v", err)
	}
}

func TestReserveRefusesBeforeTheDiskIsFull(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 100 << 20, TotalBytes: 1 << 30})
	s, err := Open(Options{Dir: "db", FS: fs, Reserve: 64 << 20, MemtableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.CheckSpace(1 << 10); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSpace(30 << 20); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("a large write was not refused: %v", err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 10 << 20, TotalBytes: 1 << 30})
	if err := s.measureSpace(); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSpace(1); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("got %v", err)
	}
	// Space that comes back counts at once.
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 900 << 20, TotalBytes: 1 << 30})
	if err := s.CheckSpace(1); err != nil {
		t.Fatal(err)
	}
	if available, reserve := s.FreeSpace(); available != 900<<20 || reserve != 64<<20 {
		t.Fatalf("free %d, reserve %d", available, reserve)
	}
}

// Files that go past the log need as much space as they have bytes, and no more.
func TestRoomForFiles(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 500 << 20, TotalBytes: 1 << 30})
	s, err := Open(Options{Dir: "db", FS: fs, Reserve: 64 << 20, MemtableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// As it is now, not as it was a second ago.
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 164 << 20, TotalBytes: 1 << 30})
	if err := s.CheckRoom(100 << 20); err != nil {
		t.Errorf("100 of 100 MiB beyond the reserve: %v", err)
	}
	if err := s.CheckRoom(100<<20 + 1); !errors.Is(err, ErrDiskFull) {
		t.Errorf("more than there is: %v", err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 63 << 20, TotalBytes: 1 << 30})
	if err := s.CheckRoom(0); !errors.Is(err, ErrDiskFull) {
		t.Errorf("nothing, below the reserve: %v", err)
	}
}

// writeOnBrokenDisk runs in a process of its own: the first sync of the log after
// the start fails.
func writeOnBrokenDisk(dir string) {
	var broken bool
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(op.Path, ".log") {
			return errors.New("input/output error")
		}
		return nil
	}))
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := Open(Options{Dir: dir, FS: fs, Log: log})
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	broken = true
	if err := s.DB.Set([]byte("k"), []byte("v"), pebble.Sync); err != nil {
		fmt.Println(err)
	}
	fmt.Println("acknowledged")
	os.Exit(0)
}

func TestFailedSyncEndsTheProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_BROKEN_DISK="+t.TempDir())
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("ended with %v; %s%s", err, out.String(), log.String())
	}
	if strings.Contains(out.String(), "acknowledged") {
		t.Fatal("a write was acknowledged that is not durable")
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 || !strings.Contains(lines[0], "the store cannot make data durable and ends the process") || !strings.Contains(lines[0], "input/output error") {
		t.Fatalf("log:\n%s", log.String())
	}
}

// The index of a file has one level: a second would be one more block to look up for each key.
func TestIndexesOfFilesHaveOneLevel(t *testing.T) {
	s, err := Open(Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 10_000 {
		key := binary.BigEndian.AppendUint32(AppendIndexPrefix(nil, SpaceRows, 1), uint32(i))
		if err := s.DB.Set(key, bytes.Repeat(key, 20), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DB.Flush(); err != nil {
		t.Fatal(err)
	}
	levels, err := s.DB.SSTables(pebble.WithProperties())
	if err != nil {
		t.Fatal(err)
	}
	blocks := uint64(0)
	for _, file := range slices.Concat(levels...) {
		blocks += file.Properties.NumDataBlocks
		if n := file.Properties.IndexPartitions; n > 0 {
			t.Errorf("file %s of %d bytes: its index has %d parts", file.FileNum, file.Size, n)
		}
	}
	if blocks < 200 {
		t.Errorf("%d data blocks: too few to prove anything", blocks)
	}
}
