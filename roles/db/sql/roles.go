package sql

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// accountKey names an account or a role.
type accountKey = mysql_db.UserPrimaryKey

// keep makes the accounts that the bytes describe those that kept returns.
func (a *accounts) keep(data []byte) error {
	db := mysql_db.CreateEmptyMySQLDb()
	ed := db.Editor()
	defer ed.Close()
	if err := db.OverwriteUsersAndGrantData(gms.NewEmptyContext(), ed, data); err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	a.copied.Store(db)
	return nil
}

// kept are the accounts as they were last stored or read back. The copy never changes, so
// that it can be read while the planner holds the lock of its own.
func (a *accounts) kept() *mysql_db.Reader {
	if db := a.copied.Load(); db != nil {
		return db.Reader()
	}
	return mysql_db.CreateEmptyMySQLDb().Reader()
}

// grantedRoles are the roles that the account has been granted itself, in order.
func grantedRoles(rd *mysql_db.Reader, account accountKey) []accountKey {
	var list []accountKey
	for _, edge := range rd.GetToUserRoleEdges(mysql_db.RoleEdgesToKey{ToHost: account.Host, ToUser: account.User}) {
		list = append(list, accountKey{User: edge.FromUser, Host: edge.FromHost})
	}
	slices.SortFunc(list, func(x, y accountKey) int {
		return cmp.Or(strings.Compare(x.User, y.User), strings.Compare(x.Host, y.Host))
	})
	return list
}

// inheritedRoles are the roles and those granted to them, at any depth, each once.
func inheritedRoles(rd *mysql_db.Reader, roles []accountKey) []accountKey {
	all := slices.Clone(roles)
	for at := 0; at < len(all); at++ {
		for _, r := range grantedRoles(rd, all[at]) {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

// addRoles adds to a set what the roles may, and what they inherit.
func addRoles(rd *mysql_db.Reader, set mysql_db.PrivilegeSet, roles []accountKey) {
	for _, r := range inheritedRoles(rd, roles) {
		if role, ok := rd.GetUser(r); ok {
			set.UnionWith(role.PrivilegeSet)
		}
	}
}

// completePrivileges makes of the privileges that the planner has found for an account those
// that it has: the planner adds every role that it is granted, active or not, and none that
// those are granted.
func (a *accounts) completePrivileges(set mysql_db.PrivilegeSet, account accountKey, choice *roleChoice) {
	rd := a.kept()
	defer rd.Close()
	granted := grantedRoles(rd, account)
	if len(granted) == 0 {
		return
	}
	active := choice.of(granted)
	if user, ok := rd.GetUser(account); ok && len(active) < len(granted) {
		clearPrivileges(set)
		set.UnionWith(user.PrivilegeSet)
	}
	addRoles(rd, set, active)
}

// clearPrivileges empties the very set, which the planner holds too.
func clearPrivileges(set mysql_db.PrivilegeSet) {
	set.RemoveGlobalStatic(set.ToSlice()...)
	for _, name := range append(set.ToSliceDynamic(true), set.ToSliceDynamic(false)...) {
		set.RemoveGlobalDynamic(strings.ToLower(name))
	}
	for _, db := range set.GetDatabases() {
		set.ClearDatabase(db.Name())
	}
}

// SetPrivilegeSet keeps what the session's account may, as the planner has found it out. A set
// of the same age as the last is the planner's own: it lends a privilege while it reads a view.
func (s *Session) SetPrivilegeSet(set gms.PrivilegeSet, age uint64) {
	_, last := s.BaseSession.GetPrivilegeSet()
	if found, ok := set.(mysql_db.PrivilegeSet); ok && last != age {
		s.engine.accounts.completePrivileges(found, s.runsAs(), s.chosenRoles())
	}
	s.BaseSession.SetPrivilegeSet(set, age)
}

// runsAs is the account whose privileges count: a definer's within what it has defined.
func (s *Session) runsAs() accountKey {
	c := s.BaseSession.Client()
	return accountKey{User: c.User, Host: c.Address}
}

// admitRoleGrant refuses a GRANT of roles that would close a circle, or that names what is
// not there: the planner takes names whose pattern of hosts merely matches.
func (s *Session) admitRoleGrant(st *sqlparser.GrantRole) error {
	if s.replay != nil { // it was admitted where the log was written
		return s.needAccounts(st.To)
	}
	if err := s.needKnown(append(slices.Clone(st.Roles), st.To...)); err != nil {
		return err
	}
	rd := s.engine.accounts.kept()
	defer rd.Close()
	for _, role := range st.Roles {
		inherited := inheritedRoles(rd, []accountKey{accountOf(role)})
		for _, to := range st.To {
			if slices.Contains(inherited, accountOf(to)) {
				return mysqlError(4027, "User account %s is directly or indirectly granted to the role %s. The GRANT would create a loop", writtenAs(accountOf(role)), writtenAs(accountOf(to)))
			}
		}
	}
	return nil
}

// admitRoleRevoke refuses a REVOKE of roles that names what is not there.
func (s *Session) admitRoleRevoke(st *sqlparser.RevokeRole) error {
	if s.replay != nil {
		return s.needAccounts(st.From)
	}
	if !st.IfExists {
		if err := s.needKnown(st.Roles); err != nil {
			return err
		}
	}
	if !st.IgnoreUnknownUser {
		return s.needKnown(st.From)
	}
	return nil
}

func (s *Session) needKnown(names []sqlparser.AccountName) error {
	for _, n := range names {
		if !s.hasAccount(n) {
			return gms.ErrGrantRevokeRoleDoesNotExist.New(writtenAs(accountOf(n)))
		}
	}
	return nil
}

func accountOf(n sqlparser.AccountName) accountKey {
	return accountKey{User: n.Name, Host: hostOf(n)}
}

// nameOf writes an account as SQL does.
func writtenAs(a accountKey) string { return QuoteName(a.User) + "@" + QuoteName(a.Host) }
