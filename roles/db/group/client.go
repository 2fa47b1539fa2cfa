package group

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/roles/db/incarnation"
)

// Remote is a server of the group, over the network.
type Remote struct {
	name string
	cfg  *mysql.Config
}

var _ Member = (*Remote)(nil)

// NewRemote is the server of this name at this address. roots are who signs its certificate, which
// must name it.
func NewRemote(name string, address netip.AddrPort, password string, tc *tls.Config) *Remote {
	tc = tc.Clone()
	tc.ServerName = name
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = Account, password
	cfg.Net, cfg.Addr = "tcp", address.String()
	cfg.TLS = tc
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = answerWithin, answerWithin, answerWithin
	cfg.Logger = &mysql.NopLogger{}
	return &Remote{name: name, cfg: cfg}
}

// Name is the server's name.
func (r *Remote) Name() string { return r.name }

// dial prepares a connection for one question: what is asked is rare, and a server that has died and
// one that came back are not told apart by an old connection.
func (r *Remote) dial() (*sql.DB, error) {
	connector, err := mysql.NewConnector(r.cfg)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", r.name, err)
	}
	return sql.OpenDB(connector), nil
}

// ask sends a statement.
func (r *Remote) ask(ctx context.Context, statement string, into ...any) error {
	db, err := r.dial()
	if err != nil {
		return err
	}
	defer db.Close()
	return r.query(ctx, db, statement, into...)
}

func (r *Remote) query(ctx context.Context, db *sql.DB, statement string, into ...any) error {
	if err := db.QueryRowContext(ctx, statement).Scan(into...); err != nil {
		return fmt.Errorf("ask %s at %s: %w", r.name, r.cfg.Addr, err)
	}
	return nil
}

// State is SHOW STACK STATE FULL, and then the incarnations, so that they are known of all that is executed.
func (r *Remote) State(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	db, err := r.dial()
	if err != nil {
		return State{}, err
	}
	defer db.Close()
	var s State
	into := []any{&s.Name, &s.Epoch, &s.Primary, &s.Open, &s.Executed, &s.Server, &s.Before, &s.Decided}
	err = r.query(ctx, db, "SHOW STACK STATE FULL", append(into, &s.Blank)...)
	if numbered(err, syntaxError) { // an older release, which does not say whether it is blank
		err = r.query(ctx, db, "SHOW STACK STATE", into...)
	}
	if err != nil {
		return State{}, err
	}
	if s.Name != r.name {
		return State{}, fmt.Errorf("at %s answers %q, not %s", r.cfg.Addr, s.Name, r.name)
	}
	if err := r.query(ctx, db, "SELECT @@global.stack_received", &s.Received); err != nil && !numbered(err, unknownVariable) {
		return s, err
	}
	var text string
	err = r.query(ctx, db, "SELECT @@global.stack_incarnations", &text)
	if numbered(err, unknownVariable) {
		return s, nil // an older release, of which nothing is known
	}
	if err == nil {
		s.Incarnations, err = incarnation.Parse(text)
	}
	return s, err
}

// MySQL's numbers of errors.
const (
	syntaxError     = 1064
	unknownVariable = 1193
)

// numbered reports whether an error is a server's with this number.
func numbered(err error, number uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == number
}

// Accept is STACK ACCEPT.
func (r *Remote) Accept(ctx context.Context, epoch uint64, primary string) (executed string, err error) {
	err = r.ask(ctx, "STACK ACCEPT "+strconv.FormatUint(epoch, 10)+" '"+strings.ReplaceAll(primary, "'", "")+"'", &executed)
	return executed, err
}

// Open is STACK OPEN.
func (r *Remote) Open(ctx context.Context, epoch uint64) error {
	var none string
	return r.ask(ctx, "STACK OPEN "+strconv.FormatUint(epoch, 10), &none)
}
