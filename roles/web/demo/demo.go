// Package demo is the small application that `stack dev` shows: a page that names the
// balancer, the web server and the database that answered, the last visits, and a
// guestbook, both kept in MySQL through the balancers. It owns its pool of database
// connections; it knows nothing of event loops and writes no file but WriteRoot's.
package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/appliance/config"
)

const (
	// patience bounds everything that one request waits for the database.
	patience = 1500 * time.Millisecond
	// atOnce bounds requests that wait for the database; more get the page without it.
	atOnce = 256
	// connections bounds the pool.
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
	db     *sql.DB // nil without an address
	where  string
	tables atomic.Bool // made, as far as is known
	slots  chan struct{}
}

// New makes the demo for a web node. It opens no connection yet: the database may come
// later. Without an address the page says that there is no database.
func New(c config.Demo, node string, log *slog.Logger) (*App, error) {
	a := &App{node: node, where: c.Address, slots: make(chan struct{}, atOnce)}
	if c.Address == "" {
		return a, nil
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q: want host:port", c.Address)
	}
	m := mysql.NewConfig()
	m.Net, m.Addr, m.User, m.DBName = "tcp", c.Address, c.User, c.Database
	m.Timeout, m.ReadTimeout, m.WriteTimeout = time.Second, patience, patience
	m.ParseTime, m.Loc = true, time.UTC
	m.Logger = quiet{log}
	if c.CAFile != "" {
		if m.TLS, err = clientTLS(c.CAFile, c.ServerName, host); err != nil {
			return nil, err
		}
	}
	// The password is read at each connection: the database role may make it later.
	err = m.Apply(mysql.BeforeConnect(func(_ context.Context, m *mysql.Config) error {
		if c.PasswordFile == "" {
			return nil
		}
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return fmt.Errorf("password_file: %w", err)
		}
		m.Passwd = strings.TrimRight(string(password), "\r\n")
		return nil
	}))
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(m)
	if err != nil {
		return nil, err
	}
	a.db = sql.OpenDB(connector)
	a.db.SetMaxOpenConns(connections)
	a.db.SetMaxIdleConns(connections)
	a.db.SetConnMaxIdleTime(time.Minute)
	a.db.SetConnMaxLifetime(5 * time.Minute)
	return a, nil
}

func clientTLS(caFile, serverName, host string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s: holds no certificate", caFile)
	}
	if serverName == "" {
		serverName = host
	}
	return &tls.Config{RootCAs: pool, ServerName: serverName, MinVersion: tls.VersionTLS12}, nil
}

// quiet takes what the driver says about single connections: the page tells of it.
type quiet struct{ log *slog.Logger }

func (q quiet) Print(v ...any) { q.log.Debug("demo database", "text", fmt.Sprint(v...)) }

// Close ends the pool and waits for running queries.
func (a *App) Close() {
	if a.db != nil {
		_ = a.db.Close()
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

// visit writes the visit and reads the lists. write is false for HEAD.
func (a *App) visit(ctx context.Context, v Visitor, write bool, p *page) error {
	if a.db == nil {
		return errNone
	}
	begun := time.Now()
	err := a.withTables(ctx, func() error {
		if err := a.server(ctx, p); err != nil {
			return err
		}
		if write {
			if err := a.record(ctx, v); err != nil {
				return err
			}
		}
		return a.lists(ctx, p)
	})
	p.Took = time.Since(begun).Round(100 * time.Microsecond)
	return err
}

// withTables runs f, and once more after making the tables when they are missing.
func (a *App) withTables(ctx context.Context, f func() error) error {
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
		if _, err := a.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	a.tables.Store(true)
	return f()
}

func (a *App) server(ctx context.Context, p *page) error {
	return a.db.QueryRowContext(ctx, "SELECT @@hostname, @@version").Scan(&p.Database, &p.Version)
}

func (a *App) record(ctx context.Context, v Visitor) error {
	res, err := a.db.ExecContext(ctx, "INSERT INTO visits (at, balancer, web, client) VALUES (?, ?, ?, ?)",
		time.Now().UTC(), cut(v.Balancer, maxAddress), cut(a.node, maxAddress), cut(v.Client, maxAddress))
	if err != nil {
		return err
	}
	if id, err := res.LastInsertId(); err == nil && id > kept && id%pruneEvery == 0 {
		_, err = a.db.ExecContext(ctx, "DELETE FROM visits WHERE id <= ?", id-kept)
		return err
	}
	return nil
}

func (a *App) lists(ctx context.Context, p *page) error {
	rows, err := a.db.QueryContext(ctx, "SELECT at, balancer, web, client FROM visits ORDER BY id DESC LIMIT ?", shown)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var v Visit
		if err := rows.Scan(&v.At, &v.Balancer, &v.Web, &v.Client); err != nil {
			return err
		}
		p.Visits = append(p.Visits, v)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	entries, err := a.db.QueryContext(ctx, "SELECT at, name, message FROM guestbook ORDER BY id DESC LIMIT ?", shown)
	if err != nil {
		return err
	}
	defer entries.Close()
	for entries.Next() {
		var e Entry
		if err := entries.Scan(&e.At, &e.Name, &e.Message); err != nil {
			return err
		}
		p.Entries = append(p.Entries, e)
	}
	return entries.Err()
}

// sign writes into the guestbook.
func (a *App) sign(ctx context.Context, name, message string) error {
	if a.db == nil {
		return errNone
	}
	return a.withTables(ctx, func() error {
		_, err := a.db.ExecContext(ctx, "INSERT INTO guestbook (at, name, message) VALUES (?, ?, ?)", time.Now().UTC(), name, message)
		return err
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
