package rounds

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/e2e/lan"
)

const (
	writers = 16
	// keys are appended to at a time. Few, so that clients wait for each other.
	keys = 8
	// perList is how many appends are tried to a list before another takes its place.
	perList = 100
	// pace is what a client waits between two transactions: the servers are to have processors.
	pace = 10 * time.Millisecond
	// retry is what it waits where it is not connected.
	retry = 50 * time.Millisecond
	// answerWithin is how long it waits for an answer: a frozen server holds it until then, or until the balancer ends it.
	answerWithin = 20 * time.Second
)

var balancer = lan.Address(balancerNumber).String()

// clients append to lists through the endpoint for writes, and read through both endpoints and on each server.
type clients struct {
	site    *site
	history *history
	ctx     context.Context
	end     context.CancelFunc
	wait    sync.WaitGroup
	held    atomic.Bool  // no write or read may begin
	under   atomic.Int64 // of those under way
	last    atomic.Int64 // id

	mu     sync.Mutex
	active [keys]string // appended to
	tried  [keys]int
	recent []string // read: those of this round
	made   int
}

// tables are what clients write to.
var tables = []string{
	"CREATE TABLE IF NOT EXISTS lists (k VARCHAR(20) PRIMARY KEY, v TEXT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS writes (id BIGINT PRIMARY KEY, server VARCHAR(36) NOT NULL, epoch BIGINT NOT NULL)",
}

func startClients(s *site, h *history) *clients {
	c := &clients{site: s, history: h}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.round()
	writes, reads := s.open(balancer, writePort, answerWithin), s.open(balancer, readPort, answerWithin)
	for range writers {
		c.loop(func() bool { return c.append(writes) })
	}
	c.loop(func() bool { return c.read("a reader of the primary", writes) })
	c.loop(func() bool { return c.read("a reader of the replicas", reads) })
	for _, name := range s.names {
		on := s.open(s.address(name), writePort, answerWithin)
		c.loop(func() bool { return c.read("a reader on "+name, on) })
	}
	return c
}

func (c *clients) stop() {
	c.end()
	c.wait.Wait()
}

// loop does something again and again until the end.
func (c *clients) loop(do func() bool) {
	c.wait.Go(func() {
		for c.ctx.Err() == nil {
			pause := retry
			if c.unlessHeld(do) {
				pause = pace
			}
			select {
			case <-time.After(pause):
			case <-c.ctx.Done():
			}
		}
	})
}

func (c *clients) unlessHeld(do func() bool) bool {
	c.under.Add(1)
	defer c.under.Add(-1)
	return !c.held.Load() && do()
}

// round begins other lists.
func (c *clients) round() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent = nil
	for i := range c.active {
		c.another(i)
	}
}

// another puts another list in the place of one. c.mu is held.
func (c *clients) another(i int) {
	c.made++
	c.active[i], c.tried[i] = fmt.Sprint("k", c.made), 0
	c.recent = append(c.recent, c.active[i])
}

// next is an id and its list.
func (c *clients) next() (id int64, key string) {
	id = c.last.Add(1)
	i := int(id) % keys
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried[i]++; c.tried[i] > perList {
		c.another(i)
	}
	return id, c.active[i]
}

// append does one write. Its outcome is noted whatever becomes of it, unless no server was reached.
func (c *clients) append(db *sql.DB) bool {
	conn, err := db.Conn(c.ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	w := &write{begun: time.Now()}
	if conn.QueryRowContext(c.ctx, "SELECT @@server_uuid, @@stack_epoch").Scan(&w.server, &w.epoch) != nil {
		return false
	}
	w.id, w.key = c.next()
	err = c.transaction(conn, w)
	w.ended = time.Now()
	var said *mysql.MySQLError
	switch {
	case err == nil:
		w.outcome = done
	case errors.As(err, &said):
		w.outcome = refused
	}
	c.history.end(w)
	return err == nil
}

func (c *clients) transaction(conn *sql.Conn, w *write) error {
	ctx := context.WithoutCancel(c.ctx) // what was sent is waited for
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO writes VALUES (?, @@server_uuid, @@stack_epoch)", w.id); err != nil {
		return err
	}
	var list string
	if w.id%4 == 0 {
		err := tx.QueryRowContext(ctx, "SELECT v FROM lists WHERE k = ? FOR UPDATE", w.key).Scan(&list)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		c.history.see(w.key, sight{list, "a writer on " + w.server, true})
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO lists VALUES (?, ?) ON DUPLICATE KEY UPDATE v = CONCAT(v, VALUES(v))", w.key, fmt.Sprint(w.id, ",")); err != nil {
		return err
	}
	return tx.Commit()
}

// read looks at the lists of the round.
func (c *clients) read(who string, db *sql.DB) bool {
	c.mu.Lock()
	keys := slices.Clone(c.recent[max(0, len(c.recent)-2*keys):])
	c.mu.Unlock()
	conn, err := db.Conn(c.ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	before := c.leads(conn)
	lists, err := readLists(c.ctx, conn, "WHERE k IN ('"+strings.Join(keys, "','")+"')")
	firm := c.site.replicasShowWhatStays || before > 0 && before == c.leads(conn)
	for key, list := range lists {
		c.history.see(key, sight{list, who, firm})
	}
	return err == nil
}

// leads is the epoch in which the server is the primary, 0: it is not. It is asked only where that matters.
func (c *clients) leads(conn *sql.Conn) (epoch uint64) {
	if c.site.replicasShowWhatStays {
		return 0
	}
	var name, primary string
	var open, follows bool
	var lag sql.NullInt64
	if conn.QueryRowContext(c.ctx, "SHOW STACK ROLE").Scan(&name, &epoch, &primary, &open, &follows, &lag) != nil || !open {
		return 0
	}
	return epoch
}

// reader is a connection, or a pool of them.
type reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func readLists(ctx context.Context, db reader, where string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT k, v FROM lists "+where)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	lists := map[string]string{}
	for rows.Next() {
		var key, list string
		if err := rows.Scan(&key, &list); err != nil {
			return lists, err
		}
		lists[key] = list
	}
	return lists, rows.Err()
}

func readRows(ctx context.Context, db *sql.DB) (map[int64]write, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, server, epoch FROM writes")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int64]write{}
	for rows.Next() {
		var w write
		if err := rows.Scan(&w.id, &w.server, &w.epoch); err != nil {
			return nil, err
		}
		found[w.id] = w
	}
	return found, rows.Err()
}

// hold lets no write or read begin until release, and waits for those under way.
func (c *clients) hold() (release func()) {
	c.site.t.Helper()
	c.held.Store(true)
	c.site.await("the writes and reads under way end", func() bool { return c.under.Load() == 0 })
	return func() { c.held.Store(false) }
}
