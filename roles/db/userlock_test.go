package db

import (
	"context"
	"testing"
	"time"
)

// A client that goes while it waits in GET_LOCK() leaves the rows that it had locked free, and does not get
// the lock.
func TestClientLeavesWhileItWaitsForAUserLock(t *testing.T) {
	r := start(t, testNode(t))
	pool := r.rootDB("wordpress")
	mustExec(t, pool.Exec, "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 0)")
	holder, waiter := r.session(t), r.session(t)
	ask := func(query string) (n int) {
		t.Helper()
		if err := holder.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(query, err)
		}
		return n
	}
	if ask("SELECT GET_LOCK('x', 0)") != 1 {
		t.Fatal("a free lock is not to be had")
	}
	for _, q := range []string{"BEGIN", "UPDATE t SET v = 1"} {
		if _, err := waiter.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		var got int
		gone <- waiter.QueryRowContext(ctx, "SELECT GET_LOCK('x', -1)").Scan(&got)
	}()
	until(t, time.Minute, "the client waits in GET_LOCK()", func() bool {
		if len(gone) > 0 {
			t.Fatal("it does not wait:", <-gone)
		}
		return ask("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'") == 1
	})
	leave() // the driver closes the connection
	if err := <-gone; err == nil {
		t.Error("the lock of another was given")
	}
	mustExec(t, pool.Exec, "UPDATE t SET v = 2") // within innodb_lock_wait_timeout
	if ask("SELECT RELEASE_LOCK('x')") != 1 || ask("SELECT IS_FREE_LOCK('x')") != 1 {
		t.Error("a client that has gone has the lock")
	}
}
