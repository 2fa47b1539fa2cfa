package db

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var alteredRows = flag.Int("altered-rows", 1_000_000, "rows of the table of TestAlterationsUnderLoad")

// Clients that update a table of a million rows wait for at most a second beyond the disk while it is changed,
// each change ends although they never pause, and none of their updates is lost.
func TestAlterationsUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("changes a table of a million rows")
	}
	p := startLimited(t, 512<<20)
	root := p.rootDB("wordpress")
	mustExec(t, root.Exec, "CREATE TABLE altered (id INT NOT NULL, a INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, p INT NOT NULL DEFAULT 1, KEY id (id))",
		"CREATE TABLE parents (id INT PRIMARY KEY)", "INSERT INTO parents VALUES (1)")
	loadRows(t, p, "altered (id, a, c, pad)", *alteredRows)
	var first, last, rows int64
	if err := root.QueryRow("SELECT SUM(a) FROM altered").Scan(&first); err != nil {
		t.Fatal(err)
	}
	ddl := p.session(t)
	u := startUpdaters(t, p, 8)
	for _, change := range []string{
		"ADD PRIMARY KEY (id)",
		"ADD INDEX more (a, c)",
		"DROP PRIMARY KEY, ADD PRIMARY KEY (a, id)",
		"ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES parents (id)",
		"MODIFY a BIGINT NOT NULL, ADD CHECK (a >= 0)",
		"DROP PRIMARY KEY",
		"MODIFY id INT NOT NULL AUTO_INCREMENT",
	} {
		u.alter(t, p, ddl, change)
	}
	u.end()
	err := root.QueryRow("SELECT SUM(a), COUNT(*) FROM altered").Scan(&last, &rows)
	if err != nil || last-first != u.done.Load() || rows != int64(*alteredRows) {
		t.Errorf("%d updates are in %d rows, want %d in %d (%v)", last-first, rows, u.done.Load(), *alteredRows, err)
	}
}

// updaters are clients that update rows of a table all the time.
type updaters struct {
	done atomic.Int64
	stop chan struct{}
	wait sync.WaitGroup
}

func startUpdaters(t *testing.T, p *process, clients int) *updaters {
	u := &updaters{stop: make(chan struct{})}
	t.Cleanup(u.end)
	for range clients {
		c := p.session(t)
		u.wait.Go(func() {
			for !u.stopped() && !t.Failed() {
				u.update(t, c)
			}
		})
	}
	return u
}

func (u *updaters) update(t *testing.T, c *sql.Conn) {
	query := fmt.Sprintf("UPDATE altered SET a = a + 1 WHERE id = %d", 1+rand.IntN(*alteredRows))
	if _, err := c.ExecContext(context.Background(), query); err != nil {
		t.Errorf("%s: %v", query, err)
		return
	}
	u.done.Add(1)
}

func (u *updaters) stopped() bool {
	select {
	case <-u.stop:
		return true
	default:
		return false
	}
}

func (u *updaters) end() {
	if !u.stopped() {
		close(u.stop)
	}
	u.wait.Wait()
}

// alter changes the table, and measures how long one more client waits.
func (u *updaters) alter(t *testing.T, p *process, ddl *sql.Conn, change string) {
	c := p.session(t)
	stalls := watchStalls(t, func() { u.update(t, c) })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	before, began := u.done.Load(), time.Now()
	_, err := ddl.ExecContext(ctx, "ALTER TABLE altered "+change)
	took, updates := time.Since(began).Seconds(), u.done.Load()-before
	own := stalls.end(t)
	if err != nil {
		t.Fatalf("%s: %v", change, err)
	}
	t.Logf("%s: %.1f s beside %.0f updates/s, of which one waited for %v longer than the disk", change, took, float64(updates)/took, own)
	if own > time.Second {
		t.Errorf("%s held up a writer for %v longer than the disk", change, own)
	}
}
