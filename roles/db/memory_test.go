package db

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

var tenMinutes = flag.Duration("ten-minutes", 10*time.Minute, "how long TestTenMinutes keeps a view open, and its servers under load")

// snapshotEdge is measured at both ends of the time that a view is open.
const snapshotEdge = time.Minute

// A view stays open for ten minutes while a row beside it changes all the time: new readers do not
// feel it, neither at the beginning nor at the end. In between other servers, of two sizes, show
// what memory they take.
func TestTenMinutes(t *testing.T) {
	if testing.Short() {
		t.Skip("a quarter of an hour")
	}
	if _, err := exec.LookPath("sysbench"); err != nil {
		t.Skip("sysbench is not installed")
	}
	h := newHotRow(t)
	old := h.p.session(t)
	do(t, old, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
	began := time.Now()
	first, _ := h.hammer(snapshotEdge, hotClients, 0).p99(0, snapshotEdge)

	var servers []*memoryServer
	for _, memory := range []int64{512 << 20, 1 << 30} {
		servers = append(servers, startMemoryServer(t, memory))
	}
	var beside sync.WaitGroup
	beside.Go(func() { h.hammer(*tenMinutes, 4, 10*time.Millisecond) })
	for _, s := range servers {
		beside.Go(s.underLoad)
	}
	beside.Wait()
	t.Log("resident memory at most, MiB:")
	for _, s := range servers {
		t.Log(s)
		s.p.kill()
	}
	if t.Failed() {
		return
	}

	var last time.Duration
	undisturbed(t, func() error {
		last, _ = h.hammer(snapshotEdge, hotClients, 0).p99(0, snapshotEdge)
		return scansAreFast(first, last)
	})
	t.Logf("scan of 100 rows beside %d clients that change one: p99 %v in the first minute, %v when a view had been open for %v",
		hotClients, first, last, time.Since(began).Round(time.Second))
	var n int
	if err := old.QueryRowContext(context.Background(), "SELECT n FROM c WHERE id = 100").Scan(&n); err != nil || n != 0 {
		t.Errorf("the view from the beginning sees %d (%v)", n, err)
	}
}

// memoryServer is a server whose memory is watched. It may be a fifth more than db.memory.
type memoryServer struct {
	t      *testing.T
	p      *process
	memory int64
	steps  []string // what was done, and what was resident at most
}

const memoryRows = 1_000_000

func startMemoryServer(t *testing.T, memory int64) *memoryServer {
	node := limitedNode(t, memory)
	node.DB.MaxConnections = 1200
	s := &memoryServer{t: t, p: startProcess(t, node), memory: memory}
	mustExec(t, s.p.rootDB("wordpress").Exec, "CREATE TABLE sbtest1 (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY k_1 (k))")
	return s
}

// underLoad loads a million rows, lets sysbench work on them, changes all of them in one
// transaction, and opens 1,000 connections.
func (s *memoryServer) underLoad() {
	s.step("load", func() error { return tryLoadRows(s.p, "sbtest1", memoryRows) })
	s.step("sysbench, 64 threads", func() error { return s.p.sysbench("oltp_read_write", memoryRows, *tenMinutes) })
	s.step("update of all rows", func() error {
		_, err := s.p.rootDB("wordpress").Exec("UPDATE sbtest1 SET k = k + 1")
		return err
	})
	s.step("1,000 connections", func() error { return s.p.fewOfMany(s.t, 1000, 50, memoryRows, 10*time.Second) })
}

func (s *memoryServer) step(name string, f func() error) {
	if s.t.Failed() {
		return
	}
	began := time.Now()
	peak, stop := watchResident(s.t, s.p.cmd.Process.Pid)
	err := f()
	stop()
	if err != nil {
		s.t.Errorf("db.memory %d MiB, %s: %v", s.memory>>20, name, err)
		return
	}
	s.steps = append(s.steps, fmt.Sprintf("%s %d (%v)", name, *peak>>20, time.Since(began).Round(time.Second)))
	if *peak > s.memory+s.memory/5 {
		s.t.Errorf("db.memory %d MiB: %d MiB are resident while: %s", s.memory>>20, *peak>>20, name)
	}
}

func (s *memoryServer) String() string {
	return fmt.Sprintf("db.memory %d: %s", s.memory>>20, strings.Join(s.steps, ", "))
}

// sysbench runs one of its tests with 64 threads.
func (p *process) sysbench(test string, rows int, run time.Duration) error {
	out, err := exec.Command("sysbench", test, "--threads=64", fmt.Sprintf("--time=%d", int(run.Seconds())), "--tables=1", fmt.Sprintf("--table-size=%d", rows),
		"--db-driver=mysql", "--mysql-host="+p.addr.Addr().String(), fmt.Sprintf("--mysql-port=%d", p.addr.Port()), "--mysql-user=root", "--mysql-password="+p.secret("db-root"),
		"--mysql-db=wordpress", "--mysql-ignore-errors=1062,1213,1205,1020", "--rand-type=uniform", "run").CombinedOutput()
	if err != nil {
		return fmt.Errorf("sysbench: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "queries:") {
			p.t.Log("sysbench", test, strings.TrimSpace(line))
		}
	}
	return nil
}

// fewOfMany opens many connections, of which some read rows for a while.
func (p *process) fewOfMany(t *testing.T, many, busy, rows int, run time.Duration) error {
	pool := p.rootDB("wordpress")
	pool.SetMaxIdleConns(many)
	var open []*sql.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range many {
		c, err := pool.Conn(context.Background())
		if err != nil {
			return err
		}
		open = append(open, c)
	}
	l := &latencies{start: time.Now()}
	var wg sync.WaitGroup
	failed := make([]error, busy)
	for client, c := range open[:busy] {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(client), 1))
			for time.Since(l.start) < run && failed[client] == nil {
				began := time.Now()
				var text string
				failed[client] = c.QueryRowContext(context.Background(), fmt.Sprintf("SELECT c FROM sbtest1 WHERE id = %d", 1+r.IntN(rows))).Scan(&text)
				l.add(began)
			}
		})
	}
	wg.Wait()
	p99, n := l.p99(0, 2*run)
	t.Logf("%d connections, of which %d select: p99 %v of %d", many, busy, p99, n)
	return errors.Join(failed...)
}
