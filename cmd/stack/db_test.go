package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestBackupThatIsNotSeenHere(t *testing.T) {
	dir := t.TempDir()
	if err := seenHere(dir); err != nil {
		t.Error(err)
	}
	if err := seenHere(filepath.Join(dir, "elsewhere")); err == nil || !strings.Contains(err.Error(), "a /tmp of its own") {
		t.Errorf("a backup in the service's own /tmp is reported as %v", err)
	}
}
