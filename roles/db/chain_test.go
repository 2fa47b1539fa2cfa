package db

import (
	"fmt"
	"testing"
	"time"
)

// A replica of a replica is connected while the first source starts anew, of which only the one between hears. What comes
// through is the same in all three, and the last one goes on when its own connection was broken.
func TestReplicaOfAReplicaOverStarts(t *testing.T) {
	source, middle, db, between, change := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)")
	until(t, time.Minute, "the one between has it", stackPosition(t, db, between))
	last := emptyNode(t).rootDB("")
	toMiddle := change + fmt.Sprint(middle.addr.Port())
	mustExec(t, last.Exec, toMiddle, "START REPLICA")
	until(t, time.Minute, "the last one has it", stackPosition(t, db, last))
	source.kill()
	source = startProcess(t, source.node)
	db = source.rootDB("")
	mustExec(t, between.Exec, "STOP REPLICA", change+fmt.Sprint(source.addr.Port()), "START REPLICA")
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (2)")
	until(t, time.Minute, "the last one has what came after the start", stackPosition(t, db, last))
	mustExec(t, last.Exec, "STOP REPLICA", "START REPLICA")
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (3)")
	until(t, time.Minute, "the last one goes on", func() bool {
		if text := replicaStatus(t, last)["Last_IO_Error"]; text != "" {
			t.Fatal(text)
		}
		return stackPosition(t, db, last)()
	})
}
