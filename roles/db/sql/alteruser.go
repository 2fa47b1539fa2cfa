package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// altersAccount says whether a statement is ALTER USER with a password; the account may be the one without a name.
func altersAccount(st *sqlparser.DDL) bool {
	return st.Auth.AuthType == sqlparser.AuthType_ALTER_USER
}

// parseAlterUser is ALTER USER without a password: what the accounts' connections must be like, and whether they are
// locked. The parser knows passwords only.
func parseAlterUser(_ *Session, sc *scanner) (*ownStatement, error) {
	exists := sc.accept("IF", "EXISTS")
	names, err := sc.accountNames()
	if err != nil {
		return nil, nil // USER() and the like are the parser's
	}
	change, err := sc.accountOptions()
	if change == nil || err != nil {
		return nil, err
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindAccount, nil, func(ctx *gms.Context, s *Session, out sink) error {
		if err := s.mayAccounts(ctx); err != nil {
			return err
		}
		if err := s.changeAccounts(ctx, names, exists, change); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	}), nil
}

// mayAccounts refuses who must not change accounts.
func (s *Session) mayAccounts(ctx *gms.Context) error {
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	if s.replay != nil || set.Has(gms.PrivilegeType_CreateUser) || set.Has(gms.PrivilegeType_Super) {
		return nil
	}
	return mysqlError(1227, "Access denied; you need (at least one of) the CREATE USER privilege(s) for this operation")
}

// changeAccounts changes accounts; where one is missing, what was changed is read back as after any failed statement.
func (s *Session) changeAccounts(ctx *gms.Context, names []accountKey, exists bool, change func(*mysql_db.User)) error {
	db := s.engine.accounts.db
	ed := db.Editor()
	defer ed.Close()
	for _, name := range names {
		u, ok := ed.GetUser(name)
		switch {
		case ok:
			change(u)
			ed.PutUser(u)
		case exists:
			ctx.Warn(3162, "Authorization ID %s does not exist.", writtenAs(name))
		default:
			return mysqlError(1396, "Operation ALTER USER failed for '%s'@'%s'", name.User, name.Host)
		}
	}
	return db.Persist(ctx, ed)
}

// accountOptions reads REQUIRE, WITH and ACCOUNT; nil where none of them comes next.
func (s *scanner) accountOptions() (change func(*mysql_db.User), err error) {
	var changes []func(*mysql_db.User)
	for err == nil {
		var next func(*mysql_db.User)
		switch {
		case s.accept("REQUIRE"):
			next, err = s.requirement()
		case s.accept("WITH"):
			next, err = func(*mysql_db.User) {}, s.noLimits()
		case s.accept("ACCOUNT", "LOCK"):
			next = func(u *mysql_db.User) { u.Locked = true }
		case s.accept("ACCOUNT", "UNLOCK"):
			next = func(u *mysql_db.User) { u.Locked = false }
		case len(changes) == 0:
			return nil, nil
		default:
			return func(u *mysql_db.User) {
				for _, c := range changes {
					c(u)
				}
			}, nil
		}
		changes = append(changes, next)
	}
	return nil, err
}

// requirement reads what stands behind REQUIRE.
func (s *scanner) requirement() (func(*mysql_db.User), error) {
	var to mysql_db.User
	switch {
	case s.accept("NONE"):
	case s.accept("SSL"):
		to.SslType = "ANY"
	case s.accept("X509"):
		to.SslType = "X509"
	default:
		to.SslType = "SPECIFIED"
		for more := true; more; more = s.accept("AND") || s.peek() == "SUBJECT" || s.peek() == "ISSUER" || s.peek() == "CIPHER" {
			var field *string
			switch {
			case s.accept("SUBJECT"):
				field = &to.X509Subject
			case s.accept("ISSUER"):
				field = &to.X509Issuer
			case s.accept("CIPHER"):
				field = &to.SslCipher
			default:
				return nil, s.unexpected()
			}
			text, ok := s.accountPart()
			if !ok {
				return nil, s.unexpected()
			}
			*field = text
		}
	}
	return func(u *mysql_db.User) {
		u.SslType, u.X509Subject, u.X509Issuer, u.SslCipher = to.SslType, to.X509Subject, to.X509Issuer, to.SslCipher
	}, nil
}

// noLimits reads the resource limits behind WITH, which must be 0: none.
func (s *scanner) noLimits() error {
	for n := 0; ; n++ {
		switch s.peek() {
		case "MAX_QUERIES_PER_HOUR", "MAX_UPDATES_PER_HOUR", "MAX_CONNECTIONS_PER_HOUR", "MAX_USER_CONNECTIONS":
			s.next()
			if s.next() != "0" {
				return notAvailable("account resource limits")
			}
		default:
			if n == 0 {
				return s.unexpected()
			}
			return nil
		}
	}
}

// plainRevoke leaves out the PRIVILEGES of REVOKE ALL PRIVILEGES ON, which the parser does not know; ok is false where the
// text is no such statement.
func plainRevoke(text string) (plain string, ok bool) {
	sc := &scanner{text: text}
	if !sc.accept("REVOKE") {
		return "", false
	}
	sc.accept("IF", "EXISTS")
	if !sc.accept("ALL") {
		return "", false
	}
	at := sc.pos
	if !sc.accept("PRIVILEGES") || sc.peek() != "ON" {
		return "", false
	}
	return text[:at] + text[sc.pos:], true
}
