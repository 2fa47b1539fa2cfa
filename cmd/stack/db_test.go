package main

import (
	"path/filepath"
	"strings"
	"testing"

	"stack/roles/db"
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

func TestStatusOfAReplica(t *testing.T) {
	lag := 1.5
	var b strings.Builder
	writeDatabase(&b, &db.Detail{Role: "replica", Source: &db.Source{
		Address: "old:3306", State: "running", Position: "0-7-120", Lag: &lag, Behind: 17, Error: "it ended", Diverged: "key id=2",
	}, Readers: []db.Reader{{Host: "10.0.0.9", ServerID: 12, Position: "binlog.000003:177", Bytes: 2_500_000}}})
	for _, want := range []string{"replica", "old:3306, running", "0-7-120", "1.500 s", "transactions behind  17", "it ended", "key id=2",
		"server id 12 from 10.0.0.9, at binlog.000003:177, 2.5 MB sent"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, b.String())
		}
	}
}
