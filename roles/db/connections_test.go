package db

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// connectionMemory is what an idle connection may keep, bytes, the client's side of it included, for
// both are in this process. Most of it are the buffers and a session's variables.
const connectionMemory = 128 << 10

// Many connections are open, few are busy: all are served, none is in the way of the others, and
// an idle one keeps little.
func TestManyIdleConnections(t *testing.T) {
	connections, busy, selects := 200, 50, 40
	if !testing.Short() {
		connections, selects = 1000, 400
	}
	node := testNode(t)
	node.DB.MaxConnections = connections + busy + 10
	r := start(t, node)
	pool := r.rootDB("wordpress")
	pool.SetMaxIdleConns(connections + busy)
	mustExec(t, pool.Exec, "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
	for i := range 100 {
		mustExec(t, pool.Exec, fmt.Sprintf("INSERT INTO t VALUES (%d, %d)", i, i*i))
	}
	ask := func(c *sql.Conn, id int) error {
		var v int
		if err := c.QueryRowContext(context.Background(), fmt.Sprintf("SELECT v FROM t WHERE id = %d", id)).Scan(&v); err != nil {
			return err
		}
		if v != id*id {
			return fmt.Errorf("the row of %d has %d", id, v)
		}
		return nil
	}
	open := func() *sql.Conn {
		c, err := pool.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := ask(c, 7); err != nil {
			t.Fatal(err)
		}
		return c
	}
	load := func(clients []*sql.Conn) time.Duration {
		var wait sync.WaitGroup
		var failed atomic.Pointer[error]
		begun := time.Now()
		for n, c := range clients {
			wait.Go(func() {
				for i := range selects {
					if err := ask(c, (n+i)%100); err != nil {
						failed.Store(&err)
						return
					}
				}
			})
		}
		wait.Wait()
		if err := failed.Load(); err != nil {
			t.Fatal(*err)
		}
		return time.Since(begun)
	}
	var clients []*sql.Conn
	for range busy {
		clients = append(clients, open())
	}
	load(clients)
	alone := load(clients)
	before := heap()
	idle := make([]*sql.Conn, connections)
	for i := range idle {
		idle[i] = open()
	}
	each := (heap() - before) / int64(connections)
	if each > connectionMemory {
		t.Errorf("an idle connection keeps %d bytes, want at most %d", each, connectionMemory)
	}
	beside := load(clients)
	for i, c := range idle {
		if err := ask(c, i%100); err != nil {
			t.Fatalf("idle connection %d: %v", i, err)
		}
	}
	if n := r.role.server.Stats().Connections; n < connections+busy {
		t.Errorf("%d connections are open", n)
	}
	t.Logf("%d idle connections keep %d bytes each; %d busy ones took %v beside them, %v alone", connections, each, busy, beside, alone)
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
