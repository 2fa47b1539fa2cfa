package dbcheck

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

// maxAnswer bounds what is read of a server in one question, in bytes.
const maxAnswer = 64 << 10

// Ask logs in as Account over conn, on which nothing was read yet, and asks for the server's state. tc
// says who signs the server's certificate and which name it must hold. It takes as long as the
// deadlines of conn and ctx allow. The caller closes conn.
func Ask(ctx context.Context, conn net.Conn, password string, tc *tls.Config) (s State, err error) {
	g, packet, err := ReadGreeting(conn)
	if err != nil {
		return s, err
	}
	if !g.TLS {
		return s, fmt.Errorf("the server (%s) does not offer TLS, so it is none of the site", g.Version)
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.TLS, cfg.Logger = Account, password, tc, &mysql.NopLogger{}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		return &bounded{Conn: conn, begin: packet, left: maxAnswer}, nil
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return s, err
	}
	c, err := connector.Connect(ctx)
	if err != nil {
		return s, plain(err)
	}
	defer c.Close()
	rows, err := c.(driver.QueryerContext).QueryContext(ctx, Statement, nil)
	if err != nil {
		return s, plain(err)
	}
	defer rows.Close()
	if !slices.Equal(rows.Columns(), Columns) {
		return s, fmt.Errorf("answers %s with other columns: its version is another one", Statement)
	}
	row := make([]driver.Value, len(Columns))
	if err := rows.Next(row); err != nil {
		return s, fmt.Errorf("answers %s without a row: %w", Statement, err)
	}
	return parseRow(row)
}

// parseRow reads the answer, whose values are text or numbers.
func parseRow(row []driver.Value) (s State, err error) {
	text := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case []byte:
			text[i] = string(v)
		default:
			text[i] = fmt.Sprint(v)
		}
	}
	s.Name, s.Primary, s.Open, s.Follows = text[0], text[2], text[3] == "1", text[4] == "1"
	if s.Epoch, err = strconv.ParseUint(text[1], 10, 64); err != nil {
		return State{}, fmt.Errorf("answers with the epoch %.40q", text[1])
	}
	if row[5] != nil {
		ms, err := strconv.ParseUint(text[5], 10, 63)
		if err != nil {
			return State{}, fmt.Errorf("answers with the lag %.40q", text[5])
		}
		s.LagKnown = true
		s.Lag = time.Duration(min(ms, uint64(maxLag/time.Millisecond))) * time.Millisecond
	}
	return s, nil
}

// maxLag is what a greater lag is taken for.
const maxLag = 1000 * 24 * time.Hour

// plain drops what the driver's way of reporting hides the cause behind.
func plain(err error) error {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number == 1045 {
		return errors.New("refuses the balancer's account: was it restarted since there is more than one db node, is replication.key the same on all of them, and balancer.key on the balancers of it? (stack secrets export)")
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// bounded gives the greeting, which was read already, and then left bytes of the connection at most.
type bounded struct {
	net.Conn
	begin []byte
	left  int
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(b.begin) > 0 {
		n := copy(p, b.begin)
		b.begin = b.begin[n:]
		return n, nil
	}
	if b.left <= 0 {
		return 0, fmt.Errorf("the server sends more than %d bytes", maxAnswer)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
