package sql

import (
	"fmt"
	"strings"
	"testing"
)

// answered is what a client is told: the rows, or the number of the error.
func (c *client) answered(query string) string {
	out, err := c.run(query)
	if err != nil {
		return fmt.Sprint(codeOf(err))
	}
	return strings.Join(out.rows, " ")
}

// Roles, and views, routines and triggers whose definer may do less than who uses them, arrive on a replica, and on a
// replica of that, and allow and refuse there what they do on the primary; sessions that are open see each change.
func TestPrivilegesOnReplicas(t *testing.T) {
	a := newServer(t)
	root := a.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 10)", "CREATE TABLE hidden (v INT)", "INSERT INTO hidden VALUES (7)", "CREATE TABLE fired (id INT PRIMARY KEY)",
		"CREATE ROLE reader, staff", "CREATE USER u, weak, strong", "GRANT ALL ON test.* TO strong", "GRANT SELECT ON test.t TO weak", "GRANT TRIGGER ON test.fired TO weak", "GRANT EXECUTE ON test.* TO weak",
		"GRANT SELECT ON test.t TO reader", "GRANT reader TO staff", "GRANT staff TO u",
		"CREATE DEFINER = weak@'%' VIEW opens AS SELECT v FROM t", "CREATE DEFINER = weak@'%' VIEW closed AS SELECT v FROM hidden",
		"CREATE DEFINER = weak@'%' SQL SECURITY INVOKER VIEW asks AS SELECT v FROM hidden",
		"CREATE DEFINER = weak@'%' PROCEDURE shows() SELECT v FROM t", "CREATE DEFINER = weak@'%' PROCEDURE peeks() SELECT v FROM hidden",
		"CREATE DEFINER = weak@'%' PROCEDURE invokes() SQL SECURITY INVOKER SELECT v FROM hidden",
		"CREATE DEFINER = weak@'%' FUNCTION counts() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM hidden)",
		"CREATE DEFINER = weak@'%' FUNCTION asked() RETURNS INT READS SQL DATA SQL SECURITY INVOKER RETURN (SELECT COUNT(*) FROM hidden)",
		"CREATE DEFINER = weak@'%' TRIGGER fires BEFORE INSERT ON fired FOR EACH ROW INSERT INTO hidden VALUES (NEW.id)")
	root.must("GRANT CREATE VIEW ON test.* TO weak")
	a.login("weak", "%", "test").must("CREATE VIEW mine AS SELECT v FROM t")
	servers := []*server{a, blankServer(t, nil), blankServer(t, nil)}
	follow := func() {
		t.Helper()
		for i, s := range servers[1:] {
			s.mustFollow(servers[i])
			s.sameAs(a)
		}
	}
	follow()
	var sessions []map[string]*client
	for _, s := range servers {
		sessions = append(sessions, map[string]*client{"u": s.login("u", "%", "test"), "strong": s.login("strong", "%", "test"), "weak": s.login("weak", "%", "test"), "root": s.test()})
	}
	// want is what the clients are told on all servers.
	want := func(steps ...[3]string) {
		t.Helper()
		follow()
		for i := range servers {
			for _, step := range steps {
				if got := sessions[i][step[0]].answered(step[1]); got != step[2] {
					t.Errorf("server %d, %s: %s\n got: %s\nwant: %s", i, step[0], step[1], got, step[2])
				}
			}
		}
	}
	want([3]string{"u", "SELECT CURRENT_ROLE()", "`staff`@`%`"}, [3]string{"u", "SELECT id FROM t", "1"}, [3]string{"u", "SELECT v FROM hidden", "1142"}, [3]string{"u", "SELECT v FROM opens", "1142"},
		[3]string{"strong", "SELECT v FROM opens", "10"}, [3]string{"strong", "SELECT v FROM mine", "10"}, [3]string{"strong", "SELECT v FROM closed", "1356"}, [3]string{"root", "SELECT v FROM closed", "1356"},
		[3]string{"strong", "SELECT v FROM asks", "7"}, [3]string{"weak", "SELECT v FROM asks", "1142"},
		[3]string{"strong", "CALL shows()", "10 --"}, [3]string{"strong", "CALL peeks()", "1142"}, [3]string{"root", "CALL peeks()", "1142"},
		[3]string{"strong", "CALL invokes()", "7 --"}, [3]string{"weak", "CALL invokes()", "1142"},
		[3]string{"strong", "SELECT counts()", "1142"}, [3]string{"strong", "SELECT asked()", "1"}, [3]string{"weak", "SELECT asked()", "1142"},
		[3]string{"strong", "INSERT INTO fired VALUES (1)", "1142"}, [3]string{"root", "INSERT INTO fired VALUES (1)", "1142"})
	root.must("GRANT SELECT, INSERT ON test.hidden TO staff", "GRANT staff TO weak", "GRANT SELECT ON test.opens TO reader", "REVOKE SELECT ON test.t FROM weak")
	want([3]string{"u", "SELECT v FROM opens", "10"}, [3]string{"u", "SELECT v FROM hidden", "7"}, [3]string{"strong", "SELECT v FROM closed", "7"},
		[3]string{"strong", "CALL peeks()", "7 --"}, [3]string{"strong", "CALL shows()", "10 --"}, [3]string{"strong", "SELECT counts()", "1"},
		[3]string{"strong", "BEGIN", ""}, [3]string{"strong", "INSERT INTO fired VALUES (1)", ""}, [3]string{"strong", "SELECT COUNT(*) FROM hidden", "2"}, [3]string{"strong", "ROLLBACK", ""})
	root.must("REVOKE reader FROM staff")
	want([3]string{"u", "SELECT id FROM t", "1142"}, [3]string{"u", "SELECT v FROM opens", "1142"}, [3]string{"u", "SELECT v FROM hidden", "7"},
		[3]string{"strong", "SELECT v FROM opens", "1356"}, [3]string{"strong", "SELECT v FROM mine", "1356"}, [3]string{"strong", "CALL shows()", "1142"})
	root.must("DROP ROLE staff", "GRANT reader TO u")
	want([3]string{"u", "SELECT id FROM t", "1"}, [3]string{"u", "SELECT v FROM hidden", "1142"}, [3]string{"strong", "SELECT v FROM closed", "1356"}, [3]string{"strong", "SELECT counts()", "1142"})
	root.must("DROP USER weak")
	want([3]string{"strong", "SELECT v FROM opens", "1449"}, [3]string{"strong", "CALL shows()", "1449"}, [3]string{"strong", "SELECT counts()", "1449"},
		[3]string{"strong", "INSERT INTO fired VALUES (1)", "1449"}, [3]string{"strong", "CALL invokes()", "7 --"})
}
