package db

import (
	"fmt"
	"strings"
	"testing"
)

// Sessions of a MariaDB may log otherwise than its global variables say. What they log as statements stops the replica by
// name, and so does an ALTER in two parts; a collation that only MariaDB has does not.
func TestReplicaOfSessionsThatLogOtherwise(t *testing.T) {
	m := startMariaSource(t)
	mustExec(t, m.db.Exec, "CREATE DATABASE odd", "CREATE TABLE odd.t (id INT PRIMARY KEY, v INT)", "INSERT INTO odd.t VALUES (1, 1)")
	p := emptyNode(t)
	root := follow(t, p, m.port, "SOURCE_LOG_FILE = 'source.000001', SOURCE_LOG_POS = 4")
	there := mariaPosition(t, m.db, root)
	inStep(t, m.db, root, there)
	session, err := m.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	do := func(statements ...string) {
		t.Helper()
		for _, text := range statements {
			if _, err := session.ExecContext(t.Context(), text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	do("SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_nopad_ci", "SET collation_server = utf8mb4_nopad_bin",
		"CREATE TABLE shop.nopad (id INT PRIMARY KEY, s VARCHAR(20) DEFAULT 'é')", "INSERT INTO shop.nopad (id) VALUES (1)", "CREATE TABLE shop.filled SELECT * FROM shop.nopad",
		"CREATE TABLE shop.empty SELECT * FROM shop.nopad WHERE id > 1")
	inStep(t, m.db, root, there)
	for _, step := range []struct{ set, text, want string }{
		{"binlog_format = STATEMENT", "UPDATE odd.t SET v = 2", "a statement that changes rows"},
		{"binlog_format = STATEMENT", "CREATE TABLE odd.u SELECT * FROM odd.t", "fills a table by a query"},
		{"binlog_format = ROW, binlog_alter_two_phase = 1", "ALTER TABLE odd.t ADD n INT", "binlog_alter_two_phase = OFF"},
	} {
		do("SET "+step.set, step.text)
		if st := stopped(t, root); !strings.Contains(st["Last_SQL_Error"], step.want) || !strings.Contains(st["Last_SQL_Error"], "0-7-") {
			t.Errorf("%s: %v", step.text, st)
		}
		where := columns(t, m.db, "SHOW MASTER STATUS")
		mustExec(t, root.Exec, "STOP REPLICA", fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE = '%s', SOURCE_LOG_POS = %s", where["File"], where["Position"]), "START REPLICA")
	}
	do("SET binlog_alter_two_phase = 0", "INSERT INTO shop.nopad VALUES (2, 'x')")
	inStep(t, m.db, root, there)
}

// A key that is rewritten in other letters is rewritten in the rows that name it too, though its collation calls both equal; and all
// maps of tables come before the rows of a statement.
func TestReplicaOfEqualKeys(t *testing.T) {
	m := startMariaSource(t)
	mustExec(t, m.db.Exec, "CREATE TABLE shop.parent (code VARCHAR(20) PRIMARY KEY)",
		"CREATE TABLE shop.child (id INT PRIMARY KEY, code VARCHAR(20), n INT, FOREIGN KEY (code) REFERENCES shop.parent (code) ON UPDATE CASCADE)",
		"CREATE TABLE shop.grandchild (id INT PRIMARY KEY AUTO_INCREMENT, code VARCHAR(20), FOREIGN KEY (code) REFERENCES shop.child (code) ON UPDATE CASCADE)",
		"CREATE TABLE shop.loose (id INT PRIMARY KEY, code VARCHAR(20), FOREIGN KEY (code) REFERENCES shop.parent (code) ON UPDATE SET NULL)",
		"INSERT INTO shop.parent VALUES ('abc'), ('other')", "INSERT INTO shop.child VALUES (0, 'other', 0)",
		"INSERT INTO shop.child SELECT seq, IF(seq % 3 = 0, 'Abc', 'abc'), 1 FROM shop.seq_1_to_2500",
		"INSERT INTO shop.grandchild (code) VALUES ('abc'), ('ABC'), ('other')", "INSERT INTO shop.loose VALUES (1, 'abc'), (2, 'other')",
		"UPDATE shop.parent SET code = 'ABC' WHERE code = 'abc'", "UPDATE shop.child SET n = 2", "UPDATE shop.parent SET code = 'xyz' WHERE code = 'abc'", "DELETE FROM shop.grandchild WHERE id = 1")
	p := emptyNode(t)
	root := follow(t, p, m.port, "SOURCE_LOG_FILE = 'source.000001', SOURCE_LOG_POS = 4")
	inStep(t, m.db, root, mariaPosition(t, m.db, root))
}
