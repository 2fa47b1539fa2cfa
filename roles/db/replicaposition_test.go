package db

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A source that writes nothing goes on to another file, and removes those before. Who follows it by file and position knows,
// and over a restart.
func TestReplicaRemembersRotates(t *testing.T) {
	source, db := startSource(t)
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)")
	follower := emptyNode(t)
	replica := follower.rootDB("")
	mustExec(t, replica.Exec, changeTo("GET_SOURCE_PUBLIC_KEY = 1, SOURCE_LOG_FILE = 'binlog.000001', SOURCE_LOG_POS = 4")+fmt.Sprint(source.addr.Port()), "START REPLICA")
	inStep(t, db, replica, stackPosition(t, db, replica))
	for range 3 {
		mustExec(t, db.Exec, "FLUSH BINARY LOGS")
	}
	at := columns(t, db, "SHOW MASTER STATUS")
	st := map[string]string{}
	until(t, time.Minute, "the replica knows the file", func() bool {
		st = replicaStatus(t, replica)
		return st["Master_Log_File"] == at["File"] && st["Relay_Master_Log_File"] == at["File"] && st["Exec_Master_Log_Pos"] == at["Position"]
	})
	if st["Read_Master_Log_Pos"] != at["Position"] {
		t.Errorf("the source is at %v, the replica at %v", at, st)
	}
	follower.kill()
	mustExec(t, db.Exec, "PURGE BINARY LOGS TO '"+at["File"]+"'")
	follower = startProcess(t, follower.node)
	replica = follower.rootDB("")
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (2)")
	inStep(t, db, replica, stackPosition(t, db, replica))
}

// Who the source is and what it has sent is told while it is away.
func TestReplicaKnowsASourceThatIsAway(t *testing.T) {
	source, _, db, replica, _ := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)")
	inStep(t, db, replica, stackPosition(t, db, replica))
	want := columns(t, db, "SELECT @@server_uuid AS uuid, @@server_id AS id, @@gtid_executed AS executed")
	check := func(when string) {
		t.Helper()
		st := replicaStatus(t, replica)
		if st["Master_UUID"] != want["uuid"] || st["Master_Server_Id"] != want["id"] || st["Retrieved_Gtid_Set"] != want["executed"] {
			t.Errorf("%s the source is %s, %s and has sent %s, want %v", when, st["Master_UUID"], st["Master_Server_Id"], st["Retrieved_Gtid_Set"], want)
		}
	}
	check("while it is there")
	source.kill()
	until(t, time.Minute, "the source is away", func() bool { return replicaStatus(t, replica)["Slave_IO_Running"] == "Connecting" })
	check("while it is away")
	got := columns(t, replica, "SELECT source_uuid AS u, received_transaction_set AS r FROM performance_schema.replication_connection_status")
	if got["u"] != want["uuid"] || got["r"] != want["executed"] {
		t.Errorf("the table has %v", got)
	}
	mustExec(t, replica.Exec, "STOP REPLICA", "RESET REPLICA")
	if st := replicaStatus(t, replica); st["Retrieved_Gtid_Set"] != "" || !strings.EqualFold(st["Master_UUID"], want["uuid"]) {
		t.Errorf("after RESET REPLICA: %v", st)
	}
	mustExec(t, replica.Exec, "CHANGE REPLICATION SOURCE TO SOURCE_PORT = 1")
	if st := replicaStatus(t, replica); st["Master_UUID"] != "" || st["Master_Server_Id"] != "0" {
		t.Errorf("of another source is known: %v", st)
	}
}
