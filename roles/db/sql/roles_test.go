package sql

import (
	"context"
	"slices"
	"strings"
	"testing"

	"stack/roles/db/direct"
	"stack/roles/db/wire"
)

// step is a statement of a client: its rows, or the error that it gets.
type step struct {
	who   string
	query string
	fails uint16
	rows  []string
}

// play runs steps as sessions that stay connected throughout.
func (s *server) play(clients map[string]*client, steps ...step) {
	s.t.Helper()
	for _, st := range steps {
		c := clients[st.who]
		switch {
		case st.fails != 0:
			c.fails(st.fails, st.query)
		case st.rows != nil:
			c.want(st.query, st.rows...)
		default:
			c.must(st.query)
		}
	}
}

// What roles that are granted to roles may is followed at any depth, by the planner and
// without it, and what is taken away is gone for sessions that are connected.
func TestRolesOfRoles(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 10)",
		"CREATE ROLE reader, writer, staff", "CREATE USER u IDENTIFIED BY 'x'", "GRANT EXECUTE ON test.* TO u",
		"GRANT SELECT ON test.t TO reader", "GRANT UPDATE ON test.* TO writer",
		"GRANT reader TO writer", "GRANT writer TO staff")
	for _, on := range []string{"1", "0"} {
		u := s.login("u", "%", "test")
		u.must("SET direct = " + on)
		for _, c := range []string{"select", "update"} {
			query := map[string]string{"select": "SELECT v FROM t WHERE id = 1", "update": "UPDATE t SET v = 10 WHERE id = 1"}[c]
			s.play(map[string]*client{"u": u, "root": root},
				step{who: "u", query: query, fails: 1142},
				step{who: "root", query: "GRANT staff TO u"},
				step{who: "u", query: query},
				step{who: "u", query: query},
				step{who: "root", query: "REVOKE writer FROM staff"},
				step{who: "u", query: query, fails: 1142},
				step{who: "root", query: "GRANT writer TO staff"},
				step{who: "u", query: query},
				step{who: "root", query: "REVOKE staff FROM u"},
				step{who: "u", query: query, fails: 1142},
				step{who: "root", query: "GRANT staff TO u"},
				step{who: "u", query: query},
				step{who: "root", query: "DROP ROLE staff"},
				step{who: "u", query: query, fails: 1142},
				step{who: "root", query: "CREATE ROLE staff"},
				step{who: "root", query: "GRANT writer TO staff"},
			)
		}
	}
	// A privilege of the innermost role too.
	u := s.login("u", "%", "test")
	s.play(map[string]*client{"u": u, "root": root},
		step{who: "root", query: "GRANT staff TO u"},
		step{who: "u", query: "SELECT v FROM t WHERE id = 1", rows: []string{"10"}},
		step{who: "root", query: "REVOKE SELECT ON test.t FROM reader"},
		step{who: "u", query: "SELECT v FROM t WHERE id = 1", fails: 1142},
		step{who: "root", query: "GRANT SELECT ON test.t TO reader"},
		step{who: "u", query: "SELECT v FROM t WHERE id = 1", rows: []string{"10"}},
	)
	s.restart()
	s.login("u", "%", "test").want("SELECT v FROM t WHERE id = 1", "10")
}

// The statement above does without the planner where it may: else the test says nothing of
// that path.
func TestRolesWithoutThePlanner(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "CREATE ROLE inner_role, outer_role", "CREATE USER u", "GRANT EXECUTE ON test.* TO u",
		"GRANT SELECT ON test.t TO inner_role", "GRANT inner_role TO outer_role", "GRANT outer_role TO u")
	u := s.login("u", "%", "test")
	u.want("SELECT id FROM t WHERE id = 1", "1")
	before := s.engine.stats.direct[direct.None].Load()
	u.want("SELECT id FROM t WHERE id = 1", "1")
	if s.engine.stats.direct[direct.None].Load() != before+1 {
		t.Error("the planner ran the statement")
	}
	// Of two sessions of one account the other has its role still.
	other := s.login("u", "%", "test")
	other.must("SET ROLE NONE")
	other.fails(1142, "SELECT id FROM t WHERE id = 1")
	u.want("SELECT id FROM t WHERE id = 1", "1")
}

func TestRolesAreNoAccountsAndMakeNoCircle(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE ROLE a, b, c", "CREATE USER u", "GRANT a TO b", "GRANT b TO c")
	root.fails(4027, "GRANT c TO a", "would create a loop")
	root.fails(4027, "GRANT a TO a")
	root.fails(3523, "GRANT nosuch TO u", "Unknown authorization ID `nosuch`@`%`")
	root.fails(3523, "GRANT a TO nosuch")
	root.fails(3523, "REVOKE nosuch FROM u")
	root.fails(3523, "REVOKE a FROM nosuch")
	root.must("REVOKE IF EXISTS nosuch FROM u", "REVOKE a FROM nosuch IGNORE UNKNOWN USER")
	root.fails(1396, "CREATE ROLE a")
	root.fails(1396, "DROP ROLE nosuch")
	list, err := s.engine.Accounts(context.Background(), "a")
	if err != nil || slices.ContainsFunc(list, func(a wire.Account) bool { return !a.Locked }) {
		t.Errorf("a role can log in: %+v %v", list, err)
	}
	// Nobody gives roles that are not his to give.
	u := s.login("u", "%", "")
	u.fails(1142, "GRANT a TO u")
	u.fails(1142, "CREATE ROLE d")
	root.must("GRANT a TO u WITH ADMIN OPTION", "CREATE USER other")
	u.must("GRANT a TO other")
}

func TestSetRole(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE own (id INT PRIMARY KEY)", "CREATE ROLE r, w, granted, 'site'@'10.%'", "CREATE USER u",
		"GRANT SELECT ON test.own TO u", "GRANT SELECT ON test.* TO r", "GRANT INSERT ON test.* TO w", "GRANT r, w TO u", "GRANT granted TO w",
		"CREATE FUNCTION seen() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM t)",
		"CREATE DEFINER = u@'%' FUNCTION by_u() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM t)", "GRANT EXECUTE ON test.* TO u")
	u := s.login("u", "%", "test")
	u.want("SELECT CURRENT_ROLE(), @@activate_all_roles_on_login", "`r`@`%`,`w`@`%`|1")
	s.play(map[string]*client{"u": u, "root": root},
		step{who: "u", query: "INSERT INTO t SELECT 1 + COUNT(*) FROM t"},
		step{who: "u", query: "SET ROLE r"},
		step{who: "u", query: "SELECT CURRENT_ROLE()", rows: []string{"`r`@`%`"}},
		step{who: "u", query: "SELECT COUNT(*) FROM t", rows: []string{"1"}},
		step{who: "u", query: "INSERT INTO t VALUES (9)", fails: 1142},
		step{who: "u", query: "SET ROLE ALL EXCEPT 'r'@'%'"},
		step{who: "u", query: "SELECT CURRENT_ROLE()", rows: []string{"`w`@`%`"}},
		step{who: "u", query: "INSERT INTO t VALUES (9)"},
		step{who: "u", query: "SELECT COUNT(*) FROM t", fails: 1142},
		step{who: "u", query: "SELECT COUNT(*) FROM own", rows: []string{"0"}},
		step{who: "u", query: "SET ROLE NONE"},
		step{who: "u", query: "SELECT CURRENT_ROLE()", rows: []string{"NONE"}},
		step{who: "u", query: "INSERT INTO t VALUES (10)", fails: 1142},
		step{who: "u", query: "SELECT seen(), by_u()", rows: []string{"2|2"}}, // definers have their roles
		step{who: "u", query: "SET ROLE granted", fails: 3530},
		step{who: "u", query: "SET ROLE nosuch", fails: 3530},
		step{who: "u", query: "SET ROLE r,", fails: 1064},
		step{who: "u", query: "SELECT CURRENT_ROLE()", rows: []string{"NONE"}},
		step{who: "u", query: "SET ROLE DEFAULT"},
		step{who: "u", query: "INSERT INTO t SELECT 10 FROM t LIMIT 1"},
		step{who: "u", query: "SET ROLE r, w"},
		step{who: "u", query: "SET ROLE ALL"},
		step{who: "u", query: "INSERT INTO t SELECT 11 FROM t LIMIT 1"},
		step{who: "u", query: "SET DEFAULT ROLE ALL TO u"},
		step{who: "u", query: "SET DEFAULT ROLE r, w TO u"},
		step{who: "root", query: "SET DEFAULT ROLE ALL TO u, root"},
		step{who: "u", query: "SET DEFAULT ROLE r TO u", fails: 1235},
		step{who: "u", query: "SET DEFAULT ROLE NONE TO u", fails: 1235},
		step{who: "u", query: "SET DEFAULT ROLE ALL TO root", fails: 1227},
		step{who: "u", query: "SET DEFAULT ROLE granted TO u", fails: 3530},
	)
	root.fails(3523, "SET DEFAULT ROLE ALL TO nosuch")
	defer root.run("SET GLOBAL activate_all_roles_on_login = ON") // it is the process's
	root.must("SET GLOBAL activate_all_roles_on_login = OFF")
	idle := s.login("u", "%", "test")
	s.play(map[string]*client{"u": u, "idle": idle},
		step{who: "idle", query: "SELECT CURRENT_ROLE()", rows: []string{"NONE"}},
		step{who: "idle", query: "INSERT INTO t VALUES (12)", fails: 1142},
		step{who: "u", query: "INSERT INTO t VALUES (12)"},
		step{who: "idle", query: "SET ROLE w"},
		step{who: "idle", query: "INSERT INTO t VALUES (13)"},
		step{who: "idle", query: "SET ROLE DEFAULT"},
		step{who: "idle", query: "INSERT INTO t VALUES (14)", fails: 1142},
		step{who: "idle", query: "SET DEFAULT ROLE NONE TO u"},
		step{who: "idle", query: "SET DEFAULT ROLE ALL TO u", fails: 1235},
	)
	root.must("SET GLOBAL activate_all_roles_on_login = ON")
	root.want("SELECT CURRENT_ROLE()", "NONE")
	// By the binary protocol, twice.
	st, err := u.Prepare(ctxBackground, "SET ROLE DEFAULT")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		u.must("SET ROLE NONE")
		if err := st.(*statement).execute(ctxBackground, nil, &collected{}); err != nil {
			t.Fatal(err)
		}
		u.want("SELECT CURRENT_ROLE()", "`r`@`%`,`w`@`%`")
	}
	// A role that is chosen and taken away is gone.
	u.must("SET ROLE r")
	root.must("REVOKE r FROM u")
	u.fails(1142, "SELECT COUNT(*) FROM t")
	u.want("SELECT CURRENT_ROLE()", "NONE")
}

func TestShowGrantsUsing(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE ROLE r, w", "CREATE USER u", "CREATE USER other",
		"GRANT SELECT ON test.t TO u", "GRANT INSERT ON test.t TO r", "GRANT CREATE USER ON *.* TO r", "GRANT DELETE ON test.* TO w", "GRANT w TO r", "GRANT r TO u")
	u := s.login("u", "%", "test")
	plain := []string{"GRANT USAGE ON *.* TO `u`@`%`", "GRANT SELECT ON `test`.`t` TO `u`@`%`", "GRANT `r`@`%` TO `u`@`%`"}
	using := []string{"GRANT CREATE USER ON *.* TO `u`@`%`", "GRANT DELETE ON `test`.* TO `u`@`%`", "GRANT SELECT, INSERT ON `test`.`t` TO `u`@`%`", "GRANT `r`@`%` TO `u`@`%`"}
	u.want("SHOW GRANTS", plain...)
	for _, c := range []*client{u, root} {
		c.want("SHOW GRANTS FOR u", plain...)
		c.want("SHOW GRANTS FOR u USING r", using...)
		c.fails(3530, "SHOW GRANTS FOR u USING w")
	}
	root.fails(1141, "SHOW GRANTS FOR nosuch USING r")
	s.login("other", "%", "").fails(1044, "SHOW GRANTS FOR u USING r")
	if rows := root.must("SHOW GRANTS FOR r").rows; !strings.Contains(strings.Join(rows, "\n"), "GRANT `w`@`%` TO `r`@`%`") {
		t.Errorf("the grants of a role: %q", rows)
	}
}
