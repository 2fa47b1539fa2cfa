package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// grantsUsing is SHOW GRANTS … USING: the planner leaves out the roles.
func grantsUsing(st sqlparser.Statement) *ownStatement {
	show, ok := st.(*sqlparser.ShowGrants)
	if !ok || len(show.Using) == 0 {
		return nil
	}
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		return s.showGrantsUsing(ctx, show, out)
	})
}

// showGrantsUsing answers SHOW GRANTS FOR account USING roles: the planner writes the grants
// of an account that has as its own what the roles give it.
func (s *Session) showGrantsUsing(ctx *gms.Context, show *sqlparser.ShowGrants, out sink) error {
	account := accountOf(*show.For)
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	if account != s.runsAs() && !set.Has(gms.PrivilegeType_Select) && !set.Database("mysql").Has(gms.PrivilegeType_Select) {
		return mysqlError(1044, "Access denied for user '%s'@'%s' to database 'mysql'", s.client.Account.User, s.client.Account.Host)
	}
	rd := s.engine.accounts.kept()
	defer rd.Close()
	user, ok := rd.GetUser(account)
	if !ok {
		return mysqlError(1141, "There is no such grant defined for user '%s' on host '%s'", account.User, account.Host)
	}
	var roles []accountKey
	for _, name := range show.Using {
		roles = append(roles, accountOf(name))
	}
	if err := s.needGranted(account, roles); err != nil {
		return err
	}
	with := *user
	with.PrivilegeSet = user.PrivilegeSet.Copy()
	addRoles(rd, with.PrivilegeSet, roles)
	node := &plan.ShowGrants{
		MySQLDb: accountAlone(&with, rd.GetToUserRoleEdges(mysql_db.RoleEdgesToKey{ToHost: account.Host, ToUser: account.User})),
		For:     &plan.UserName{Name: account.User, Host: account.Host},
	}
	iter, err := s.engine.gms.Analyzer.ExecBuilder.Build(ctx, node, nil)
	if err != nil {
		return err
	}
	defer iter.Close(ctx)
	var rows []gms.Row
	for {
		row, err := iter.Next(ctx)
		if errors.Is(err, io.EOF) {
			return reply(ctx, out, node.Schema(ctx), rows...)
		}
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
}

// accountAlone are accounts with this one, which has been granted roles.
func accountAlone(user *mysql_db.User, granted []*mysql_db.RoleEdge) *mysql_db.MySQLDb {
	db := mysql_db.CreateEmptyMySQLDb()
	ed := db.Editor()
	defer ed.Close()
	ed.PutUser(user)
	for _, edge := range granted {
		ed.PutRoleEdge(edge)
	}
	return db
}
