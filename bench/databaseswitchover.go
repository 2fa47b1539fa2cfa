package main

import (
	"context"
	gosql "database/sql"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	switchSection = "db: pair, switchover"
	// switchClients write switchRate rows a second together, each on a connection of its own.
	switchClients = 8
	switchRate    = 1000
	switchWanted  = time.Second
	switchTimes   = 6
)

// switchClient writes rows at a steady pace to whichever server takes them.
type switchClient struct {
	servers [2]*gosql.DB
	at      int // the one that took the last row
	longest atomic.Int64
	errors  atomic.Int64
}

// run inserts ids of its own until ctx ends, and returns how many were answered. A row whose outcome is open is written again.
func (c *switchClient) run(ctx context.Context, first int) (answered int) {
	tick := time.NewTicker(switchClients * time.Second / switchRate)
	defer tick.Stop()
	last := time.Now()
	for id := first; ; id += switchClients {
		for {
			_, err := c.servers[c.at].ExecContext(ctx, "INSERT INTO sbtest.switched VALUES (?) ON DUPLICATE KEY UPDATE id = id", id)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return answered
			}
			c.errors.Add(1)
			c.at = 1 - c.at
			time.Sleep(5 * time.Millisecond) // as a client that connects again
		}
		answered++
		now := time.Now()
		if gap := int64(now.Sub(last)); gap > c.longest.Load() {
			c.longest.Store(gap)
		}
		select {
		case <-ctx.Done():
			return answered
		case last = <-tick.C:
		}
	}
}

// measureSwitchover switches the roles of a pair to and fro while clients write, and prints for how long one of them had no
// answer. Who is loaded beyond what it can do is not waited for: a row that is due late counts from when it was due.
func measureSwitchover(ctx context.Context, w io.Writer, s settings) error {
	if !s.wants(switchSection) || !s.runs(stack) {
		return nil
	}
	s.who = stack
	setup, err := startPairs(ctx, s, true)
	if err != nil {
		return err
	}
	defer setup.stop()
	p := setup.pairs[0]
	if _, err := p.sessions[0].ExecContext(ctx, "CREATE TABLE sbtest.switched (id INT PRIMARY KEY)"); err != nil {
		return err
	}
	if _, err := p.caughtUp(ctx, catchUpPatience); err != nil {
		return err
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	clients := make([]*switchClient, switchClients)
	counts := make([]int, switchClients)
	var wait sync.WaitGroup
	for i := range clients {
		c := &switchClient{}
		clients[i] = c
		for j, d := range []*databaseServer{p.primary, p.replica} {
			cfg := mysql.NewConfig()
			cfg.User, cfg.Passwd, cfg.Net, cfg.Logger = "bench", benchPassword, "tcp", &mysql.NopLogger{}
			cfg.Addr, cfg.InterpolateParams = net.JoinHostPort(d.host, strconv.Itoa(d.port)), true
			connector, err := mysql.NewConnector(cfg)
			if err != nil {
				return err
			}
			c.servers[j] = gosql.OpenDB(connector)
			c.servers[j].SetMaxOpenConns(1)
			defer c.servers[j].Close()
		}
		wait.Go(func() { counts[i] = c.run(writing, i) })
	}
	fmt.Fprintf(w, "\n%s: %d clients write %d rows/s; the primary answers when its replica has acknowledged; ms\n\n| switchover | command | longest without an answer | attempts that failed | wanted |\n|---|---|---|---|---|\n", switchSection, switchClients, switchRate)
	servers := []*databaseServer{p.primary, p.replica}
	for n := range switchTimes {
		time.Sleep(2 * time.Second) // of writes in between
		for _, c := range clients {
			c.longest.Store(0)
			c.errors.Store(0)
		}
		begun := time.Now()
		if text, err := exec.CommandContext(ctx, s.binary, "db", "switchover", "--socket", filepath.Join(servers[n%2].dir, "stack.sock")).CombinedOutput(); err != nil {
			return fmt.Errorf("switchover %d: %w: %s", n+1, err, text)
		}
		took := time.Since(begun)
		time.Sleep(time.Second)
		longest, failed := time.Duration(0), int64(0)
		for _, c := range clients {
			longest, failed = max(longest, time.Duration(c.longest.Load())), failed+c.errors.Load()
		}
		fmt.Fprintf(w, "| %d | %d | %d | %d | < %d |\n", n+1, took.Milliseconds(), longest.Milliseconds(), failed, switchWanted.Milliseconds())
	}
	stop()
	wait.Wait()
	answered := 0
	for _, n := range counts {
		answered += n
	}
	for i, session := range p.sessions {
		var rows int
		for end := time.Now().Add(catchUpPatience); rows < answered && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if err := session.QueryRowContext(ctx, "SELECT COUNT(*) FROM sbtest.switched").Scan(&rows); err != nil {
				return err
			}
		}
		if rows < answered || rows > answered+switchClients {
			return fmt.Errorf("rows are lost: server %d has %d, %d were answered", i+1, rows, answered)
		}
	}
	fmt.Fprintf(w, "\n%d rows were answered, and both servers have them.\n", answered)
	return nil
}
