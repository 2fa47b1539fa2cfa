package db

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The tables of performance_schema tell of a replica what it does: who it follows, what came and was applied last and when, and
// what has stopped it.
func TestReplicaTables(t *testing.T) {
	pair, _, db, replica, change := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.t VALUES (1, 1)")
	until(t, time.Minute, "the replica has it", stackPosition(t, db, replica))
	source := columns(t, db, "SELECT @@server_uuid AS uuid, @@gtid_executed AS done")
	last := source["uuid"] + ":" + source["done"][strings.LastIndexByte(source["done"], '-')+1:]
	until(t, time.Minute, "a heartbeat has come", func() bool {
		return columns(t, replica, "SELECT count_received_heartbeats > 0 AND last_heartbeat_timestamp > NOW(6) - INTERVAL 1 HOUR AS n FROM performance_schema.replication_connection_status")["n"] == "1"
	})
	for _, c := range []struct{ query, want string }{
		{"SELECT CONCAT_WS('|', source_uuid, service_state, last_error_number, last_queued_transaction, queueing_transaction) AS x FROM performance_schema.replication_connection_status",
			source["uuid"] + "|ON|0|" + last + "|"},
		{`SELECT CONCAT_WS('|', last_queued_transaction_original_commit_timestamp > NOW(6) - INTERVAL 1 HOUR,
			last_queued_transaction_original_commit_timestamp = last_queued_transaction_immediate_commit_timestamp,
			last_queued_transaction_start_queue_timestamp <= last_queued_transaction_end_queue_timestamp) AS x FROM performance_schema.replication_connection_status`, "1|1|1"},
		{"SELECT CONCAT_WS('|', service_state, count_transactions_retries) AS x FROM performance_schema.replication_applier_status WHERE remaining_delay IS NULL", "ON|0"},
		{"SELECT CONCAT_WS('|', worker_id, service_state, last_error_number, last_applied_transaction, applying_transaction) AS x FROM performance_schema.replication_applier_status_by_worker",
			"0|ON|0|" + last + "|"},
		{`SELECT last_applied_transaction_start_apply_timestamp <= last_applied_transaction_end_apply_timestamp
			AND w.last_applied_transaction_original_commit_timestamp = c.last_queued_transaction_original_commit_timestamp AS x
			FROM performance_schema.replication_applier_status_by_worker w JOIN performance_schema.replication_connection_status c USING (channel_name)`, "1"},
	} {
		if got := columns(t, replica, c.query)["x"]; got != c.want {
			t.Errorf("%s is %q, want %q", c.query, got, c.want)
		}
	}
	// A row that is another one here.
	mustExec(t, replica.Exec, "STOP REPLICA")
	if got := columns(t, replica, "SELECT CONCAT(c.service_state, a.service_state) AS x FROM performance_schema.replication_connection_status c JOIN performance_schema.replication_applier_status a USING (channel_name)")["x"]; got != "OFFOFF" {
		t.Errorf("after STOP REPLICA it is %s", got)
	}
	mustExec(t, replica.Exec, "RESET REPLICA ALL", "UPDATE shop.t SET v = 2")
	mustExec(t, db.Exec, "UPDATE shop.t SET v = 3")
	mustExec(t, replica.Exec, change+fmt.Sprint(pair.addr.Port()), "START REPLICA")
	until(t, time.Minute, "it is stopped by the row", func() bool {
		return columns(t, replica, "SELECT CONCAT(service_state, last_error_number) AS x FROM performance_schema.replication_applier_status_by_worker WHERE last_error_message LIKE '%shop%'")["x"] == "OFF1032"
	})
}
