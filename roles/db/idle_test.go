package db

import (
	"context"
	"testing"
	"time"

	"stack/roles/internal/timing"
)

const idleWord = "4031 HY000The client was disconnected by the server because of inactivity. " +
	"See wait_timeout and interactive_timeout for configuring this behavior."

// A client that sends nothing for wait_timeout is told so and closed, also within a transaction, whose locks are
// free then. Of interactive clients interactive_timeout is asked at login.
func TestIdleClientsAreClosed(t *testing.T) {
	r := start(t, testNode(t))
	root := r.rootDB("wordpress")
	r.allowClear(root)
	mustExec(t, root.Exec, "CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 0)")
	for _, c := range []struct {
		name        string
		global      string // set before the login
		interactive bool
		session     []string
	}{
		{"wait_timeout", "SET GLOBAL interactive_timeout = 28800", false, []string{"SET SESSION wait_timeout = 1"}},
		{"wait_timeout of all", "SET GLOBAL wait_timeout = 1", false, nil},
		{"wait_timeout of who sends many commands", "SET GLOBAL wait_timeout = 28800", false, append(repeated("SELECT 1", 500), "SET SESSION wait_timeout = 1")},
		{"interactive_timeout", "SET GLOBAL interactive_timeout = 1", true, nil},
		{"wait_timeout of an interactive client", "SET GLOBAL interactive_timeout = 28800", true, []string{"SET SESSION wait_timeout = 1"}},
	} {
		mustExec(t, root.Exec, c.global)
		timing.Median(t, c.name, 2*time.Second, 3, func() time.Duration {
			s := r.onSocket(t, c.interactive)
			s.do(append(c.session, "BEGIN", "UPDATE t SET n = 1 WHERE id = 1")...)
			began := time.Now()
			w := r.awaitRow(t, 1)
			if got := s.lastWord(); got != idleWord {
				t.Errorf("%s: the client is told %q", c.name, got)
			}
			took := w.since(t, began)
			if took < 900*time.Millisecond {
				t.Errorf("%s: closed after %v", c.name, took)
			}
			return took
		})
	}
	// Each kind of client is closed by its own limit.
	mustExec(t, root.Exec, "SET GLOBAL wait_timeout = 1000", "SET GLOBAL interactive_timeout = 2000")
	for interactive, want := range map[bool]int{false: 1000, true: 2000} {
		var got int
		s := r.onSocket(t, interactive)
		if err := s.QueryRowContext(context.Background(), "SELECT @@wait_timeout").Scan(&got); err != nil || got != want {
			t.Errorf("interactive %v: wait_timeout is %d (%v), want %d", interactive, got, err, want)
		}
	}
}

func repeated(query string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = query
	}
	return list
}

// A client that stops within a packet is closed after net_read_timeout, and one that takes no more of its answer after
// net_write_timeout: what their transactions have locked is free then.
func TestStalledClientsAreClosed(t *testing.T) {
	node := testNode(t)
	node.DB.LockWaitTimeout = time.Minute
	r := start(t, node)
	root := r.rootDB("wordpress")
	r.allowClear(root)
	mustExec(t, root.Exec, "CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 0)", "CREATE TABLE many (id INT PRIMARY KEY)",
		"INSERT INTO many VALUES (0)"+manyRows(1000))
	for _, c := range []struct {
		limit string
		stall func(s *socketClient)
	}{
		{"net_read_timeout", func(s *socketClient) {
			if _, err := s.nc.Write([]byte{9, 0, 0, 0, 3, 'S'}); err != nil {
				t.Fatal(err)
			}
		}},
		{"net_write_timeout", func(s *socketClient) { s.send("SELECT REPEAT('x', 1000), a.id FROM many a JOIN many b") }},
	} {
		timing.Median(t, c.limit, 4*time.Second, 3, func() time.Duration {
			s := r.onSocket(t, false)
			s.do("SET SESSION "+c.limit+" = 1", "BEGIN", "UPDATE t SET n = 1 WHERE id = 1")
			w := r.awaitRow(t, 1)
			began := time.Now()
			c.stall(s)
			took := w.since(t, began)
			if took < 900*time.Millisecond {
				t.Errorf("%s: closed after %v", c.limit, took)
			}
			s.nc.Close()
			return took
		})
	}
}
