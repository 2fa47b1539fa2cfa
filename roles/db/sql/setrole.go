package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// activateRoles is the variable that makes every granted role active in a session that begins.
// Where it is off none is.
const activateRoles = "activate_all_roles_on_login"

// roleChoice is what SET ROLE has chosen: of the granted roles those in list, or all but
// those. nil is every granted role.
type roleChoice struct {
	list   []accountKey
	except bool
}

// of are the active ones of the roles that are granted.
func (c *roleChoice) of(granted []accountKey) []accountKey {
	if c == nil {
		return granted
	}
	var active []accountKey
	for _, r := range granted {
		if slices.Contains(c.list, r) != c.except {
			active = append(active, r)
		}
	}
	return active
}

// key tells choices apart.
func (c *roleChoice) key() string {
	if c == nil {
		return ""
	}
	words := []string{"only"}
	if c.except {
		words[0] = "except"
	}
	for _, r := range c.list {
		words = append(words, writtenAs(r))
	}
	return strings.Join(words, ",")
}

// startingRoles are what a session begins with, and what a definer has.
func startingRoles() *roleChoice {
	if _, v, _ := gms.SystemVariables.GetGlobal(activateRoles); isOn(v) {
		return nil
	}
	return &roleChoice{}
}

// chosenRoles is the choice that holds where the session runs: SET ROLE chooses nothing for a
// definer, be it the client's own account.
func (s *Session) chosenRoles() *roleChoice {
	if s.forDefiner {
		return startingRoles()
	}
	return s.roles
}

func (s *Session) chooseRoles(c *roleChoice) {
	s.roles = c
	s.settings.key = ""
	s.BaseSession.SetPrivilegeSet(nil, 0)
}

// roleWords are the words of SET ROLE and SET DEFAULT ROLE that stand for roles.
const (
	roleAll     = "ALL"
	roleNone    = "NONE"
	roleDefault = "DEFAULT"
)

// parseSetRole is SET ROLE, which chooses the active ones of the granted roles.
func parseSetRole(_ *Session, sc *scanner) (*ownStatement, error) {
	word := sc.peek()
	if word == "=" || word == ":" {
		return nil, nil // a variable of this name
	}
	choice := &roleChoice{}
	var err error
	switch word {
	case roleAll:
		sc.next()
		choice.except = true
		if sc.accept("EXCEPT") {
			choice.list, err = sc.accountNames()
		}
	case roleNone, roleDefault:
		sc.next()
	default:
		choice.list, err = sc.accountNames()
	}
	if err == nil {
		err = sc.end()
	}
	if err != nil {
		return nil, err
	}
	return own(kindOther, nil, func(_ *gms.Context, s *Session, out sink) error {
		own := accountKey{User: s.client.Account.User, Host: s.client.Account.Host}
		if err := s.needGranted(own, choice.list); err != nil {
			return err
		}
		if word == roleDefault {
			s.chooseRoles(startingRoles())
		} else {
			s.chooseRoles(choice)
		}
		out.OK(0, 0, "")
		return nil
	}), nil
}

// parseSetDefaultRole is SET DEFAULT ROLE. The variable says which roles are active from the
// start: it is answered where it asks for those.
func parseSetDefaultRole(_ *Session, sc *scanner) (*ownStatement, error) {
	word := sc.peek()
	var roles, to []accountKey
	var err error
	if word == roleAll || word == roleNone {
		sc.next()
	} else if roles, err = sc.accountNames(); err != nil {
		return nil, err
	}
	if !sc.accept("TO") {
		return nil, sc.unexpected()
	}
	if to, err = sc.accountNames(); err == nil {
		err = sc.end()
	}
	if err != nil {
		return nil, err
	}
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		if err := s.defaultRoles(ctx, word, roles, to); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	}), nil
}

// defaultRoles refuses what would make other roles active in new sessions than the variable.
func (s *Session) defaultRoles(ctx *gms.Context, word string, roles, to []accountKey) error {
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	rd := s.engine.accounts.kept()
	defer rd.Close()
	for _, account := range to {
		if account != s.runsAs() && !set.Has(gms.PrivilegeType_CreateUser) && !set.Has(gms.PrivilegeType_Super) {
			return mysqlError(1227, "Access denied; you need (at least one of) the CREATE USER privilege(s) for this operation")
		}
		if _, ok := rd.GetUser(account); !ok {
			return gms.ErrGrantRevokeRoleDoesNotExist.New(writtenAs(account))
		}
		if err := s.needGranted(account, roles); err != nil {
			return err
		}
		granted := grantedRoles(rd, account)
		starting := startingRoles().of(granted)
		differs := func(r accountKey) bool {
			return (word == roleAll || slices.Contains(roles, r)) != slices.Contains(starting, r)
		}
		if slices.ContainsFunc(granted, differs) {
			return notAvailable("default roles of " + writtenAs(account) + " other than what " + activateRoles + " makes active (all or none: SET ROLE in the session)")
		}
	}
	return nil
}

// needGranted makes sure that the account has been granted the roles themselves.
func (s *Session) needGranted(account accountKey, roles []accountKey) error {
	rd := s.engine.accounts.kept()
	defer rd.Close()
	granted := grantedRoles(rd, account)
	for _, r := range roles {
		if !slices.Contains(granted, r) {
			return mysqlError(3530, "%s is not granted to %s", writtenAs(r), writtenAs(account))
		}
	}
	return nil
}

// accountNames reads names of accounts separated by commas.
func (s *scanner) accountNames() ([]accountKey, error) {
	var list []accountKey
	for {
		a, err := s.accountName()
		if err != nil {
			return nil, err
		}
		list = append(list, a)
		if !s.accept(",") {
			return list, nil
		}
	}
}

// accountName reads one as 'user'@'host'; without a host it is that of every host.
func (s *scanner) accountName() (accountKey, error) {
	user, ok := s.accountPart()
	if !ok {
		return accountKey{}, s.unexpected()
	}
	a := accountKey{User: user, Host: "%"}
	if !s.accept("@") {
		return a, nil
	}
	host, ok := s.accountPart()
	if !ok {
		return accountKey{}, s.unexpected()
	}
	if host != "" {
		a.Host = host
	}
	return a, nil
}

func (s *scanner) accountPart() (string, bool) {
	token := s.next()
	if strings.HasPrefix(token, "'") && len(token) > 1 {
		return strings.ReplaceAll(token[1:len(token)-1], "''", "'"), true
	}
	return plainName(token), nameToken(token)
}

func init() {
	addFunction("current_role", 0, always(types.LongText), func(ctx *gms.Context, _ *ownFunction, _ []any) (any, error) {
		s, err := sessionOf(ctx)
		if err != nil {
			return nil, err
		}
		rd := s.engine.accounts.kept()
		defer rd.Close()
		var names []string
		for _, r := range s.chosenRoles().of(grantedRoles(rd, s.runsAs())) {
			names = append(names, writtenAs(r))
		}
		if len(names) == 0 {
			return roleNone, nil
		}
		return strings.Join(names, ","), nil
	})
}
