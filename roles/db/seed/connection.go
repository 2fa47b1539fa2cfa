package seed

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The numbers that a donor's refusals have on the wire.
const (
	CodeBusy  = 3634 // ER_CLONE_TOO_MANY_CONCURRENT_CLONES
	CodeDonor = 3862 // ER_CLONE_DONOR
	CodeGone  = 3863 // ER_CLONE_PROTOCOL
)

// silence is how long a donor may send nothing.
const silence = time.Minute

// connection is one to the donor.
type connection struct {
	db   *sql.DB
	conn *sql.Conn
}

func connect(ctx context.Context, o *Options) (*connection, error) {
	if o.TLS == nil {
		return nil, errors.New("a clone travels over TLS only: say which certificates are believed")
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = o.User, o.Password, "tcp", o.Address
	cfg.TLS, cfg.AllowFallbackToPlaintext = o.TLS, false
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = 10*time.Second, silence, silence
	cfg.ConnectionAttributes = "program_name:stack db clone"
	cfg.Logger = log.New(io.Discard, "", 0) // what is wrong comes back as an error
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, err
	}
	return &connection{db, conn}, nil
}

func (c *connection) close() {
	c.conn.Close()
	c.db.Close()
}

// begin is SEED BEGIN.
func (c *connection) begin(ctx context.Context, id string) (s state, err error) {
	query := "SEED BEGIN"
	if id != "" {
		query += " " + quote(id)
	}
	rows, err := c.conn.QueryContext(ctx, query)
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var f File
		if err := rows.Scan(&s.ID, &s.Executed, &f.Name, &f.Bytes); err != nil {
			return s, err
		}
		if s.Files = append(s.Files, f); len(s.Files) > stateLimit/128 {
			return s, errors.New("the list of files is longer than any seed's")
		}
	}
	if err := rows.Err(); err != nil {
		return s, err
	}
	if len(s.ID) != 32 || strings.Trim(s.ID, "0123456789abcdef") != "" {
		return s, errors.New("the donor gives the seed no name that could be asked for")
	}
	return s, s.check()
}

// file is SEED FILE. take gets the pieces, which are valid during the call. It is an error
// when their SHA-256 is not what the donor has read.
func (c *connection) file(ctx context.Context, id, name string, rate int64, take func([]byte) error) error {
	query := "SEED FILE " + quote(id) + " " + quote(name)
	if rate > 0 {
		query += fmt.Sprintf(" RATE %d", rate)
	}
	// A result that is left in the middle would be read to its end.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := c.conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	hash := sha256.New()
	ended := false
	var piece, sum sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&piece, &sum); err != nil {
			return err
		}
		if ended {
			return fmt.Errorf("the donor sends more of %s behind its end", name)
		}
		if sum != nil {
			ended = true
			if string(sum) != hex.EncodeToString(hash.Sum(nil)) {
				return fmt.Errorf("file %s is not what the donor has sent: its SHA-256 differs", name)
			}
			continue
		}
		hash.Write(piece)
		if err := take(piece); err != nil {
			cancel()
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if !ended {
		return fmt.Errorf("the donor has not sent the end of %s", name)
	}
	return nil
}

// end is SEED END. It is a courtesy: the donor forgets the seed on its own.
func (c *connection) end(ctx context.Context, id string) {
	_, _ = c.conn.ExecContext(ctx, "SEED END "+quote(id))
}

// gone reports whether the donor has no such seed any more.
func gone(err error) bool {
	var said *mysql.MySQLError
	return errors.As(err, &said) && said.Number == CodeGone
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}
