package sql

import (
	"context"
	"errors"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/seed"
)

// SetDonor makes the engine answer SEED BEGIN, SEED FILE and SEED END. Without one they are
// refused. It is called before the first session.
func (e *Engine) SetDonor(d *seed.Donor) { e.donor = d }

// parseSeed is
//
//	SEED BEGIN ['id']               rows of Id, Executed, File, Bytes
//	SEED FILE 'id' 'name' [RATE n]  rows of Data, Sum: the last one has the sum alone
//	SEED END 'id'
//
// They are for `stack db clone`: package seed.
func parseSeed(_ *Session, sc *scanner) (*ownStatement, error) {
	what := strings.ToUpper(sc.next())
	var id, name string
	var rate int64
	var err error
	if what != "BEGIN" || sc.peek() != "" {
		if id, err = sc.plainText(); err != nil {
			return nil, err
		}
	}
	switch what {
	case "BEGIN", "END":
	case "FILE":
		if name, err = sc.plainText(); err != nil {
			return nil, err
		}
		if sc.accept("RATE") {
			if rate, err = strconv.ParseInt(sc.next(), 10, 64); err != nil || rate < 1 {
				return nil, mysqlError(1064, "SEED FILE: RATE is a number of bytes a second")
			}
		}
	default:
		return nil, sc.unexpected()
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	o := own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		if err := s.maySeed(ctx); err != nil {
			return err
		}
		client := s.seedClient()
		switch what {
		case "BEGIN":
			return s.beginSeed(ctx, client, id, out)
		case "END":
			if err := s.engine.donor.End(client, id); err != nil {
				return seedError(ctx, err)
			}
			out.OK(0, 0, "")
			return nil
		}
		return s.sendSeed(ctx, client, id, name, rate, out)
	})
	o.unlimited = true // a large file takes minutes
	return o, nil
}

// plainText is a string without anything that would have to be escaped.
func (s *scanner) plainText() (string, error) {
	at := s.pos
	token := s.next()
	if len(token) < 2 || token[0] != '\'' || token[len(token)-1] != '\'' || strings.ContainsAny(token[1:len(token)-1], `'\`) {
		s.pos = at
		return "", s.unexpected()
	}
	return token[1 : len(token)-1], nil
}

// maySeed refuses accounts that may not have all data, and connections that others can read.
func (s *Session) maySeed(ctx *gms.Context) error {
	if s.engine.donor == nil {
		return notAvailable("SEED")
	}
	if s.client.TLS == nil {
		return mysqlError(3159, "A seed holds all data and the hashes of all passwords: connect with TLS")
	}
	if s.ofSite() != nil {
		return nil // it has the key of the site
	}
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	if set.Has(gms.PrivilegeType_Super) || set.Has(gms.PrivilegeType_ReplicationSlave) && set.HasDynamic(plan.DynamicPrivilege_CloneAdmin) {
		return nil
	}
	return mysqlError(1227, "Access denied; you need the REPLICATION SLAVE and CLONE_ADMIN privileges for this operation")
}

func (s *Session) seedClient() seed.Client {
	return seed.Client{Connection: s.client.ID, Account: s.client.Account.User + "@" + s.client.Account.Host, Address: s.client.Addr.String()}
}

func (s *Session) beginSeed(ctx *gms.Context, client seed.Client, id string, out sink) error {
	c, err := s.engine.donor.Begin(ctx, client, id)
	if err != nil {
		return seedError(ctx, err)
	}
	rows := make([]gms.Row, len(c.Files))
	for i, f := range c.Files {
		rows[i] = gms.Row{c.ID, c.Executed, f.Name, f.Bytes}
	}
	return reply(ctx, out, gms.Schema{
		logColumn("Id", types.Text), logColumn("Executed", types.LongText), logColumn("File", types.Text), logColumn("Bytes", types.Int64),
	}, rows...)
}

func (s *Session) sendSeed(ctx *gms.Context, client seed.Client, id, name string, rate int64, out sink) error {
	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		return out.Columns(ctx, gms.Schema{
			logColumn("Data", types.LongBlob), &gms.Column{Name: "Sum", Type: types.Text, Nullable: true},
		})
	}
	sum, err := s.engine.donor.Send(ctx, client, id, name, rate, func(p []byte) error {
		if err := begin(); err != nil {
			return err
		}
		return out.Row(gms.Row{p, nil})
	})
	if err != nil {
		return seedError(ctx, err)
	}
	if err := begin(); err != nil {
		return err
	}
	return out.Row(gms.Row{[]byte{}, sum})
}

// seedError gives refusals of the donor their numbers.
func seedError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, seed.ErrGone):
		return mysqlError(seed.CodeGone, "%v", err)
	case errors.Is(err, seed.ErrBusy):
		return mysqlError(seed.CodeBusy, "%v", err)
	case errors.Is(err, seed.ErrStopping):
		return mysqlError(1053, "Server shutdown in progress")
	}
	return mysqlError(seed.CodeDonor, "%v", err)
}
