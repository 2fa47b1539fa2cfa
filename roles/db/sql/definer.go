package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// accountName names an account by user and host.
type accountName struct{ user, host string }

// String is the account as SQL has it behind DEFINER =.
func (a accountName) String() string { return QuoteName(a.user) + "@" + QuoteName(a.host) }

// plain is user@host, as the catalog has it for routines.
func (a accountName) plain() string { return a.user + "@" + a.host }

// plainAccount reads user@host.
func plainAccount(plain string) accountName {
	at := strings.LastIndexByte(plain, '@')
	return accountName{plain[:max(at, 0)], plain[at+1:]}
}

// writtenAccount reads an account of a DEFINER clause as parser and planner hand it on: both
// parts in backquotes.
func writtenAccount(written string) accountName {
	at := strings.LastIndex(written, "`@`")
	if at < 1 {
		return accountName{user: written}
	}
	name := func(quoted string) string { return strings.ReplaceAll(quoted, "``", "`") }
	return accountName{name(written[1:at]), name(strings.TrimSuffix(written[at+len("`@`"):], "`"))}
}

// acting is the account whose privileges count for the running statement, which owns what the
// statement makes: the client's, the definer of the running routine, or, where a log is
// repeated, the one that ran the statement there.
func (s *Session) acting() accountName {
	if s.replay != nil {
		return accountName{s.client.Account.User, s.client.Account.Host}
	}
	c := s.BaseSession.Client()
	return accountName{c.User, c.Address}
}

// definer is the account that an object which the running statement makes is to act as.
// written is its DEFINER clause, empty where there is none. Another account than the one that
// acts takes SUPER: error 1227.
func (s *Session) definer(ctx *gms.Context, written string) (accountName, error) {
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
func (s *Session) actAs(a accountName) (back func(), err error) {
	if !s.engine.HasAccount(a.user, a.host) {
		return nil, mysqlError(1449, "The user specified as a definer ('%s'@'%s') does not exist", a.user, a.host)
	}
	return s.become(a), nil
}

// become is actAs for an account that is there.
func (s *Session) become(a accountName) (back func()) {
	client := s.BaseSession.Client()
	privileges, version := s.BaseSession.GetPrivilegeSet()
	s.BaseSession.SetClient(gms.Client{User: a.user, Address: a.host, Capabilities: client.Capabilities})
	s.BaseSession.SetPrivilegeSet(nil, 0)
	return func() {
		s.BaseSession.SetClient(client)
		s.BaseSession.SetPrivilegeSet(privileges, version)
	}
}

// definedText is a CREATE statement with this account in its DEFINER clause.
func definedText(create string, a accountName) string {
	sc := &scanner{text: create}
	if !sc.accept("CREATE") {
		return create
	}
	if from := sc.pos; !sc.accept("DEFINER", "=") {
		return create[:from] + " DEFINER=" + a.String() + create[from:]
	}
	sc.skip()
	from := sc.pos
	sc.account()
	return create[:from] + a.String() + create[sc.pos:]
}

// definedBy is the account that definedText has put into a statement.
func definedBy(create string) (accountName, bool) {
	sc := &scanner{text: create}
	if !sc.accept("CREATE", "DEFINER", "=") {
		return accountName{}, false
	}
	user := plainName(sc.next())
	if sc.next() != "@" {
		return accountName{}, false
	}
	return accountName{user, plainName(sc.next())}, true
}

// shownText is a CREATE statement as the acting account is to see it: run again by that
// account it must make the same object, so a definer that is another one is named.
func (s *Session) shownText(create string, a accountName) string {
	sc := &scanner{text: create}
	if a == s.acting() || a == (accountName{}) || sc.accept("CREATE", "DEFINER") {
		return create
	}
	return definedText(create, a)
}
