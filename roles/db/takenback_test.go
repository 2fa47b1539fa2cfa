package db

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A source whose disk was taken back to an earlier state has, under the numbers that a replica has executed, other
// transactions, and more. Their sets do not show it; the replica applies nothing of it and says so.
func TestSourceThatWasTakenBack(t *testing.T) {
	source, _, db, replica, change := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO shop.t VALUES (1, 'before')")
	data, snapshot := source.node.DB.DataDir, filepath.Join(t.TempDir(), "snapshot")
	source.kill()
	if err := os.CopyFS(snapshot, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	source = startProcess(t, source.node)
	db = source.rootDB("")
	mustExec(t, replica.Exec, "STOP REPLICA", change+fmt.Sprint(source.addr.Port()), "START REPLICA")
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (2, 'kept')")
	until(t, time.Minute, "the replica has it", stackPosition(t, db, replica))
	mustExec(t, replica.Exec, "STOP REPLICA")
	source.kill()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(snapshot, data); err != nil {
		t.Fatal(err)
	}
	source = startProcess(t, source.node)
	db = source.rootDB("")
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (2, 'another')", "INSERT INTO shop.t VALUES (3, 'more')")
	mustExec(t, replica.Exec, change+fmt.Sprint(source.addr.Port()), "START REPLICA")
	until(t, time.Minute, "the replica says what the source has lost", func() bool {
		return strings.Contains(replicaStatus(t, replica)["Last_IO_Error"], "the source has lost "+columns(t, db, "SELECT @@server_uuid AS u")["u"]+":")
	})
	if got := columns(t, replica, "SELECT GROUP_CONCAT(CONCAT(id, v) ORDER BY id) AS g FROM shop.t")["g"]; got != "1before,2kept" {
		t.Errorf("the replica has %s", got)
	}
	// One that has only what both have in common goes on.
	behind := emptyNode(t)
	other := behind.rootDB("")
	mustExec(t, other.Exec, change+fmt.Sprint(source.addr.Port()), "START REPLICA")
	until(t, time.Minute, "another replica has all", stackPosition(t, db, other))
}
