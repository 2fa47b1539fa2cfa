// Package demo is the small application that `stack dev` shows: a page that names the
// balancer, the web server and the databases that answered, the last visits, and a
// guestbook, both kept in MySQL through the balancers. It owns its pools of database
// connections; it knows nothing of event loops and writes no file but WriteRoot's.
package demo

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/appliance/config"
)

const (
	// patience bounds everything that one request waits for the database.
	patience = 1900 * time.Millisecond
	// readPatience is what of it is left for the lists when the write takes all it may.
	readPatience = 400 * time.Millisecond
	// atOnce bounds requests that wait for the database; more get the page without it.
	atOnce = 256
	// connections bounds each pool.
	connections = 16

	shown        = 10   // rows of each list
	kept         = 5000 // visits that are not deleted
	pruneEvery   = 500  // visits between two deletions
	maxName      = 40   // characters
	maxMessage   = 280
	maxAddress   = 64
	unknownTable = 1146 // ER_NO_SUCH_TABLE
)

// App is the demo. Its methods may be called from any goroutine; those that take a
// context wait for the database, at most patience.
type App struct {
	node   string
	where  string
	writer *endpoint   // nil without an address
	reader *endpoint   // nil: the writer is read
	tables atomic.Bool // made, as far as is known
	slots  chan struct{}
}

// New makes the demo for a web node. It opens no connection yet: the database may come
// later. Without an address the page says that there is no database.
func New(c config.Demo, node string, log *slog.Logger) (a *App, err error) {
	a = &App{node: node, where: c.Address, slots: make(chan struct{}, atOnce)}
	if c.Address == "" {
		return a, nil
	}
	if a.writer, err = open(c, c.Address, log); err != nil {
		return nil, err
	}
	if c.ReadAddress != "" {
		if a.reader, err = open(c, c.ReadAddress, log); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Close ends the pools and waits for running queries.
func (a *App) Close() {
	for _, e := range []*endpoint{a.writer, a.reader} {
		if e != nil {
			_ = e.db.Close()
		}
	}
}

// Enter takes a place for one request; false when all are taken.
func (a *App) Enter() bool {
	select {
	case a.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// Leave gives the place back.
func (a *App) Leave() { <-a.slots }

// Visitor is who asks.
type Visitor struct {
	Balancer string // the balancer that forwarded the request; empty = none
	Client   string // address
}

// Visit is a row of visits, Entry one of the guestbook.
type (
	Visit struct {
		At                    time.Time
		Balancer, Web, Client string
	}
	Entry struct {
		At            time.Time
		Name, Message string
	}
)

// errNone says that no database is configured.
var errNone = errors.New("no database is configured")

// visit writes the visit. write is false for HEAD.
func (a *App) visit(ctx context.Context, v Visitor, write bool, p *page) error {
	if a.writer == nil {
		return errNone
	}
	ctx, cancel := context.WithTimeout(ctx, patience-readPatience)
	defer cancel()
	return a.writer.session(ctx, func(c *sql.Conn) error {
		return a.withTables(ctx, c, func() (err error) {
			if p.Writer, err = identify(ctx, c); err == nil && write {
				err = a.record(ctx, c, v)
			}
			return err
		})
	})
}

// read reads the lists, of the reader if it answers. writes says whether the writer does: then half of the
// time that is left is kept for it.
func (a *App) read(ctx context.Context, writes bool, p *page) error {
	switch {
	case a.reader == nil:
		return a.readFrom(ctx, a.writer, p)
	case !writes:
		return a.readFrom(ctx, a.reader, p)
	}
	end, _ := ctx.Deadline()
	half, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	if a.readFrom(half, a.reader, p) == nil {
		return nil
	}
	return a.readFrom(ctx, a.writer, p)
}

func (a *App) readFrom(ctx context.Context, e *endpoint, p *page) error {
	return e.session(ctx, func(c *sql.Conn) error {
		server, err := identify(ctx, c)
		if err != nil {
			return err
		}
		visits, entries, err := lists(ctx, c)
		if err == nil {
			p.Reader, p.Visits, p.Entries = server, visits, entries
		}
		return err
	})
}

// withTables runs f, and once more after making the tables when they are missing.
func (a *App) withTables(ctx context.Context, c *sql.Conn, f func() error) error {
	if a.tables.Load() {
		err := f()
		var m *mysql.MySQLError
		if !errors.As(err, &m) || m.Number != unknownTable {
			return err
		}
		a.tables.Store(false)
	}
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS visits (
			id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
			at DATETIME(3) NOT NULL,
			balancer VARCHAR(64) NOT NULL,
			web VARCHAR(64) NOT NULL,
			client VARCHAR(64) NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS guestbook (
			id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
			at DATETIME(3) NOT NULL,
			name VARCHAR(64) NOT NULL,
			message VARCHAR(300) NOT NULL)`,
	} {
		if _, err := c.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	a.tables.Store(true)
	return f()
}

func (a *App) record(ctx context.Context, c *sql.Conn, v Visitor) error {
	res, err := c.ExecContext(ctx, "INSERT INTO visits (at, balancer, web, client) VALUES (?, ?, ?, ?)",
		time.Now().UTC(), cut(v.Balancer, maxAddress), cut(a.node, maxAddress), cut(v.Client, maxAddress))
	if err != nil {
		return err
	}
	if id, err := res.LastInsertId(); err == nil && id > kept && id%pruneEvery == 0 {
		_, err = c.ExecContext(ctx, "DELETE FROM visits WHERE id <= ?", id-kept)
		return err
	}
	return nil
}

func lists(ctx context.Context, c *sql.Conn) (visits []Visit, signed []Entry, err error) {
	rows, err := c.QueryContext(ctx, "SELECT at, balancer, web, client FROM visits ORDER BY id DESC LIMIT ?", shown)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v Visit
		if err := rows.Scan(&v.At, &v.Balancer, &v.Web, &v.Client); err != nil {
			return nil, nil, err
		}
		visits = append(visits, v)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, nil, err
	}
	entries, err := c.QueryContext(ctx, "SELECT at, name, message FROM guestbook ORDER BY id DESC LIMIT ?", shown)
	if err != nil {
		return nil, nil, err
	}
	defer entries.Close()
	for entries.Next() {
		var e Entry
		if err := entries.Scan(&e.At, &e.Name, &e.Message); err != nil {
			return nil, nil, err
		}
		signed = append(signed, e)
	}
	return visits, signed, entries.Err()
}

// sign writes into the guestbook.
func (a *App) sign(ctx context.Context, name, message string) error {
	if a.writer == nil {
		return errNone
	}
	return a.writer.session(ctx, func(c *sql.Conn) error {
		return a.withTables(ctx, c, func() error {
			_, err := c.ExecContext(ctx, "INSERT INTO guestbook (at, name, message) VALUES (?, ?, ?)", time.Now().UTC(), name, message)
			return err
		})
	})
}

// cut shortens s to n characters of valid UTF-8.
func cut(s string, n int) string {
	r := []rune(strings.ToValidUTF8(s, "�"))
	if len(r) > n {
		r = r[:n]
	}
	return string(r)
}
