package sql

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"strings"
	"sync/atomic"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"
	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/wire"
)

// defaultPlugin is how accounts authenticate that name no plugin.
const defaultPlugin = "caching_sha2_password"

// accounts are users, roles and grants. The planner keeps them in memory and enforces
// them; here they are made durable with each change and read back at start.
type accounts struct {
	engine  *Engine
	db      *mysql_db.MySQLDb
	version atomic.Uint64                    // grows with every change, so that plans are authorised anew
	copied  atomic.Pointer[mysql_db.MySQLDb] // what kept returns
}

// grantsObject names the one object of the catalog that holds them all.
const grantsObject = "accounts"

var _ mysql_db.MySQLDbPersistence = (*accounts)(nil)

func newAccounts(e *Engine) *accounts {
	a := &accounts{engine: e, db: e.gms.Analyzer.Catalog.MySQLDb}
	a.db.SetPersister(a)
	a.db.SetEnabled(true)
	return a
}

// Persist stages all accounts in the running statement's transaction.
func (a *accounts) Persist(ctx *gms.Context, data []byte) error {
	a.version.Add(1)
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if s.tx == nil {
		return errNoSession
	}
	data = append([]byte(nil), data...)
	if err := a.keep(data); err != nil {
		return err
	}
	return s.tx.PutObject(ctx, store.Object{Kind: objectGrants, Name: grantsObject, Data: data})
}

// load takes over what the catalog holds.
func (a *accounts) load(cat *store.Catalog) error {
	o := cat.Object(objectGrants, "", grantsObject)
	if o == nil {
		return nil
	}
	ed := a.db.Editor()
	defer ed.Close()
	defer a.version.Add(1)
	if err := a.db.OverwriteUsersAndGrantData(gms.NewEmptyContext(), ed, o.Data); err != nil {
		return fmt.Errorf("the accounts in the catalog are damaged: %w", err)
	}
	return a.keep(o.Data)
}

// reload takes back what a failed statement changed in memory.
func (a *accounts) reload(cat *store.Catalog) {
	if err := a.load(cat); err != nil {
		a.engine.log.Error("accounts could not be read back after a failed statement", "error", err)
	}
}

// Accounts returns the accounts of a user name, and the anonymous ones.
func (e *Engine) Accounts(_ context.Context, user string) ([]wire.Account, error) {
	if x := e.site.Load(); x != nil {
		switch user {
		case x.account.User:
			return []wire.Account{x.account}, nil
		case x.balancer.User:
			return []wire.Account{x.balancer}, nil
		}
	}
	rd := e.accounts.db.Reader()
	defer rd.Close()
	var list []wire.Account
	rd.VisitUsers(func(u *mysql_db.User) {
		if u.IsRole || u.User != user && u.User != "" {
			return
		}
		list = append(list, account(u))
	})
	return list, nil
}

func account(u *mysql_db.User) wire.Account {
	return wire.Account{
		User: u.User, Host: u.Host, Plugin: u.Plugin, AuthString: u.AuthString, Locked: u.Locked,
		Admin: u.PrivilegeSet.Has(gms.PrivilegeType_Super),
		Require: wire.Require{
			SSL:     u.SslType != "",
			X509:    u.SslType == "X509" || u.SslType == "SPECIFIED" && (u.X509Issuer != "" || u.X509Subject != ""),
			Subject: u.X509Subject, Issuer: u.X509Issuer, Cipher: u.SslCipher,
		},
	}
}

// prepareAccounts readies an account statement for the planner: the default plugin,
// and accounts named exactly, because the planner would take one whose host
// pattern merely matches.
func (s *Session) prepareAccounts(st sqlparser.Statement) error {
	switch st := st.(type) {
	case *sqlparser.CreateUser:
		for i := range st.Users {
			if st.Users[i].Auth1 == nil {
				st.Users[i].Auth1 = &sqlparser.Authentication{}
			}
			if err := usePlugin(st.Users[i].Auth1); err != nil {
				return err
			}
		}
		return refuseLimits(st)
	case *sqlparser.DDL:
		if st.Authentication != nil {
			if st.Authentication.Plugin == "" {
				st.Authentication.Plugin = s.pluginOf(st.User)
			}
			if err := usePlugin(st.Authentication); err != nil {
				return err
			}
		}
		return nil
	case *sqlparser.DropUser:
		for _, name := range st.AccountNames {
			if !st.IfExists && !s.hasAccount(name) {
				return mysqlError(1396, "Operation DROP USER failed for '%s'@'%s'", name.Name, hostOf(name))
			}
			if st.IfExists && !s.hasAccount(name) && s.matchesAccount(name) {
				return mysqlError(1396, "Operation DROP USER failed for '%s'@'%s'", name.Name, hostOf(name))
			}
		}
	case *sqlparser.GrantPrivilege:
		if st.PrivilegeLevel.Database == "" {
			st.PrivilegeLevel.Database = s.GetCurrentDatabase()
		}
		return s.needAccounts(st.To)
	case *sqlparser.GrantRole:
		return s.admitRoleGrant(st)
	case *sqlparser.RevokePrivilege:
		if st.PrivilegeLevel.Database == "" {
			st.PrivilegeLevel.Database = s.GetCurrentDatabase()
		}
		return s.needAccounts(st.From)
	case *sqlparser.RevokeRole:
		return s.admitRoleRevoke(st)
	case *sqlparser.RenameUser:
		return notAvailable("RENAME USER")
	case *sqlparser.GrantProxy, *sqlparser.RevokeProxy:
		return notAvailable("PROXY")
	}
	return nil
}

// refuseLimits refuses account options that would be kept and not enforced.
func refuseLimits(st *sqlparser.CreateUser) error {
	switch {
	case st.AccountLimits != nil && !withoutLimits(*st.AccountLimits):
		return notAvailable("account resource limits")
	case st.PasswordOptions != nil:
		return notAvailable("password options")
	case len(st.DefaultRoles) > 0:
		return notAvailable("DEFAULT ROLE")
	}
	return nil
}

// withoutLimits says whether all limits are 0, which is none.
func withoutLimits(l sqlparser.AccountLimits) bool {
	for _, v := range []*sqlparser.SQLVal{l.MaxQueriesPerHour, l.MaxUpdatesPerHour, l.MaxConnectionsPerHour, l.MaxUserConnections} {
		if v != nil && string(v.Val) != "0" {
			return false
		}
	}
	return true
}

func usePlugin(a *sqlparser.Authentication) error {
	switch strings.ToLower(a.Plugin) {
	case "":
		a.Plugin = defaultPlugin
	case "mysql_native_password", "caching_sha2_password":
		a.Plugin = strings.ToLower(a.Plugin)
	default:
		return mysqlError(1524, "Plugin '%s' is not loaded", a.Plugin)
	}
	return nil
}

func (s *Session) pluginOf(name sqlparser.AccountName) string {
	rd := s.engine.accounts.db.Reader()
	defer rd.Close()
	if u, ok := rd.GetUser(mysql_db.UserPrimaryKey{User: name.Name, Host: hostOf(name)}); ok && u.Plugin != "" {
		return u.Plugin
	}
	return defaultPlugin
}

func hostOf(n sqlparser.AccountName) string {
	if n.AnyHost || n.Host == "" {
		return "%"
	}
	return n.Host
}

func (s *Session) hasAccount(name sqlparser.AccountName) bool {
	rd := s.engine.accounts.db.Reader()
	defer rd.Close()
	_, ok := rd.GetUser(mysql_db.UserPrimaryKey{User: name.Name, Host: hostOf(name)})
	return ok
}

// matchesAccount says whether the planner would take another account for this name.
func (s *Session) matchesAccount(name sqlparser.AccountName) bool {
	rd := s.engine.accounts.db.Reader()
	defer rd.Close()
	return s.engine.accounts.db.GetUser(rd, name.Name, hostOf(name), false) != nil
}

func (s *Session) needAccounts(names []sqlparser.AccountName) error {
	for _, n := range names {
		if !s.hasAccount(n) {
			return mysqlError(1410, "You are not allowed to create a user with GRANT: there is no account '%s'@'%s'", n.Name, hostOf(n))
		}
	}
	return nil
}

// showOwnGrants lets an account see its own grants: the planner reads them from the
// database mysql, which most accounts may not see. It returns what ends the exception.
func (s *Session) showOwnGrants(st sqlparser.Statement) func() {
	show, ok := st.(*sqlparser.ShowGrants)
	own := s.client.Account
	if !ok || show.For != nil && (show.For.Name != own.User || hostOf(*show.For) != own.Host) {
		return func() {}
	}
	show.For = &sqlparser.AccountName{Name: own.User, Host: own.Host}
	was := s.BaseSession.Client()
	s.engine.ensureSystemUser()
	s.BaseSession.SetClient(gms.Client{User: systemUser, Address: "localhost", Capabilities: was.Capabilities})
	s.BaseSession.SetPrivilegeSet(nil, 0)
	return func() {
		s.BaseSession.SetClient(was)
		s.BaseSession.SetPrivilegeSet(nil, 0)
	}
}

// HasAccount says whether this exact account exists.
func (e *Engine) HasAccount(user, host string) bool {
	rd := e.accounts.db.Reader()
	defer rd.Close()
	_, ok := rd.GetUser(mysql_db.UserPrimaryKey{User: user, Host: host})
	return ok
}

// passwordHash is the auth string of caching_sha2_password.
func passwordHash(password string) (string, error) {
	if password == "" {
		return "", nil
	}
	salt, err := newSalt()
	if err != nil {
		return "", err
	}
	hash, err := mysql.SerializeCachingSha2PasswordAuthString(password, salt, mysql.DefaultCachingSha2PasswordHashIterations)
	return string(hash), err
}

// newSalt is 20 random bytes that a C string can hold and that do not end the salt.
func newSalt() ([]byte, error) {
	salt := make([]byte, 20)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for i, b := range salt {
		salt[i] = alphabet[int(b)%len(alphabet)]
	}
	return salt, nil
}

// SetAdministrator makes the account with every privilege, or gives it this password.
func (e *Engine) SetAdministrator(ctx context.Context, user, host, password string) error {
	hash, err := passwordHash(password)
	if err != nil {
		return err
	}
	return e.system(ctx, func(gctx *gms.Context, s *Session) error {
		ed := e.accounts.db.Editor()
		defer ed.Close()
		e.accounts.db.AddSuperUser(ed, user, host, "")
		u, ok := ed.GetUser(mysql_db.UserPrimaryKey{User: user, Host: host})
		if !ok {
			return fmt.Errorf("account '%s'@'%s' was not made", user, host)
		}
		u.Plugin, u.AuthString, u.IsSuperUser = defaultPlugin, hash, true
		ed.PutUser(u)
		return e.accounts.db.Persist(gctx, ed)
	})
}

// EnsureAdministrator makes the account, or gives it this password, where it is not so
// already.
func (e *Engine) EnsureAdministrator(ctx context.Context, user, host, password string) error {
	rd := e.accounts.db.Reader()
	u, ok := rd.GetUser(mysql_db.UserPrimaryKey{User: user, Host: host})
	same := ok && u.IsSuperUser && hasPassword(u, password)
	rd.Close()
	if same {
		return nil
	}
	return e.SetAdministrator(ctx, user, host, password)
}

// hasPassword says whether a caching_sha2_password account has this password.
func hasPassword(u *mysql_db.User, password string) bool {
	if u.Plugin != defaultPlugin {
		return false
	}
	if password == "" || u.AuthString == "" {
		return password == "" && u.AuthString == ""
	}
	_, iterations, salt, _, err := mysql.DeserializeCachingSha2PasswordAuthString([]byte(u.AuthString))
	if err != nil {
		return false
	}
	hash, err := mysql.SerializeCachingSha2PasswordAuthString(password, salt, iterations)
	return err == nil && subtle.ConstantTimeCompare(hash, []byte(u.AuthString)) == 1
}

// Do runs statements as an administrator without a client: what the configuration asks
// for at start.
func (e *Engine) Do(ctx context.Context, statements ...string) error {
	s, err := e.systemSession()
	if err != nil {
		return err
	}
	defer s.Close()
	// The texts are ours, whatever SET GLOBAL sql_mode has made of it.
	if err := s.SetSessionVariable(s.context(ctx, ""), "sql_mode", defaultMode); err != nil {
		return err
	}
	for _, text := range statements {
		if _, err := s.query(ctx, text, false, discard{}); err != nil {
			return err
		}
	}
	return nil
}

// system runs do in a transaction of its own, as an account statement does.
func (e *Engine) system(ctx context.Context, do func(*gms.Context, *Session) error) error {
	s, err := e.systemSession()
	if err != nil {
		return err
	}
	defer s.Close()
	gctx := s.context(ctx, "")
	tx, err := s.StartTransaction(gctx, gms.ReadWrite)
	if err != nil {
		return err
	}
	s.BaseSession.SetTransaction(tx)
	// The node's own accounts and leftovers: another node has its own.
	s.tx.Unlogged()
	s.tx.SetTableWaitTimeout(s.seconds("innodb_lock_wait_timeout"))
	if err = s.tx.LockCatalog(ctx); err == nil {
		if err = do(gctx, s); err == nil {
			err = s.CommitTransaction(gctx, tx)
		}
	}
	if err != nil {
		s.rollback()
		e.accounts.reload(e.db.Catalog())
	}
	return err
}

// systemUser is the name of the account that the engine's own sessions run under. It
// is kept in memory only and cannot log in.
const systemUser = "stack.system"

func (e *Engine) systemSession() (*Session, error) {
	e.ensureSystemUser()
	// Ids of clients grow from 1: these come from the other end.
	id := ^uint32(0) - uint32(e.pid.Add(1)%(1<<20))
	return e.newSession(wire.Client{
		ID: id, User: systemUser, Host: "localhost",
		Account: wire.Account{User: systemUser, Host: "localhost", Admin: true},
	})
}

func (e *Engine) ensureSystemUser() {
	// An editor makes every session work out its privileges anew.
	if e.HasAccount(systemUser, "localhost") {
		return
	}
	ed := e.accounts.db.Editor()
	defer ed.Close()
	if _, ok := ed.GetUser(mysql_db.UserPrimaryKey{User: systemUser, Host: "localhost"}); !ok {
		e.accounts.db.AddEphemeralSuperUser(ed, systemUser, "localhost", "")
		if u, ok := ed.GetUser(mysql_db.UserPrimaryKey{User: systemUser, Host: "localhost"}); ok {
			u.Locked = true
			ed.PutUser(u)
		}
	}
}

// discard is a sink for answers that nobody reads.
type discard struct{}

func (discard) Columns(*gms.Context, gms.Schema) error { return nil }
func (discard) Row(gms.Row) error                      { return nil }
func (discard) OK(uint64, uint64, string)              {}
func (discard) Next() error                            { return nil }
