package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/appliance/config"
	"stack/roles/internal/dbcheck"
)

// lifetime of a connection: a server that was a replica and became the primary keeps its readers.
const lifetime = 5 * time.Second

// endpoint is an address where a database answers, perhaps another one with each connection.
type endpoint struct{ db *sql.DB }

// open makes the pool of an endpoint, without a connection.
func open(c config.Demo, address string, log *slog.Logger) (*endpoint, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: want host:port", address)
	}
	m := mysql.NewConfig()
	m.Net, m.Addr, m.User, m.DBName = "tcp", address, c.User, c.Database
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
	e := &endpoint{db: sql.OpenDB(connector)}
	e.db.SetMaxOpenConns(connections)
	e.db.SetMaxIdleConns(connections)
	e.db.SetConnMaxLifetime(lifetime)
	return e, nil
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

// session runs f on one connection, so that all of it is said by one server. It runs f anew where a
// kept connection had ended before f sent anything.
func (e *endpoint) session(ctx context.Context, f func(*sql.Conn) error) (err error) {
	for range connections + 1 {
		c, err := e.db.Conn(ctx)
		if err != nil {
			return err
		}
		err = f(c)
		c.Close()
		if !errors.Is(err, driver.ErrBadConn) {
			return err
		}
	}
	return err
}

// Server is a database server that answered.
type Server struct {
	Name, Version string
	Role          string // what it is in the site, in words; empty: it does not say
}

// identify asks the server who it is. One that is not ours, or the only one of its site, has no role.
func identify(ctx context.Context, c *sql.Conn) (*Server, error) {
	s := &Server{}
	if err := c.QueryRowContext(ctx, "SELECT @@hostname, @@version").Scan(&s.Name, &s.Version); err != nil {
		return nil, err
	}
	var (
		st            dbcheck.State
		open, follows bool
		lag           sql.NullInt64
	)
	err := c.QueryRowContext(ctx, dbcheck.Statement).Scan(&st.Name, &st.Epoch, &st.Primary, &open, &follows, &lag)
	var refused *mysql.MySQLError
	switch {
	case errors.As(err, &refused):
		return s, nil
	case err != nil:
		return nil, err
	}
	st.Open, st.Follows, st.LagKnown, st.Lag = open, follows, lag.Valid, time.Duration(lag.Int64)*time.Millisecond
	s.Name, s.Role = st.Name, st.String()
	return s, nil
}
