package sql

import (
	"strings"
	"testing"

	"stack/roles/db/replica"
)

// newReplica gives a server what follows sources.
func (s *server) newReplica() *replica.Replica {
	s.t.Helper()
	r, err := replica.Open(replica.Options{Store: s.store, DB: s.db, Statements: s.engine, Name: "db1", Following: s.engine.SetFollowing})
	if err != nil {
		s.t.Fatal(err)
	}
	s.engine.SetReplica(r)
	return r
}

func TestReplicationStatements(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.fails(1235, "START REPLICA")
	c.want("SHOW REPLICA STATUS")
	r := s.newReplica()
	c.fails(1200, "START REPLICA")
	c.want("SHOW REPLICA STATUS")
	c.must(`CHANGE MASTER TO MASTER_LOG_FILE = 'source.000003', MASTER_LOG_POS = 400`, // as a dump says it
		`CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_USER = 'u''s', SOURCE_PASSWORD = 'open \'sesame', SOURCE_SSL = 1,
			SOURCE_SSL_CA = '/ca', SOURCE_HEARTBEAT_PERIOD = 1.5, SOURCE_CONNECT_RETRY = 7, SOURCE_RETRY_COUNT = 2, GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL ''`)
	status := func() string { return c.must("SHOW REPLICA STATUS").rows[0] }
	for _, want := range []string{"127.0.0.1|u's|1|7|source.000003|400|", "|source.000003|No|No|", "|Yes|/ca|", "|86400|"} {
		if want != "|86400|" && !strings.Contains(status(), want) {
			t.Errorf("the status lacks %q: %s", want, status())
		}
	}
	if st, ok := r.Status(); !ok || st.Password != "" || st.Heartbeat != 1_500_000_000 || st.Attempts != 2 || !st.PublicKey {
		t.Errorf("%+v", st)
	}
	if strings.Contains(status(), "sesame") {
		t.Error("the password is shown")
	}
	for text, code := range map[string]uint16{
		"CHANGE MASTER TO":                                                       1064,
		"CHANGE MASTER TO MASTER_HOST":                                           1064,
		"CHANGE MASTER TO MASTER_HOST = 5":                                       1210,
		"CHANGE MASTER TO MASTER_PORT = 70000":                                   1210,
		"CHANGE MASTER TO MASTER_DELAY = 5":                                      1235,
		"CHANGE MASTER TO MASTER_SSL_VERIFY_SERVER_CERT = 1, MASTER_SSL_CA = ''": 1210,
		"CHANGE MASTER TO MASTER_AUTO_POSITION = 1, MASTER_LOG_FILE = 'x'":       1776,
		"CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'h' FOR CHANNEL 'c'":         3074,
		"CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD = 0":               1210,
		"START REPLICA SQL_THREAD":                                               1235,
		"STOP SLAVE IO_THREAD":                                                   1235,
		"START SLAVE UNTIL MASTER_LOG_POS = 4":                                   1235,
		"SET GLOBAL gtid_slave_pos = 'nonsense'":                                 1231,
		"RESET REPLICA EVERYTHING":                                               1064,
	} {
		c.fails(code, text)
	}
	c.must("CREATE USER reader")
	reader := s.login("reader", "%", "")
	for _, q := range []string{"START REPLICA", "STOP REPLICA", "SHOW REPLICA STATUS", "CHANGE MASTER TO MASTER_HOST = 'h'", "RESET REPLICA ALL"} {
		reader.fails(1227, q)
	}
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "START REPLICA")
	c.fails(1290, "INSERT INTO t VALUES (1)")
	c.fails(1290, "CREATE TABLE u (id INT)")
	for _, q := range []string{"SET GLOBAL read_only = 0", "SET GLOBAL super_read_only = OFF", "SET @@global.read_only = 0"} {
		c.fails(1290, q)
	}
	c.fails(3021, "CHANGE MASTER TO MASTER_HOST = 'h'")
	c.fails(3021, "RESET SLAVE ALL")
	c.must("STOP REPLICA")
	c.fails(1290, "INSERT INTO t VALUES (1)")
	// What is configured is there again after a restart, and read-only is.
	s.restart()
	r = s.newReplica()
	c = s.test()
	c.fails(1290, "INSERT INTO t VALUES (1)")
	if !strings.Contains(status(), "127.0.0.1|u's|1|7|source.000003|400|") {
		t.Errorf("after a restart: %s", status())
	}
	c.must("SET GLOBAL gtid_slave_pos = '0-7-5'", "CHANGE MASTER TO MASTER_USE_GTID = slave_pos")
	if rows := c.must("SHOW SLAVE STATUS").rows; !strings.HasSuffix(rows[0], "|Slave_Pos|0-7-5") {
		t.Errorf("by GTID of MariaDB: %q", rows)
	}
	c.must("RESET REPLICA ALL", "INSERT INTO t VALUES (1)")
	c.want("SHOW REPLICA STATUS")
	for _, text := range []string{"CHANGE MASTER TO MASTER_PASSWORD = 'open sesame'", `change replication source to source_password="open sesame"`} {
		if shown := withoutSecrets(text); strings.Contains(shown, "sesame") {
			t.Errorf("shown is %s", shown)
		}
	}
	r.Close()
}

// The tables have MySQL 8.0's columns in its order, and no rows where nobody is followed.
func TestReplicaTables(t *testing.T) {
	s := newServer(t)
	c := s.test()
	s.newReplica()
	for table, want := range map[string]string{
		"replication_connection_status": `CHANNEL_NAME GROUP_NAME SOURCE_UUID THREAD_ID SERVICE_STATE COUNT_RECEIVED_HEARTBEATS LAST_HEARTBEAT_TIMESTAMP
			RECEIVED_TRANSACTION_SET LAST_ERROR_NUMBER LAST_ERROR_MESSAGE LAST_ERROR_TIMESTAMP LAST_QUEUED_TRANSACTION LAST_QUEUED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP
			LAST_QUEUED_TRANSACTION_IMMEDIATE_COMMIT_TIMESTAMP LAST_QUEUED_TRANSACTION_START_QUEUE_TIMESTAMP LAST_QUEUED_TRANSACTION_END_QUEUE_TIMESTAMP
			QUEUEING_TRANSACTION QUEUEING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP QUEUEING_TRANSACTION_IMMEDIATE_COMMIT_TIMESTAMP QUEUEING_TRANSACTION_START_QUEUE_TIMESTAMP`,
		"replication_applier_status": "CHANNEL_NAME SERVICE_STATE REMAINING_DELAY COUNT_TRANSACTIONS_RETRIES",
		"replication_applier_status_by_worker": `CHANNEL_NAME WORKER_ID THREAD_ID SERVICE_STATE LAST_ERROR_NUMBER LAST_ERROR_MESSAGE LAST_ERROR_TIMESTAMP
			LAST_APPLIED_TRANSACTION LAST_APPLIED_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP LAST_APPLIED_TRANSACTION_IMMEDIATE_COMMIT_TIMESTAMP
			LAST_APPLIED_TRANSACTION_START_APPLY_TIMESTAMP LAST_APPLIED_TRANSACTION_END_APPLY_TIMESTAMP
			APPLYING_TRANSACTION APPLYING_TRANSACTION_ORIGINAL_COMMIT_TIMESTAMP APPLYING_TRANSACTION_IMMEDIATE_COMMIT_TIMESTAMP APPLYING_TRANSACTION_START_APPLY_TIMESTAMP
			LAST_APPLIED_TRANSACTION_RETRIES_COUNT LAST_APPLIED_TRANSACTION_LAST_TRANSIENT_ERROR_NUMBER LAST_APPLIED_TRANSACTION_LAST_TRANSIENT_ERROR_MESSAGE
			LAST_APPLIED_TRANSACTION_LAST_TRANSIENT_ERROR_TIMESTAMP APPLYING_TRANSACTION_RETRIES_COUNT APPLYING_TRANSACTION_LAST_TRANSIENT_ERROR_NUMBER
			APPLYING_TRANSACTION_LAST_TRANSIENT_ERROR_MESSAGE APPLYING_TRANSACTION_LAST_TRANSIENT_ERROR_TIMESTAMP`,
		"replication_group_members": "CHANNEL_NAME MEMBER_ID MEMBER_HOST MEMBER_PORT MEMBER_STATE MEMBER_ROLE MEMBER_VERSION MEMBER_COMMUNICATION_STACK",
	} {
		var got []string
		for _, row := range c.must("SHOW COLUMNS FROM performance_schema." + table).rows {
			name, _, _ := strings.Cut(row, "|")
			got = append(got, name)
		}
		if strings.Join(got, " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s has %q", table, got)
		}
		c.want("SELECT * FROM performance_schema." + table)
	}
	c.must("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_USER = 'u'")
	c.want("SELECT service_state, source_uuid, last_queued_transaction, last_error_number, last_heartbeat_timestamp FROM performance_schema.replication_connection_status",
		"OFF|||0|0000-00-00 00:00:00.000000")
	c.must("CREATE USER nobody", "GRANT SELECT ON performance_schema.* TO nobody")
	s.login("nobody", "%", "").fails(1227, "SELECT * FROM performance_schema.replication_connection_status")
}
