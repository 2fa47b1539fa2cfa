package db

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// What a demotion cuts ends as a connection that is lost: applications connect again and repeat it, and take an error,
// as KILL's 1317, for the end. Of a statement that is cut nothing stays.
func TestDemotionClosesConnections(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 0), (2, 0)")
	ctx := context.Background()
	holder, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Rollback()
	mustExec(t, holder.Exec, "UPDATE t SET v = 1 WHERE id = 2")
	cut := map[string]chan error{"SELECT SLEEP(1000)": nil, "UPDATE t SET v = v + 10 WHERE id > 0": nil}
	for text := range cut {
		done := make(chan error, 1)
		cut[text] = done
		c, err := r.rootDB("wordpress").Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			_, err := c.ExecContext(ctx, text)
			done <- err
		}()
	}
	until(t, time.Minute, "both statements run", func() bool {
		n := 0
		for text := range cut {
			var found int
			// One that has not begun its transaction is refused as read-only, and may be.
			err := db.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE ? AND (info LIKE 'SELECT%' OR state = 'Waiting for row lock')", text[:12]+"%").Scan(&found)
			if err != nil {
				t.Fatal(err)
			}
			n += found
		}
		return n == 2
	})
	if _, err := r.role.data.db.AcceptEpoch(64); err != nil { // as it comes before
		t.Fatal(err)
	}
	r.role.demoted()
	for text, done := range cut {
		var told *mysql.MySQLError
		if err := <-done; err == nil || errors.As(err, &told) {
			t.Errorf("%s: %v, want a connection that is lost", text, err)
		}
	}
	var got string
	if err := r.rootDB("wordpress").QueryRow("SELECT GROUP_CONCAT(v ORDER BY id) FROM t").Scan(&got); err != nil || got != "0,0" {
		t.Errorf("the rows are %s, %v", got, err)
	}
}

// The same where the server's fence comes before its sessions end: a commit of a transaction that it has cut is not
// refused as read-only, one that comes later is.
func TestFenceClosesConnections(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx.Exec, "INSERT INTO t VALUES (1)")
	if _, err := r.role.data.db.AcceptEpoch(64); err != nil {
		t.Fatal(err)
	}
	var told *mysql.MySQLError
	if err := tx.Commit(); err == nil || errors.As(err, &told) {
		t.Errorf("the commit: %v, want a connection that is lost", err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (2)"); !errors.As(err, &told) || told.Number != 1290 || !strings.Contains(told.Message, "read-only") {
		t.Errorf("a later statement: %v", err)
	}
}
