package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// accountPlain is user@host, as the catalog has accounts for routines.
func accountPlain(a accountKey) string { return a.User + "@" + a.Host }

// plainAccount reads user@host.
func plainAccount(plain string) accountKey {
	at := strings.LastIndexByte(plain, '@')
	return accountKey{User: plain[:max(at, 0)], Host: plain[at+1:]}
}

// writtenAccount reads an account of a DEFINER clause as parser and planner hand it on: both
// parts in backquotes.
func writtenAccount(written string) accountKey {
	at := strings.LastIndex(written, "`@`")
	if at < 1 {
		return accountKey{User: written}
	}
	name := func(quoted string) string { return strings.ReplaceAll(quoted, "``", "`") }
	return accountKey{User: name(written[1:at]), Host: name(strings.TrimSuffix(written[at+len("`@`"):], "`"))}
}

// acting is the account whose privileges count for the running statement, which owns what the
// statement makes: the client's, the definer of the running routine, or, where a log is
// repeated, the one that ran the statement there.
func (s *Session) acting() accountKey {
	if s.replay != nil {
		return accountKey{User: s.client.Account.User, Host: s.client.Account.Host}
	}
	c := s.BaseSession.Client()
	return accountKey{User: c.User, Host: c.Address}
}

// definer is the account that an object which the running statement makes is to act as.
// written is its DEFINER clause, empty where there is none. Another account than the one that
// acts takes SUPER: error 1227.
func (s *Session) definer(ctx *gms.Context, written string) (accountKey, error) {
	own := s.acting()
	if written == "" {
		return own, nil
	}
	a := writtenAccount(written)
	if a != own && !s.administrator(ctx) {
		return own, mysqlError(1227, "Access denied; you need (at least one of) the SUPER or SET_USER_ID privilege(s) for this operation")
	}
	return a, nil
}

// writtenDefiner is the DEFINER clause of a statement that makes a view or a trigger.
func writtenDefiner(ctx *gms.Context, create string) (string, error) {
	st, err := parseText(create, gms.LoadSqlMode(ctx).ParserOptions())
	if err != nil {
		return "", gms.ErrSyntaxError.New(err)
	}
	if ddl, ok := st.(*sqlparser.DDL); ok {
		for _, at := range definersOf(ddl) {
			return *at, nil
		}
	}
	return "", nil
}

// actAs makes an account the one whose privileges count, until back is called. Error 1449: it
// is not there.
func (s *Session) actAs(a accountKey) (back func(), err error) {
	if !s.engine.HasAccount(a.User, a.Host) {
		return nil, mysqlError(1449, "The user specified as a definer ('%s'@'%s') does not exist", a.User, a.Host)
	}
	return s.become(a), nil
}

// become is actAs for an account that is there. It has the roles that it begins with.
func (s *Session) become(a accountKey) (back func()) {
	client := s.BaseSession.Client()
	privileges, version := s.BaseSession.GetPrivilegeSet()
	s.BaseSession.SetClient(gms.Client{User: a.User, Address: a.Host, Capabilities: client.Capabilities})
	s.BaseSession.SetPrivilegeSet(nil, 0)
	was := s.forDefiner
	s.forDefiner = true
	return func() {
		s.forDefiner = was
		s.BaseSession.SetClient(client)
		s.BaseSession.SetPrivilegeSet(privileges, version)
	}
}

// definedText is a CREATE statement with this account in its DEFINER clause.
func definedText(create string, a accountKey) string {
	sc := &scanner{text: create}
	if !sc.accept("CREATE") {
		return create
	}
	if from := sc.pos; !sc.accept("DEFINER", "=") {
		return create[:from] + " DEFINER=" + writtenAs(a) + create[from:]
	}
	sc.skip()
	from := sc.pos
	sc.account()
	return create[:from] + writtenAs(a) + create[sc.pos:]
}

// definedBy is the account that definedText has put into a statement.
func definedBy(create string) (accountKey, bool) {
	sc := &scanner{text: create}
	if !sc.accept("CREATE", "DEFINER", "=") {
		return accountKey{}, false
	}
	user := plainName(sc.next())
	if sc.next() != "@" {
		return accountKey{}, false
	}
	return accountKey{User: user, Host: plainName(sc.next())}, true
}

// shownText is a CREATE statement as the acting account is to see it: run again by that
// account it must make the same object, so a definer that is another one is named.
func (s *Session) shownText(create string, a accountKey) string {
	sc := &scanner{text: create}
	if a == s.acting() || a == (accountKey{}) || sc.accept("CREATE", "DEFINER") {
		return create
	}
	return definedText(create, a)
}
