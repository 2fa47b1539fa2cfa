package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A copy is nobody else's to read, in whatever directory the operator has made for it.
func TestCheckpointIsPrivate(t *testing.T) {
	s := openStore(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, pebbleDir))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the copied store has mode %v, %v", info.Mode(), err)
	}
}

// A checkpoint ends with its context, which matters where files are copied; the store and
// later checkpoints go on.
func TestCheckpointEnds(t *testing.T) {
	s := openStore(t)
	if err := errors.Join(s.DB.Set([]byte("k"), []byte("v"), pebble.Sync), s.DB.Flush()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	tired := errors.New("tired of waiting")
	cancel(tired)
	dir := t.TempDir()
	if err := s.Checkpoint(ctx, dir); !errors.Is(err, tired) {
		t.Errorf("a checkpoint that nobody waits for gives %v", err)
	}
	if err := errors.Join(s.DB.Set([]byte("k"), []byte("w"), pebble.Sync), s.DB.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(t.Context(), t.TempDir()); err != nil {
		t.Error(err)
	}
}

// The power fails between the name of a new marker and the sync of the directory. Whichever
// of the names in it reach the disk, the store opens. (Found by TestCrashRounds of
// roles/db/txn: the marker was there and named a manifest that was not.)
func TestMarkerFollowsItsManifest(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, err := Open(Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.DB.Set([]byte("k"), []byte("v"), pebble.Sync), s.Close()); err != nil {
		t.Fatal(err)
	}
	var clones []*vfs.MemFS
	hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemove && strings.Contains(op.Path, "marker.manifest") { // the new one is there
			for seed := range uint64(64) {
				clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, 1))}))
			}
		}
		return nil
	}))
	if s, err = Open(Options{Dir: "db", FS: hooked}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(clones) == 0 {
		t.Fatal("no manifest was replaced: the test shows nothing")
	}
	for i, clone := range clones {
		s, err := Open(Options{Dir: "db", FS: clone})
		if err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		if v, err := Get(s.DB, []byte("k")); err != nil || string(v) != "v" {
			t.Errorf("crash %d: %q, %v", i, v, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
