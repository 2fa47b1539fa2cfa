package db

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/roles/internal/timing"
)

// What a connection has locked is free within a second once it is closed, reset or killed, whatever it was about.
func TestLocksAreFreeWithinASecond(t *testing.T) {
	node := testNode(t)
	node.DB.LockWaitTimeout = 2 * time.Minute
	r := start(t, node)
	root := r.rootDB("wordpress")
	r.allowClear(root)
	mustExec(t, root.Exec, "CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 0), (2, 0)", "CREATE TABLE many (id INT PRIMARY KEY)")
	mustExec(t, root.Exec, "INSERT INTO many VALUES (0)"+manyRows(3000))
	holder := r.onSocket(t, false)
	holder.do("BEGIN", "UPDATE t SET n = 1 WHERE id = 2")
	rounds := 5
	if testing.Short() {
		rounds = 3
	}
	ends := map[string]func(c *socketClient){
		"closed": (*socketClient).leave,
		"reset":  (*socketClient).reset,
		"killed": func(c *socketClient) { mustExec(t, root.Exec, fmt.Sprint("KILL ", c.id)) },
	}
	for _, about := range []struct {
		name, statement string // the last of a transaction that has locked row 1
	}{
		{"nothing", ""},
		{"sleeping", "SELECT SLEEP(300)"},
		{"waiting for a lock", "UPDATE t SET n = 3 WHERE id = 2"},
		{"computing", "SELECT COUNT(*) FROM many a JOIN many b JOIN many c ON a.id + b.id + c.id < 0"},
		{"writing", "UPDATE many SET id = id + 10000 + SLEEP(0.05) ORDER BY id DESC"},
		{"sending rows", "SELECT REPEAT('x', 1000), a.id FROM many a JOIN many b"},
	} {
		for how, end := range ends {
			what := about.name + ", " + how
			timing.Median(t, what, time.Second, rounds, func() time.Duration {
				c := r.onSocket(t, false)
				c.do("BEGIN", "UPDATE t SET n = 2 WHERE id = 1")
				waiters := uint64(1)
				if about.statement != "" {
					c.send(about.statement)
					runs(t, root, c.id)
				}
				if strings.HasPrefix(about.name, "waiting") {
					waiters = 2
				}
				w := r.awaitRow(t, waiters)
				began := time.Now()
				end(c)
				took := w.since(t, began)
				c.nc.Close()
				return took
			})
		}
	}
	// KILL QUERY frees what the statement alone has locked.
	timing.Median(t, "KILL QUERY", time.Second, rounds, func() time.Duration {
		c := r.onSocket(t, false)
		c.send("UPDATE t SET n = SLEEP(300) WHERE id = 1")
		runs(t, root, c.id)
		until(t, time.Minute, "the row is locked", func() bool {
			_, err := root.Exec("SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT")
			e, ok := err.(*mysql.MySQLError)
			return ok && e.Number == 3572
		})
		w := r.awaitRow(t, 1)
		began := time.Now()
		mustExec(t, root.Exec, fmt.Sprint("KILL QUERY ", c.id))
		took := w.since(t, began)
		c.nc.Close()
		return took
	})
	until(t, time.Minute, "the transactions have ended", func() bool { return r.role.data.engine.Transactions() == 1 })
}

// manyRows are the values from 1 on, as an INSERT goes on with them.
func manyRows(n int) string {
	var b strings.Builder
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, ", (%d)", i)
	}
	return b.String()
}

// runs waits until a connection runs a statement.
func runs(t testing.TB, root *sql.DB, id uint32) {
	t.Helper()
	until(t, time.Minute, "the statement runs", func() bool {
		var n int
		err := root.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ? AND command = 'Query'", id).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
}
