package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
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
