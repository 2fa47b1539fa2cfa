package sql

import (
	"context"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// viewAccess says by whose privileges the tables that a view reads and the functions that it
// calls are checked. It hangs on them as AuthInformation.Extra.
type viewAccess struct {
	view    string      // the outermost one, database.name: errors name it
	definer *accountKey // nil: whoever the statement runs as
}

// viewsRead is what is known of the views of the running statement while the planner reads it.
type viewsRead struct {
	found   foundView
	checked *viewAccess // of the table that was checked last; nil: it is not in a view
	// function is that of a view which the planner looks up next, database.name, and called for
	// whom it is.
	function string
	called   *viewAccess
}

// viewFunction is the AuthType of calls of stored functions in views.
const viewFunction = "STACK_VIEW_FUNCTION"

// foundView is a view that the planner has asked for: it parses the text next, if it is to be
// read.
type foundView struct {
	database, name, text string
	within               *viewAccess // of the view that reads this one
}

// noteView is told of a view that the planner has asked for.
func (s *Session) noteView(database string, v gms.ViewDefinition) {
	s.views.found = foundView{database, v.Name, v.CreateViewStatement, s.views.checked}
}

// checkedAsDefined marks the tables of a view that the planner reads: with SQL SECURITY DEFINER
// they are checked for its definer, else for whom the view itself was checked for. The planner
// would check them for the caller, and names without a database in the caller's.
func checkedAsDefined(ctx context.Context, query string, st sqlparser.Statement) {
	gctx, ok := ctx.(*gms.Context)
	if !ok {
		return
	}
	s, err := sessionOf(gctx)
	if err != nil {
		return
	}
	v := s.views.found
	s.views.found = foundView{}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.ViewSpec == nil || v.name == "" || v.text != query {
		return
	}
	access := &viewAccess{view: v.database + "." + v.name}
	if v.within != nil {
		*access = *v.within
	}
	if definer, ok := definerOf(ddl.ViewSpec); ok && !strings.EqualFold(ddl.ViewSpec.Security, "invoker") {
		access.definer = &definer
	}
	ddl.Auth = sqlparser.AuthInformation{AuthType: sqlparser.AuthType_IGNORE, TargetType: sqlparser.AuthTargetType_Ignore}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.AliasedTableExpr:
			n.Auth.Extra = access
			if names := n.Auth.TargetNames; n.Auth.TargetType == sqlparser.AuthTargetType_SingleTableIdentifier && names[0] == "" {
				n.Auth.TargetNames = []string{v.database, names[1]}
			}
		case *sqlparser.FuncExpr:
			s.markFunction(n, v.database, access)
		}
		return true, nil
	}, ddl.ViewSpec.ViewExpr)
}

// markFunction marks the call of a stored function, which is looked for in the database of its
// view.
func (s *Session) markFunction(f *sqlparser.FuncExpr, database string, access *viewAccess) {
	if builtIn[f.Name.Lowered()] {
		return
	}
	if q := f.Qualifier.String(); q != "" {
		database = q
	}
	if findObject(s.catalog(), objectFunction, database, f.Name.String()) == nil {
		return
	}
	f.Qualifier = sqlparser.NewTableIdent(database)
	f.Auth = sqlparser.AuthInformation{AuthType: viewFunction, Extra: access, TargetNames: []string{strings.ToLower(database + "." + f.Name.String())}}
}

// calledInView is for whom the function that the planner looks up is called, nil where that
// is not a view's definer.
func (s *Session) calledInView(database, name string) *accountKey {
	access, of := s.views.called, s.views.function
	s.views.called, s.views.function = nil, ""
	if access == nil || of != strings.ToLower(database+"."+name) {
		return nil
	}
	return access.definer
}

// definerOf is the account that a view's text names as its definer, false where it names none.
func definerOf(v *sqlparser.ViewSpec) (accountKey, bool) {
	if v.Definer == "" {
		return accountKey{}, false
	}
	a, err := (&scanner{text: v.Definer}).accountName()
	return a, err == nil
}

// checkInView checks a table that a view reads, and notes a function that it calls.
func (a authorization) checkInView(ctx *gms.Context, state gms.AuthorizationQueryState, access *viewAccess, auth sqlparser.AuthInformation) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if auth.AuthType == viewFunction {
		s.views.function, s.views.called = auth.TargetNames[0], access
		return nil
	}
	s.views.checked = access
	err = s.asDefiner(ctx, access.definer, func() error {
		if access.definer != nil {
			state = a.NewQueryState(ctx)
		}
		return a.AuthorizationHandler.HandleAuth(ctx, state, auth)
	})
	if gms.ErrPrivilegeCheckFailed.Is(err) || gms.ErrTableAccessDeniedForUser.Is(err) || gms.ErrDatabaseAccessDeniedForUser.Is(err) {
		return mysqlError(1356, "View '%s' references invalid table(s) or column(s) or function(s) or definer/invoker of view lack rights to use them", access.view)
	}
	return err
}

// asDefiner runs do with the privileges of a view's definer; nil leaves those that count. Where
// the definer is not there an administrator, who may read all tables anyway, goes on: the
// accounts of a server that is followed may be missing here. What a log says was checked where it
// was written.
func (s *Session) asDefiner(ctx *gms.Context, d *accountKey, do func() error) error {
	if d == nil || s.replay != nil {
		return do()
	}
	if !s.engine.HasAccount(d.User, d.Host) {
		if s.administrator(ctx) {
			return do()
		}
		return mysqlError(1449, "The user specified as a definer ('%s'@'%s') does not exist", d.User, d.Host)
	}
	defer s.become(*d)()
	return do()
}

// withDefiner is the text of CREATE VIEW with the definer that it does not name.
func (s *Session) withDefiner(ctx *gms.Context, create string) (string, error) {
	st, err := parseText(create, gms.LoadSqlMode(ctx).ParserOptions())
	if err != nil {
		return "", err
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.ViewSpec == nil || ddl.ViewSpec.Definer != "" {
		return create, nil
	}
	definer := writtenAs(s.runsAs())
	if by, ok := s.running.st.(*sqlparser.DDL); ok && by.ViewSpec != nil && by.ViewSpec.Definer != "" {
		definer = by.ViewSpec.Definer // whom the log says to have run it
	}
	if definer == writtenAs(accountKey{User: systemUser, Host: "localhost"}) {
		return create, nil // nobody's: it is checked for its reader, rather than for no one
	}
	sc := &scanner{text: create}
	if !sc.accept("CREATE") {
		return create, nil
	}
	sc.accept("OR", "REPLACE")
	if sc.accept("ALGORITHM", "=") {
		sc.next()
	}
	return create[:sc.pos] + " DEFINER=" + definer + create[sc.pos:], nil
}
