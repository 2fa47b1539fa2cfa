package sql

import (
	"context"
	gosql "database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Two sessions here and two of MariaDB's get the same answers.
func TestUserLocksAsMariaDB(t *testing.T) {
	db := mariadbServer(t)
	s := newServer(t)
	ours := [2]*client{s.test(), s.test()}
	var theirs [2]*gosql.Conn
	for i := range theirs {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		theirs[i] = conn
	}
	for _, step := range []struct {
		session int
		query   string
	}{
		{0, "SELECT GET_LOCK('a', 0), GET_LOCK('a', 5), GET_LOCK('b', 0.4), GET_LOCK(X'6578', 1)"},
		{1, "SELECT GET_LOCK('a', 0), GET_LOCK('a', 1), GET_LOCK('b', 0), GET_LOCK('ex', 0), GET_LOCK('c', 10)"},
		{1, "SELECT IS_FREE_LOCK('a'), IS_FREE_LOCK('free'), IS_USED_LOCK('a') IS NULL, IS_USED_LOCK('c') = CONNECTION_ID(), IS_USED_LOCK('free')"},
		{0, "SELECT IS_FREE_LOCK('a'), IS_USED_LOCK('a') = CONNECTION_ID(), IS_USED_LOCK('c') = CONNECTION_ID()"},
		{1, "SELECT RELEASE_LOCK('a'), RELEASE_LOCK('free'), RELEASE_LOCK('c'), RELEASE_LOCK('c')"},
		{0, "SELECT RELEASE_LOCK('a'), RELEASE_LOCK('a'), RELEASE_LOCK('a'), RELEASE_LOCK('b')"},
		{1, "SELECT GET_LOCK('a', 0), GET_LOCK('a', 0), GET_LOCK('a ', 0), GET_LOCK('á', 0), GET_LOCK('ä', 0), IS_USED_LOCK('ä') = CONNECTION_ID()"},
		{0, "SELECT IS_FREE_LOCK('a '), IS_FREE_LOCK('a  '), IS_FREE_LOCK('á'), IS_FREE_LOCK('à')"},
		{1, "SELECT RELEASE_ALL_LOCKS(), RELEASE_ALL_LOCKS()"},
		{0, "SELECT RELEASE_ALL_LOCKS(), GET_LOCK(REPEAT('ä', 64), 0), IS_FREE_LOCK(REPEAT('ä', 64))"},
		{1, "SELECT n, GET_LOCK(CONCAT('x', n), 0), GET_LOCK(CONCAT('x', n), 0) FROM (SELECT 1 n UNION SELECT 2) d ORDER BY n"},
		{1, "SELECT RELEASE_ALL_LOCKS()"},
	} {
		want, err := rowsOf(theirs[step.session], step.query)
		if err != nil {
			t.Fatal(step.query, err)
		}
		out, err := ours[step.session].run(step.query)
		if err != nil || !slices.Equal(out.rows, want) {
			t.Errorf("%s\n  ours: %q %v\ntheirs: %q", step.query, out.rows, err, want)
		}
	}
}

// What MySQL 8 does otherwise than MariaDB.
func TestUserLockNames(t *testing.T) {
	s := newServer(t)
	c, other := s.test(), s.test()
	for _, name := range []string{"NULL", "''", "REPEAT('a', 65)", "x'ff'"} {
		for _, call := range []string{"GET_LOCK(%s, 0)", "RELEASE_LOCK(%s)", "IS_FREE_LOCK(%s)", "IS_USED_LOCK(%s)"} {
			c.fails(3057, "SELECT "+fmt.Sprintf(call, name), "Incorrect user-level lock name '")
		}
	}
	c.fails(3057, "SELECT GET_LOCK(NULL, 0)", "Incorrect user-level lock name 'NULL'.")
	c.fails(1582, "SELECT GET_LOCK('a')")
	c.fails(1582, "SELECT RELEASE_ALL_LOCKS('a')")
	c.want("SELECT GET_LOCK('a', NULL), GET_LOCK('b', -1), GET_LOCK('c', 18446744073709551615)", "1|1|1")
	other.want("SELECT GET_LOCK('a', NULL), GET_LOCK('a', '0')", "0|0")
	other.want("SELECT GET_LOCK('Ä', 0), GET_LOCK('C', 0), RELEASE_LOCK('A')", "1|0|0")
	c.want("SELECT GET_LOCK('ä', 0), IS_USED_LOCK('B') = CONNECTION_ID(), RELEASE_LOCK('B'), IS_FREE_LOCK('b')", "0|1|1|1")
	c.must("CREATE TABLE t (id INT PRIMARY KEY, name ENUM('one', 'two'))", "INSERT INTO t VALUES (1, 'two')")
	c.want("SELECT GET_LOCK(name, 0), IS_FREE_LOCK('TWO') FROM t", "1|0")
	if _, err := c.run("CREATE TABLE u (id INT, CHECK (GET_LOCK('a', 0) = 1))"); err == nil {
		t.Error("a CHECK takes a lock")
	}
	c.want("SELECT GET_LOCK(12.5, 0), IS_FREE_LOCK('12.5'), GET_LOCK(7, 0), IS_FREE_LOCK('7')", "1|0|1|0")
	c.must("LOCK TABLES t READ")
	c.want("SELECT RELEASE_LOCK('two'), GET_LOCK('two', 1)", "1|1")
	c.must("UNLOCK TABLES")
	other.want("SELECT IS_USED_LOCK('two')", fmt.Sprint(c.ID()))
}

// waitsForUser runs a statement that is expected to wait in GET_LOCK(), and returns when it does.
func (s *server) waitsForUser(t *testing.T, ctx context.Context, c *client, query string) *pendingStatement {
	t.Helper()
	r := &pendingStatement{t: t, s: s, done: make(chan error, 1), out: &collected{}}
	go func() {
		_, err := c.query(ctx, query, false, r.out)
		r.done <- err
	}()
	waitFor(t, func() bool { return c.state.Load() == &waitsForUserLock || len(r.done) > 0 })
	if len(r.done) > 0 {
		t.Fatalf("%s: does not wait: %v %q", query, <-r.done, r.out.rows)
	}
	return r
}

// answers waits for a statement that succeeds, and compares its row.
func (r *pendingStatement) answers(row string) {
	r.t.Helper()
	r.ends(0)
	if got := strings.Join(r.out.rows, "\n"); got != row {
		r.t.Errorf("answered %q, want %q", got, row)
	}
}

func TestWaitForAUserLockEnds(t *testing.T) {
	s := newServer(t)
	holder, c, admin := s.test(), s.test(), s.test()
	admin.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 0)")
	holder.want("SELECT GET_LOCK('x', 0)", "1")

	w := s.waitsForUser(t, t.Context(), c, "SELECT GET_LOCK('x', -1)")
	admin.want(fmt.Sprintf("SELECT state FROM information_schema.processlist WHERE id = %d", c.ID()), "User lock")
	admin.must(fmt.Sprintf("KILL QUERY %d", c.ID()))
	w.ends(1317)

	c.fails(3024, "SELECT /*+ MAX_EXECUTION_TIME(30) */ GET_LOCK('x', 1000)")
	c.want("SELECT GET_LOCK('x', 1)", "0")

	// A client that leaves: the front ends the statement's context, then closes the session.
	c.must("BEGIN", "UPDATE t SET v = 1")
	ctx, leave := context.WithCancel(t.Context())
	w = s.waitsForUser(t, ctx, c, "SELECT GET_LOCK('x', -1)")
	leave()
	w.ends(1317)
	c.Close()
	admin.must("UPDATE t SET v = 2")

	// The lock goes to who waits, in the order of asking, when sessions end; nobody has it then.
	first, second := s.test(), s.test()
	one := s.waitsForUser(t, t.Context(), first, "SELECT GET_LOCK('x', -1)")
	two := s.waitsForUser(t, t.Context(), second, "SELECT GET_LOCK('X', 1000)")
	holder.Close()
	one.answers("1")
	if len(two.done) > 0 {
		t.Error("two have the lock")
	}
	first.Close()
	two.answers("1")
	second.Close()
	admin.want("SELECT IS_FREE_LOCK('x')", "1")
}

func TestDeadlockOfUserLocks(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.want("SELECT GET_LOCK('a', 0)", "1")
	b.want("SELECT GET_LOCK('b', 0)", "1")
	c.want("SELECT GET_LOCK('c', 0)", "1")
	a1 := s.waitsForUser(t, t.Context(), a, "SELECT GET_LOCK('b', -1)")
	b1 := s.waitsForUser(t, t.Context(), b, "SELECT GET_LOCK('c', -1)")
	c.fails(3058, "SELECT GET_LOCK('a', -1)", "Deadlock found when trying to get user-level lock; try rolling back transaction/releasing locks and restarting lock acquisition.")
	c.want("SELECT GET_LOCK('a', 0), RELEASE_ALL_LOCKS()", "0|1")
	b1.answers("1")
	b.want("SELECT RELEASE_ALL_LOCKS()", "2")
	a1.answers("1")
}

// A circle of user-level locks and rows ends where a transaction waits in GET_LOCK(), whoever closes it.
func TestDeadlockOfUserLocksAndRows(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 0)")
	for _, rowFirst := range []bool{true, false} {
		a.must("BEGIN", "UPDATE t SET v = 1")
		b.want("SELECT GET_LOCK('x', 0)", "1")
		c.want("SELECT GET_LOCK('y', 0)", "1")
		behind := s.waitsForUser(t, t.Context(), b, "SELECT GET_LOCK('y', -1)")
		var row, lock *pendingStatement
		if rowFirst {
			row = s.waits(t, c, "UPDATE t SET v = 2")
			lock = s.begin(t, a, "SELECT GET_LOCK('x', -1)")
		} else {
			lock = s.waitsForUser(t, t.Context(), a, "SELECT GET_LOCK('x', -1)")
			row = s.begin(t, c, "UPDATE t SET v = 2")
		}
		lock.ends(3058)
		a.want("SELECT v FROM t", "1") // the statement alone is undone
		a.must("ROLLBACK")
		row.ends(0)
		c.must("DO RELEASE_ALL_LOCKS()")
		behind.answers("1")
		b.must("DO RELEASE_ALL_LOCKS()")
	}
	// A wait that closes no circle goes on.
	a.must("BEGIN", "UPDATE t SET v = 1")
	b.want("SELECT GET_LOCK('x', 0)", "1")
	lock := s.waitsForUser(t, t.Context(), a, "SELECT GET_LOCK('x', -1)")
	select {
	case err := <-lock.done:
		t.Fatal("a wait for a session that waits for nothing ended:", err)
	case <-time.After(3 * circleWait):
	}
	b.Close()
	lock.answers("1")
}

func TestASessionHoldsSoManyUserLocksAtMost(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE d (i INT PRIMARY KEY)", "INSERT INTO d VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
	c.want("SELECT SUM(GET_LOCK(CONCAT('n', w.i, x.i, y.i, z.i), 0)) FROM d w, d x, d y, d z", "10000")
	c.fails(1206, "SELECT GET_LOCK('more', 0)", "RELEASE_LOCK()")
	c.fails(1206, "SELECT GET_LOCK('more', 5)", "RELEASE_LOCK()")
	c.want("SELECT GET_LOCK('n0000', 0), RELEASE_LOCK('n0000'), RELEASE_LOCK('n0001'), GET_LOCK('more', 0), RELEASE_ALL_LOCKS()", "1|1|1|1|10000")
}
