package db

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// The counters of a database that was closed are those it had: the supervisor asks once more then, and
// adds them to those of the next process. Nobody who asks later meets a closed store.
func TestCountersOutliveTheClose(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	before := r.counter("stack_db_commits_total")
	role := r.role
	r.close()
	if after := r.counter("stack_db_commits_total"); before < 2 || after < before {
		t.Errorf("%v commits were counted, after the close %v", before, after)
	}
	if err := role.Alive(); err == nil {
		t.Error("a closed database says that it is alive")
	}
	if s := role.Status(); s.Ready {
		t.Error("a closed database says that it is ready")
	}
}

// counter sums a family of counters; 0 without it.
func (r *running) counter(name string) (sum float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && f.GetType() == dto.MetricType_COUNTER {
			for _, m := range f.Metric {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// An archive of the binary log that cannot be written is refused by a reload. One that fails later
// is named in the status until it can be written again.
func TestArchiveThatCannotBeWritten(t *testing.T) {
	r := start(t, testNode(t))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next, archive := *r.node, *r.node.DB
	next.DB = &archive
	archive.Binlog.Archive = filepath.Join(file, "archive")
	if _, err := r.role.Prepare(context.Background(), &next, r.set); err == nil || !strings.Contains(err.Error(), "db.binlog.archive") {
		t.Fatalf("the reload: %v", err)
	}
	archive.Binlog.Archive = filepath.Join(t.TempDir(), "archive")
	change, err := r.role.Prepare(context.Background(), &next, r.set)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if names, err := os.ReadDir(archive.Binlog.Archive); err != nil || len(names) > 0 {
		t.Errorf("the archive has %v, %v", names, err)
	}

	db := r.rootDB("wordpress")
	if err := os.Remove(archive.Binlog.Archive); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive.Binlog.Archive, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY)", "FLUSH LOGS")
	told := func() bool { return strings.Contains(r.role.Status().Text, "the binary log grows") }
	awaitWithin(t, "the status names the archive", told)
	if err := os.Remove(archive.Binlog.Archive); err != nil {
		t.Fatal(err)
	}
	awaitWithin(t, "the status is clear again", func() bool { return !told() })
}

func awaitWithin(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}
