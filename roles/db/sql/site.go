package sql

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/group"
	"stack/roles/db/wire"
	"stack/roles/internal/dbcheck"
)

// site is how the servers of a site speak to this one: as an account that is in no catalog,
// so that it is there before anything was replicated and cannot be changed by SQL.
type site struct {
	account  wire.Account
	balancer wire.Account // of the balancers, who may ask for the role only
	self     group.Member
	role     func() dbcheck.State
	serves   func() error
}

// SetSite lets the other servers of the site log in as group.Account, over TLS only, with this
// password, and ask and tell self; and the balancers as dbcheck.Account, with the password balancer, and ask for
// role. Others are turned away while serves says why; shown is what dump.Source.SetShown takes. It is called before clients
// are served.
func (e *Engine) SetSite(password, balancer string, self group.Member, role func() dbcheck.State, serves func() error, shown func() uint64) {
	e.site.Store(&site{
		account: siteAccount(group.Account, password), balancer: siteAccount(dbcheck.Account, balancer),
		self: self, role: role, serves: serves,
	})
	e.source.SetAcknowledger(&acknowledger{engine: e})
	e.source.SetShown(shown)
	gms.SystemVariables.AddSystemVariables([]gms.SystemVariable{&gms.MysqlSystemVariable{
		Name: stackShown, Scope: gms.GetMysqlScope(gms.SystemVariableScope_Global), Type: types.NewSystemUintType(stackShown, 0, math.MaxUint64), Default: uint64(0),
	}}) // sessions ask shown, which must not be called under the planner's lock
}

// siteAccount is an account that is in no catalog.
func siteAccount(name, password string) wire.Account {
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	return wire.Account{
		User: name, Host: "%", Plugin: "mysql_native_password",
		AuthString: "*" + strings.ToUpper(hex.EncodeToString(twice[:])),
		Require:    wire.Require{SSL: true},
		Site:       true, // clients that take all connections must not keep a promotion or a check out
	}
}

// acknowledger hands on what the servers of the site have on disk.
type acknowledger struct {
	engine *Engine
	last   atomic.Pointer[string] // what was wrong with the last one
}

// Acknowledged does not block: a higher epoch, which closes this server, is accepted beside.
func (a *acknowledger) Acknowledged(name string, epoch, seq uint64) {
	if epoch > a.engine.db.Epoch() {
		go a.note(name, epoch, seq)
		return
	}
	a.note(name, epoch, seq)
}

func (a *acknowledger) note(name string, epoch, seq uint64) {
	err := a.engine.db.Acknowledge(name, epoch, seq)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if last := a.last.Swap(&text); text != "" && (last == nil || *last != text) {
		a.engine.log.Error("an acknowledgement was not taken: " + text)
	}
}

// ofSite is the site whose server the session's client is; nil: it is another client.
func (s *Session) ofSite() *site {
	if x := s.engine.site.Load(); x != nil && s.client.Account.User == x.account.User {
		return x
	}
	return nil
}

// ofBalancer reports whether the session's client is a balancer of the site.
func (s *Session) ofBalancer() bool {
	x := s.engine.site.Load()
	return x != nil && s.client.Account.User == x.balancer.User
}

// servedWithin is how long a client waits until the server may show what it has.
const servedWithin = 3 * time.Second

// served waits until the session's client may see what this server has, or says why not.
func (s *Session) served(ctx context.Context) error {
	x := s.engine.site.Load()
	if x == nil || s.ofSite() != nil || s.ofBalancer() {
		return nil
	}
	for end := time.Now().Add(servedWithin); ; {
		err := x.serves()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return mysqlError(3032, "The server is currently in offline mode: %v", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Clients are the connections of clients that are not servers of the site.
func (e *Engine) Clients() []uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []uint32
	for id, s := range e.sessions {
		if s.ofSite() == nil && id != 0 {
			list = append(list, id)
		}
	}
	return list
}

// ensureSiteUser makes the account known to the planner, which asks of every session who it is: without a
// privilege, and never stored.
func (e *Engine) ensureSiteUser(name string) {
	ed := e.accounts.db.Editor()
	defer ed.Close()
	key := mysql_db.UserPrimaryKey{User: name, Host: "%"}
	if u, ok := ed.GetUser(key); ok && u.IsEphemeral {
		return
	}
	ed.PutUser(&mysql_db.User{
		User: key.User, Host: key.Host, PrivilegeSet: mysql_db.NewPrivilegeSet(), Plugin: "mysql_native_password", Locked: true, IsEphemeral: true,
	})
}

// errNotOfSite refuses a statement that only the servers of the site may give.
func errNotOfSite(what string) error {
	return mysqlError(1227, "Access denied; %s is for the database servers of the site: use stack db", what)
}

// parseShowSite is SHOW STACK STATE. FULL adds what servers of older releases do not read.
func parseShowSite(_ *Session, sc *scanner) (*ownStatement, error) {
	full := sc.accept("FULL")
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		x := s.ofSite()
		if x == nil {
			return errNotOfSite("SHOW STACK STATE")
		}
		st, err := x.self.State(ctx)
		if err != nil {
			return err
		}
		schema := gms.Schema{
			logColumn("Name", types.Text), logColumn("Epoch", types.Uint64), logColumn("Primary", types.Text),
			logColumn("Open", types.Int8), logColumn("Executed", types.LongText), logColumn("Server", types.Text),
			logColumn("Before", types.Text), logColumn("Decided", types.Uint64),
		}
		row := gms.Row{st.Name, st.Epoch, st.Primary, bit(st.Open), st.Executed, st.Server, st.Before, st.Decided}
		if full {
			schema, row = append(schema, logColumn("Blank", types.Int8)), append(row, bit(st.Blank))
		}
		return reply(ctx, out, schema, row)
	}), nil
}

// parseShowRole is SHOW STACK ROLE, of any client: what it tells, a client that tries to write finds out too.
func parseShowRole(_ *Session, sc *scanner) (*ownStatement, error) {
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		x := s.engine.site.Load()
		if x == nil {
			return mysqlError(1227, "%s is for the servers of a site with several: this one is alone", dbcheck.Statement)
		}
		st := x.role()
		row := gms.Row{st.Name, st.Epoch, st.Primary, bit(st.Open), bit(st.Follows), nil}
		if st.LagKnown {
			row[5] = st.Lag.Milliseconds()
		}
		kinds := []gms.Type{types.Text, types.Uint64, types.Text, types.Int8, types.Int8, types.Int64}
		var schema gms.Schema
		for i, name := range dbcheck.Columns {
			schema = append(schema, logColumn(name, kinds[i]))
		}
		schema[5].Nullable = true
		return reply(ctx, out, schema, row)
	}), nil
}

func bit(b bool) int8 {
	if b {
		return 1
	}
	return 0
}

// parseAccept is STACK ACCEPT epoch 'primary'.
func parseAccept(_ *Session, sc *scanner) (*ownStatement, error) {
	epoch, err := strconv.ParseUint(sc.next(), 10, 64)
	primary := sc.next()
	if err != nil || len(primary) < 2 || primary[0] != '\'' {
		return nil, sc.unexpected()
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return ofSite("STACK ACCEPT", func(ctx context.Context, self group.Member) (string, error) {
		return self.Accept(ctx, epoch, strings.Trim(primary, "'"))
	}), nil
}

// parseOpen is STACK OPEN epoch.
func parseOpen(_ *Session, sc *scanner) (*ownStatement, error) {
	epoch, err := strconv.ParseUint(sc.next(), 10, 64)
	if err != nil {
		return nil, sc.unexpected()
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return ofSite("STACK OPEN", func(ctx context.Context, self group.Member) (string, error) {
		return "", self.Open(ctx, epoch)
	}), nil
}

// ofSite is a statement of a server of the site that answers with a GTID set.
func ofSite(what string, do func(context.Context, group.Member) (string, error)) *ownStatement {
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		x := s.ofSite()
		if x == nil {
			return errNotOfSite(what)
		}
		executed, err := do(ctx, x.self)
		if err != nil {
			return mysqlError(1290, "%v", err)
		}
		return reply(ctx, out, gms.Schema{logColumn("Executed", types.LongText)}, gms.Row{executed})
	})
}
