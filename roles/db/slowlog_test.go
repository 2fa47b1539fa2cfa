package db

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/roles/db/sql"
)

// What the configuration says of the slow log holds from the start, and anew from a reload.
func TestSlowLogOfTheConfiguration(t *testing.T) {
	defer func() {
		if err := sql.SetSlow(false, 10*time.Second, false); err != nil {
			t.Error(err)
		}
	}()
	node := testNode(t)
	first, second := filepath.Join(t.TempDir(), "slow.log"), filepath.Join(t.TempDir(), "other.log")
	node.DB.SlowLog = config.DBSlowLog{Enabled: true, Path: first}
	r := start(t, node)
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`# User@Host: root\[root\] @ localhost \[127\.0\.0\.1\]  Id: +\d+  Begun: \S+
# Query_time: \d+\.\d{6}  Lock_time: 0\.000000 Rows_sent: 1  Rows_examined: 2
(use wordpress;
)?SET timestamp=\d+;
SELECT COUNT\(\*\) FROM t;
`)
	awaitText(t, first, func(text string) bool { return entry.MatchString(text) })

	next := *node
	dbConfig := *node.DB
	dbConfig.SlowLog = config.DBSlowLog{Enabled: true, Time: time.Hour, NotUsingIndexes: true, Path: second}
	next.DB = &dbConfig
	change, err := r.role.Prepare(context.Background(), &next, r.set)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	db.SetMaxIdleConns(0) // sessions that are open keep their long_query_time
	if err := db.QueryRow("SELECT MAX(id) FROM t WHERE id = 1").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("SELECT COUNT(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	awaitText(t, second, func(text string) bool { return strings.Contains(text, "SELECT COUNT(*) FROM t;") })
	if text, err := os.ReadFile(second); err != nil || strings.Contains(string(text), "MAX(id)") {
		t.Errorf("%v: a short statement by key is logged:\n%s", err, text)
	}
}

// awaitText waits until a file has what it should.
func awaitText(t *testing.T, path string, ok func(text string) bool) {
	t.Helper()
	var text []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if text, _ = os.ReadFile(path); ok(string(text)) {
			return
		}
	}
	t.Fatalf("%s has:\n%s", path, text)
}
