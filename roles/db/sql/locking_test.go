package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/wire"
	"stack/roles/internal/timing"
)

// pendingStatement is a statement in a goroutine of its own.
type pendingStatement struct {
	t    *testing.T
	s    *server
	done chan error
	out  *collected
}

// waits runs a statement that is expected to wait for a lock, and returns when it does.
func (s *server) waits(t *testing.T, c *client, query string) *pendingStatement {
	t.Helper()
	r := s.begin(t, c, query)
	waitFor(t, func() bool { return s.db.Stats().LockWaiting > 0 || len(r.done) > 0 })
	if len(r.done) > 0 {
		t.Fatalf("%s: does not wait: %v", query, <-r.done)
	}
	return r
}

func (s *server) begin(t *testing.T, c *client, query string) *pendingStatement {
	r := &pendingStatement{t: t, s: s, done: make(chan error, 1), out: &collected{}}
	go func() {
		_, err := c.query(context.Background(), query, false, r.out)
		r.done <- err
	}()
	return r
}

// ends waits for the statement; code 0 means success.
func (r *pendingStatement) ends(code uint16) {
	r.t.Helper()
	select {
	case err := <-r.done:
		if got := codeOf(err); got != code {
			r.t.Fatalf("ended with %v, want %d", err, code)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatal("the statement still waits after 20 s")
	}
}

func codeOf(err error) uint16 {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return uint16(gms.CastSQLError(err).Num)
	}
	return 0
}

func TestRowsAreLockedOneByOne(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, k INT, n INT, KEY (k))", "INSERT INTO t VALUES (1,1,1),(2,2,2),(3,3,3),(4,4,4)")
	b.must("SET innodb_lock_wait_timeout = 1")
	a.must("BEGIN", "UPDATE t SET n = 10 WHERE id = 1", "UPDATE t SET n = 10 WHERE k = 2", "DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (6,6,6)")
	b.must("UPDATE t SET n = 20 WHERE id = 4", "INSERT INTO t VALUES (5,5,5)", "UPDATE t SET k = 9 WHERE id = 5")
	for _, q := range []string{"UPDATE t SET n = 1 WHERE id = 1", "DELETE FROM t WHERE k = 2", "INSERT INTO t VALUES (3,3,3)", "INSERT INTO t VALUES (6,6,6)", "SELECT * FROM t WHERE k = 6 FOR SHARE"} {
		b.must("SET @x = 1")
		if _, err := b.run(q); codeOf(err) != 1205 {
			t.Errorf("%s: %v", q, err)
		}
	}
	a.must("COMMIT")
	b.must("INSERT INTO t VALUES (3,3,3)")
	b.fails(1062, "INSERT INTO t VALUES (6,6,6)")
	b.want("SELECT id, n FROM t ORDER BY id", "1|10", "2|10", "3|3", "4|20", "5|5", "6|6")
}

// A read that ends with LIMIT locks no further than it has read.
func TestLimitEndsTheLocking(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (10,1),(20,1),(30,1)", "BEGIN")
	a.want("SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE", "10")
	b.must("SET innodb_lock_wait_timeout = 1", "INSERT INTO t VALUES (15, 1)", "UPDATE t SET n = 2 WHERE id = 20")
	b.fails(1205, "INSERT INTO t VALUES (5, 1)")
	a.want("SELECT id FROM t ORDER BY id DESC LIMIT 1 FOR UPDATE", "30")
	b.fails(1205, "INSERT INTO t VALUES (40, 1)")
	b.must("INSERT INTO t VALUES (25, 1)")
}

func TestNowaitAndSkipLocked(t *testing.T) {
	for _, level := range []string{"REPEATABLE READ", "READ COMMITTED"} {
		t.Run(level, func(t *testing.T) {
			s := newServer(t)
			a, b := s.test(), s.test()
			a.must("CREATE TABLE t (id INT PRIMARY KEY, state INT, KEY (state))", "INSERT INTO t VALUES (1,0),(2,0),(3,0),(4,1)", "CREATE VIEW v AS SELECT * FROM t")
			for _, c := range []*client{a, b} {
				c.must("SET SESSION TRANSACTION ISOLATION LEVEL "+level, "BEGIN")
			}
			a.want("SELECT id FROM t WHERE id = 2 FOR UPDATE", "2")
			began := time.Now()
			for _, q := range []string{"SELECT id FROM t WHERE id = 2 FOR UPDATE NOWAIT", "SELECT id FROM t FOR SHARE NOWAIT", "SELECT x.id FROM t AS x WHERE x.state = 0 FOR UPDATE OF x NOWAIT", "SELECT id FROM v FOR UPDATE NOWAIT"} {
				b.fails(3572, q)
			}
			b.want("SELECT id FROM t WHERE state = 0 FOR UPDATE SKIP LOCKED", "1", "3")
			b.want("SELECT id FROM t WHERE id = 2 FOR UPDATE SKIP LOCKED")
			b.want("SELECT id FROM v ORDER BY id FOR SHARE SKIP LOCKED", "1", "3", "4")
			b.want("SELECT x.id FROM t x JOIN t y ON x.id = y.id WHERE x.id = 2 FOR SHARE OF y SKIP LOCKED")
			b.fails(3568, "SELECT id FROM t FOR UPDATE OF u")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			a.fails(3572, "SELECT id FROM t WHERE id = 3 FOR SHARE NOWAIT")
			b.must("ROLLBACK")
			a.want("SELECT id FROM t ORDER BY id FOR UPDATE NOWAIT", "1", "2", "3", "4")
		})
	}
}

// Under READ COMMITTED a row that does not match is neither waited for nor locked.
func TestReadCommittedLocksWhatMatches(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1,1),(2,2),(3,3)")
	for _, c := range []*client{a, b} {
		c.must("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET innodb_lock_wait_timeout = 1")
	}
	a.must("BEGIN", "UPDATE t SET n = n + 10 WHERE n = 1")
	b.must("BEGIN", "UPDATE t SET n = n + 20 WHERE n = 2", "INSERT INTO t VALUES (0, 0)", "COMMIT")
	b.fails(1205, "UPDATE t SET n = 0 WHERE n < 2")
	a.must("COMMIT")
	b.want("SELECT id, n FROM t ORDER BY id", "0|0", "1|11", "2|22", "3|3")
	// What no longer matches when the lock is had is left alone.
	a.must("BEGIN", "UPDATE t SET n = 100 WHERE id = 3")
	b.must("SET innodb_lock_wait_timeout = 50")
	w := s.waits(t, b, "UPDATE t SET n = n + 1 WHERE n = 3")
	a.must("COMMIT")
	w.ends(0)
	a.want("SELECT n FROM t WHERE id = 3", "100")
	// What has moved is found where it is.
	a.must("CREATE TABLE m (id INT PRIMARY KEY, k INT, KEY (k))", "INSERT INTO m VALUES (1, 3), (2, 5)", "BEGIN", "UPDATE m SET k = 7 WHERE id = 1")
	w = s.waits(t, b, "UPDATE m SET k = k + 100 WHERE k IN (3, 5, 7)")
	a.must("COMMIT")
	w.ends(0)
	a.want("SELECT id, k FROM m ORDER BY id", "1|107", "2|105")
}

// The victim is undone as a whole, and the other goes on.
func TestDeadlockIsFoundAtOnce(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1,0),(2,0),(3,0)")
	a.must("BEGIN", "UPDATE t SET n = 1 WHERE id = 1", "UPDATE t SET n = 1 WHERE id = 3")
	b.must("BEGIN", "INSERT INTO t VALUES (9, 9)", "UPDATE t SET n = 2 WHERE id = 2")
	a.must("UPDATE t SET n = 2 WHERE id = 3")
	w := s.waits(t, a, "UPDATE t SET n = 1 WHERE id = 2")
	b.fails(1213, "UPDATE t SET n = 2 WHERE id = 1", "Deadlock found")
	w.ends(0)
	if b.State().InTransaction {
		t.Error("the victim's transaction is still open")
	}
	a.must("COMMIT")
	b.want("SELECT id, n FROM t ORDER BY id", "1|1", "2|1", "3|2") // the victim is undone as a whole
	if n := s.db.Stats().Deadlocks; n != 1 {
		t.Errorf("%d deadlocks counted", n)
	}
}

// A deadlock ends within 100 ms, for the victim and for who goes on: whether the victim closes the circle or has
// waited for long, with and without the planner.
func TestDeadlocksEndWithin100Milliseconds(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1,0),(2,0),(3,0),(4,0)")
	for _, direct := range []string{"0", "1"} {
		for _, c := range []struct {
			name             string
			extra            *client // writes a row more, so that the other is the victim
			waiting, closing uint16  // how the two statements of the circle end
		}{
			{"the victim closes the circle", a, 0, 1213},
			{"the victim waits", b, 1213, 0},
		} {
			a.must("SET direct = " + direct)
			b.must("SET direct = " + direct)
			timing.Median(t, "direct = "+direct+", "+c.name, 100*time.Millisecond, 20, func() time.Duration {
				a.must("BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1")
				b.must("BEGIN", "UPDATE t SET n = n + 1 WHERE id = 2")
				c.extra.must("UPDATE t SET n = n + 1 WHERE id IN (3, 4)")
				w := s.waits(t, a, "UPDATE t SET n = n + 1 WHERE id = 2")
				began := time.Now()
				_, err := b.run("UPDATE t SET n = n + 1 WHERE id = 1")
				w.ends(c.waiting)
				took := time.Since(began)
				if got := codeOf(err); got != c.closing {
					t.Fatalf("who closes the circle ends with %v, want %d", err, c.closing)
				}
				a.must("ROLLBACK")
				b.must("ROLLBACK")
				return took
			})
		}
	}
}

func TestKillAndDisconnectFreeLocks(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1,0),(2,0)", "BEGIN", "UPDATE t SET n = 1 WHERE id = 1")
	b.must("BEGIN", "UPDATE t SET n = 2 WHERE id = 2")
	w := s.waits(t, b, "UPDATE t SET n = 2 WHERE id = 1")
	behind := s.begin(t, c, "UPDATE t SET n = 3 WHERE id = 1")
	waitFor(t, func() bool { return s.db.Stats().LockWaiting == 2 })
	s.test().must(fmt.Sprintf("KILL QUERY %d", b.ID()))
	began := time.Now()
	w.ends(1317)
	a.Close() // as a connection that goes
	behind.ends(0)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the lock was free after %v", took)
	}
	b.must("COMMIT") // a killed statement is undone alone
	c.want("SELECT n FROM t ORDER BY id", "3", "2")
}

// 16 clients count on one row, by statement and by reading first; nothing is lost.
func TestCountersWith16Clients(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY, n INT, total INT NOT NULL DEFAULT 0)", "INSERT INTO t (id, n) VALUES (1, 0), (2, 0)",
		"CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, who INT)",
		"CREATE TRIGGER counted AFTER INSERT ON log FOR EACH ROW UPDATE t SET total = total + 1 WHERE id = 2")
	const clients, each = 16, 25
	var wait sync.WaitGroup
	var ids sync.Map
	for i := range clients {
		c := s.test()
		wait.Go(func() {
			for range each {
				for _, q := range []string{
					"UPDATE t SET n = n + 1 WHERE id = 1",
					"INSERT INTO t (id, n) VALUES (1, 1) ON DUPLICATE KEY UPDATE n = n + 1",
				} {
					if _, err := c.run(q); err != nil {
						t.Error(err)
					}
				}
				c.must("BEGIN")
				n := c.must("SELECT n FROM t WHERE id = 1 FOR UPDATE").rows[0]
				c.must("UPDATE t SET n = "+n+" + 1 WHERE id = 1", "COMMIT")
				// Rows of one statement have numbers that follow each other.
				out := c.must(fmt.Sprintf("INSERT INTO log (who) VALUES (%d), (%d), (%d)", i, i, i))
				for k := range uint64(3) {
					if _, taken := ids.LoadOrStore(out.insertID+k, i); taken {
						t.Errorf("AUTO_INCREMENT value %d came twice", out.insertID+k)
					}
				}
			}
		})
	}
	wait.Wait()
	c := s.test()
	c.want("SELECT n FROM t WHERE id = 1", fmt.Sprint(clients*each*3))
	c.want("SELECT total FROM t WHERE id = 2", fmt.Sprint(clients*each*3))
	c.want("SELECT COUNT(*) FROM log l JOIN log m ON m.id = l.id + 1 AND m.who = l.who JOIN log n ON n.id = l.id + 2 AND n.who = l.who WHERE l.id % 3 = 1", fmt.Sprint(clients*each))
}

// Money moves between accounts in random order: victims of deadlocks try again, sums hold
// in every view and in locking reads.
func TestBankTransfers(t *testing.T) {
	for _, level := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
		t.Run(level, func(t *testing.T) {
			s := newServer(t)
			s.test().must("CREATE TABLE account (id INT PRIMARY KEY, owner INT, money INT, KEY (owner))")
			const accounts, clients, moves = 10, 16, 20
			for i := range accounts {
				s.test().must(fmt.Sprintf("INSERT INTO account VALUES (%d, %d, 100)", i, i%3))
			}
			var wait sync.WaitGroup
			var done atomic.Bool
			for w := range clients {
				c := s.test()
				c.must("SET SESSION TRANSACTION ISOLATION LEVEL " + level)
				rnd := rand.New(rand.NewPCG(uint64(w), 5))
				wait.Go(func() {
					for range moves {
						from, to := rnd.IntN(accounts), rnd.IntN(accounts)
						var ops []string
						switch rnd.IntN(3) {
						case 0:
							ops = []string{fmt.Sprintf("UPDATE account SET money = money - 1 WHERE id = %d", from), fmt.Sprintf("UPDATE account SET money = money + 1 WHERE id = %d", to)}
						case 1:
							ops = []string{fmt.Sprintf("SELECT * FROM account WHERE id IN (%d, %d) FOR UPDATE", from, to), fmt.Sprintf("UPDATE account SET money = money - 2 WHERE id = %d", from), fmt.Sprintf("UPDATE account SET money = money + 2 WHERE id = %d", to)}
						default: // an account is closed and opened anew
							ops = []string{fmt.Sprintf("SELECT * FROM account WHERE owner = %d FOR SHARE", from%3), fmt.Sprintf("INSERT INTO account SELECT id + 1000, owner, money FROM account WHERE id = %d", from),
								fmt.Sprintf("DELETE FROM account WHERE id = %d", from), fmt.Sprintf("UPDATE account SET id = %d WHERE id = %d", from, from+1000)}
						}
						if err := c.transaction(ops...); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			check := s.test()
			check.must("SET SESSION TRANSACTION ISOLATION LEVEL " + level)
			var checking sync.WaitGroup
			checking.Go(func() {
				for !done.Load() {
					check.want("SELECT SUM(money), COUNT(*) FROM account", "1000|10")
				}
			})
			wait.Wait()
			done.Store(true)
			checking.Wait()
			check.want("SELECT SUM(money), COUNT(*) FROM account", "1000|10")
			if r, err := s.db.Check(context.Background(), nil); err != nil || !r.OK() {
				t.Errorf("%v %+v", err, r)
			}
		})
	}
}

// transaction runs statements in a transaction, again when it was a deadlock's victim.
func (c *client) transaction(ops ...string) error {
	for {
		err := func() error {
			if _, err := c.run("BEGIN"); err != nil {
				return err
			}
			for _, q := range ops {
				if _, err := c.run(q); err != nil {
					return fmt.Errorf("%s: %w", q, err)
				}
			}
			_, err := c.run("COMMIT")
			return err
		}()
		if codeOf(err) != 1213 {
			if err != nil {
				_, _ = c.run("ROLLBACK")
			}
			return err
		}
	}
}

// Workers take jobs with SKIP LOCKED: each is done once, and nobody waits.
func TestJobQueue(t *testing.T) {
	for _, level := range []string{"READ COMMITTED", "REPEATABLE READ"} {
		t.Run(level, func(t *testing.T) {
			s := newServer(t)
			s.test().must("CREATE TABLE job (id INT AUTO_INCREMENT PRIMARY KEY, state INT NOT NULL DEFAULT 0, KEY (state, id))")
			const producers, workers, each = 2, 8, 60
			var made, taken atomic.Int64
			var seen sync.Map
			var wait sync.WaitGroup
			for range producers {
				c := s.test()
				wait.Go(func() {
					for range each {
						c.must("INSERT INTO job (state) VALUES (0)")
						made.Add(1)
					}
				})
			}
			for w := range workers {
				c := s.test()
				c.must("SET SESSION TRANSACTION ISOLATION LEVEL "+level, "SET innodb_lock_wait_timeout = 1")
				wait.Go(func() {
					for taken.Load() < producers*each {
						c.must("BEGIN")
						rows := c.must("SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED").rows
						if len(rows) > 0 {
							if other, twice := seen.LoadOrStore(rows[0], w); twice {
								t.Errorf("job %s was taken by %v and %d", rows[0], other, w)
							}
							c.must("DELETE FROM job WHERE id = " + rows[0])
							taken.Add(1)
						}
						c.must("COMMIT")
					}
				})
			}
			wait.Wait()
			s.test().want("SELECT COUNT(*) FROM job", "0")
		})
	}
}

// Children of one parent do not wait for each other; the parent cannot go while one is new.
func TestForeignKeysLockTheParent(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.must("CREATE TABLE parent (id INT PRIMARY KEY, code INT, UNIQUE KEY (code))", "INSERT INTO parent VALUES (1, 10), (2, 20)",
		"CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id))")
	a.must("BEGIN", "INSERT INTO child VALUES (1, 1)")
	b.must("BEGIN", "INSERT INTO child VALUES (2, 1)")
	w := s.waits(t, c, "DELETE FROM parent WHERE id = 1")
	a.must("COMMIT")
	b.must("ROLLBACK")
	w.ends(1451)
	c.must("BEGIN", "DELETE FROM parent WHERE id = 2")
	w = s.waits(t, a, "INSERT INTO child VALUES (3, 2)")
	c.must("COMMIT")
	w.ends(1452)
	a.want("SELECT id, p FROM child", "1|1")
}

// DDL waits for those who write the table, and they for it, in turn; readers never wait.
func TestDefinitionsAreLocked(t *testing.T) {
	s := newServer(t)
	a, b, c, d := s.test(), s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1, 1)")
	a.must("BEGIN", "UPDATE t SET n = 2 WHERE id = 1")
	d.must("BEGIN", "INSERT INTO u VALUES (1)") // has planned nothing over t yet
	ddl := s.waits(t, b, "ALTER TABLE t ADD COLUMN m INT NOT NULL DEFAULT 5")
	behind := s.begin(t, d, "INSERT INTO t (id, n) VALUES (2, 2)")
	waitFor(t, func() bool { return s.db.Stats().LockWaiting == 2 })
	c.must("CREATE TABLE v (id INT)", "DROP TABLE v") // one that waits for a table holds up no other change
	c.want("SELECT * FROM t", "1|1")
	a.must("UPDATE t SET n = 3 WHERE id = 1", "COMMIT")
	ddl.ends(0)
	behind.ends(0) // planned before, and again with the column of now
	d.must("COMMIT")
	c.want("SELECT * FROM t ORDER BY id", "1|3|5", "2|2|5")
	b.must("SET lock_wait_timeout = 1")
	a.must("BEGIN", "SELECT * FROM t WHERE id = 1 FOR UPDATE")
	b.fails(1205, "DROP TABLE t")
	b.fails(1205, "LOCK TABLES t WRITE")
	a.must("COMMIT")
	b.must("DROP TABLE t")
}

// A statement that was planned before a foreign key or trigger came is planned anew.
func TestConstraintsComeBetweenPlanAndWrite(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE parent (id INT PRIMARY KEY)", "CREATE TABLE child (id INT PRIMARY KEY AUTO_INCREMENT, p INT, KEY (p))", "CREATE TABLE counter (n INT)", "INSERT INTO counter VALUES (0)")
	var wait sync.WaitGroup
	var done atomic.Bool
	for i := range 4 {
		c := s.test()
		wait.Go(func() {
			for n := 0; !done.Load(); n++ {
				id := i*1000000 + n
				_, _ = c.run(fmt.Sprintf("INSERT INTO parent VALUES (%d)", id))
				_, _ = c.run(fmt.Sprintf("INSERT INTO child (p) VALUES (%d)", id))
				_, _ = c.run(fmt.Sprintf("DELETE FROM parent WHERE id = %d", id))
			}
		})
	}
	ddl := s.test()
	for range 15 {
		if err := ddl.transaction("DELETE FROM child WHERE p NOT IN (SELECT id FROM parent)"); err != nil {
			t.Fatal(err)
		}
		if _, err := ddl.run("ALTER TABLE child ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES parent (id)"); err == nil {
			ddl.want("SELECT COUNT(*) FROM child LEFT JOIN parent ON parent.id = child.p WHERE parent.id IS NULL", "0")
			ddl.must("ALTER TABLE child DROP FOREIGN KEY fk")
		} else if !strings.Contains(err.Error(), "foreign key") && codeOf(err) != 1452 {
			t.Error(err)
		}
		ddl.must("CREATE TRIGGER counted AFTER INSERT ON parent FOR EACH ROW UPDATE counter SET n = n + 1", "DROP TRIGGER counted")
	}
	done.Store(true)
	wait.Wait()
	if r, err := s.db.Check(context.Background(), nil); err != nil || !r.OK() {
		t.Errorf("%v %+v", err, r)
	}
}

// A deadlock in which the change of a definition stands ends with one of the transactions.
func TestDeadlocksSpareDefinitions(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1, 1)")
	for _, query := range []string{
		"ALTER TABLE u ADD COLUMN n INT", "ALTER TABLE u MODIFY n BIGINT, LOCK=SHARED", "CREATE INDEX n ON u (n) LOCK=SHARED", "TRUNCATE TABLE u", "RENAME TABLE u TO v, v TO u", "DROP TABLE u",
	} {
		a.must("BEGIN", "INSERT INTO u (id) VALUES (1)")
		b.must("BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1", "INSERT INTO t VALUES (2, 2)")
		ddl := s.waits(t, c, query)
		behind := s.begin(t, b, "INSERT INTO u (id) VALUES (2)")
		waitFor(t, func() bool { return s.db.Stats().LockWaiting == 2 })
		a.fails(1213, "UPDATE t SET n = n + 1 WHERE id = 1")
		a.must("ROLLBACK")
		ddl.ends(0)
		<-behind.done
		b.must("ROLLBACK")
	}
}

// As tools that change tables online end their work: while one session has the table locked another
// waits to rename it, and writers who wait too, whenever they came, write the table that takes its place.
func TestRenameGoesBeforeWriters(t *testing.T) {
	s := newServer(t)
	locker, renamer, watch := s.test(), s.test(), s.test()
	locker.must("CREATE TABLE live (id INT PRIMARY KEY AUTO_INCREMENT, n INT)", "CREATE TABLE side (id INT)")
	var wait sync.WaitGroup
	writers := make([]*client, 8)
	for i := range writers {
		writers[i] = s.test()
	}
	write := func(list []*client) {
		for i, c := range list {
			wait.Go(func() {
				if i%2 == 0 {
					c.must("INSERT INTO live (n) VALUES (1)")
				} else if err := c.transaction("INSERT INTO side VALUES (1)", "INSERT INTO live (n) VALUES (1)"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for n := range rounds {
		locker.must("CREATE TABLE fresh LIKE live", "CREATE TABLE gone (id INT)", "LOCK TABLES live WRITE, gone WRITE")
		write(writers[:4])
		rename := s.begin(t, renamer, "RENAME TABLE live TO gone, fresh TO live")
		waitFor(t, func() bool {
			return watch.must("SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE '%metadata lock%' AND info LIKE 'RENAME%'").rows[0] == "1"
		})
		write(writers[4:])
		waitFor(t, func() bool {
			return watch.must("SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE '%metadata lock%'").rows[0] == "9"
		})
		locker.must("DROP TABLE gone", "UNLOCK TABLES")
		rename.ends(0)
		wait.Wait()
		watch.want("SELECT COUNT(*) FROM gone", fmt.Sprint(min(n, 1)*8))
		watch.want("SELECT COUNT(*) FROM live", "8")
		locker.must("DROP TABLE gone")
	}
}

// A transaction that must let a rename go first, which waits for the transaction, is a deadlock's
// victim: of that one's own table, or over another transaction.
func TestRenameInACircle(t *testing.T) {
	s := newServer(t)
	locker, renamer, writer, third, watch := s.test(), s.test(), s.test(), s.test(), s.test()
	waiting := func(n int) func() bool {
		return func() bool {
			return watch.must("SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE '%metadata lock%'").rows[0] == fmt.Sprint(n)
		}
	}
	locker.must("CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)", "CREATE TABLE c (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id))", "CREATE TABLE d (id INT PRIMARY KEY)")
	for _, query := range []string{"INSERT INTO a VALUES (1)", "INSERT INTO a SELECT 1"} {
		writer.must("BEGIN", "INSERT INTO c VALUES (1, NULL)")
		locker.must("LOCK TABLES a WRITE")
		rename := s.begin(t, renamer, "RENAME TABLE a TO z")
		waitFor(t, waiting(1))
		insert := s.begin(t, writer, query)
		waitFor(t, waiting(2))
		locker.must("UNLOCK TABLES")
		insert.ends(1213)
		rename.ends(0)
		writer.want("SELECT COUNT(*) FROM c", "0")
		locker.must("RENAME TABLE z TO a")
	}
	third.must("BEGIN", "INSERT INTO b VALUES (1)")
	writer.must("BEGIN", "INSERT INTO d VALUES (1)")
	locker.must("LOCK TABLES a WRITE")
	rename := s.begin(t, renamer, "RENAME TABLE a TO z, b TO a")
	waitFor(t, waiting(1))
	insert := s.begin(t, writer, "INSERT INTO a VALUES (1)")
	waitFor(t, waiting(2))
	row := s.waits(t, third, "INSERT INTO d VALUES (1)")
	locker.must("UNLOCK TABLES")
	insert.ends(1213)
	row.ends(0)
	third.must("COMMIT")
	rename.ends(0)
}

// Definitions of tables that writers use together are changed in every way by several clients
// at once: none of these is a deadlock's victim, or waits for ever.
func TestDefinitionsChangeBesideWriters(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := newServer(t)
	s.test().must("CREATE TABLE a (id INT PRIMARY KEY, n INT)", "CREATE TABLE b (id INT PRIMARY KEY, n INT)", "CREATE TABLE c (id INT PRIMARY KEY, n INT, p INT, KEY (p))")
	var writing, changing sync.WaitGroup
	var done atomic.Bool
	tables := []string{"a", "b", "c", "other.d"}
	for i := range 16 {
		c, r := s.test(), rand.New(rand.NewPCG(seed, uint64(i)))
		writing.Go(func() {
			for !done.Load() {
				_, err := c.run("BEGIN")
				for n := 0; n < 3 && err == nil; n++ {
					_, err = c.run(fmt.Sprintf("REPLACE INTO %s (id, n) VALUES (%d, %d)", tables[r.IntN(len(tables))], r.IntN(8), r.IntN(3)))
				}
				_, _ = c.run("COMMIT")
			}
		})
	}
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for _, list := range [][]string{
		{"ALTER TABLE a ADD COLUMN x INT", "ALTER TABLE a ADD INDEX (n)", "ALTER TABLE a DROP COLUMN x, DROP INDEX n", "TRUNCATE TABLE a", "ALTER TABLE a CHANGE id no INT", "ALTER TABLE a CHANGE no id INT"},
		{"ALTER TABLE c ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES a (id)", "ALTER TABLE c MODIFY n BIGINT", "ALTER TABLE c DROP FOREIGN KEY fk", "ALTER TABLE c MODIFY n INT", "TRUNCATE TABLE c"},
		{"RENAME TABLE a TO tmp, b TO a, tmp TO b", "ALTER TABLE b ADD INDEX (n)", "ALTER TABLE b DROP INDEX n", "LOCK TABLES a WRITE, c WRITE, b READ", "UNLOCK TABLES"},
		{
			"CREATE DATABASE other", "CREATE TABLE other.d (id INT PRIMARY KEY, n INT, FOREIGN KEY (n) REFERENCES test.a (id))", "ALTER TABLE other.d DROP FOREIGN KEY d_ibfk_1", "DROP DATABASE other",
			"PREPARE p FROM 'ALTER TABLE b COMMENT ''prepared'''", "EXECUTE p", "CREATE TRIGGER counted AFTER INSERT ON b FOR EACH ROW UPDATE c SET n = n + 1 WHERE id = 1", "DROP TRIGGER counted",
		},
	} {
		c := s.test()
		changing.Go(func() {
			for range rounds {
				for _, q := range list {
					if _, err := c.run(q); codeOf(err) == 1213 || codeOf(err) == 1205 || codeOf(err) == 1412 {
						t.Errorf("%s: %v", q, err)
					}
				}
			}
		})
	}
	changing.Wait()
	done.Store(true)
	writing.Wait()
	s.isWhole()
}

// Rows without a primary key, large values and temporary tables beside other writers.
func TestOddRowsBesideWriters(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE bare (n INT, v INT)", "INSERT INTO bare VALUES (1,0),(1,0),(2,0),(3,0)",
		"CREATE TABLE big (id INT PRIMARY KEY, n INT, v LONGTEXT)", "INSERT INTO big VALUES (1, 0, REPEAT('a', 30000)), (2, 0, '')")
	var wait sync.WaitGroup
	const clients, each = 6, 15
	for i := range clients {
		c := s.test()
		wait.Go(func() {
			for n := range each {
				if err := c.transaction("UPDATE bare SET v = v + 1 WHERE n = 1", fmt.Sprintf("INSERT INTO bare VALUES (%d, 0)", 100+i)); err != nil {
					t.Error(err)
				}
				if err := c.transaction(fmt.Sprintf("UPDATE big SET n = n + 1, v = REPEAT('%c', %d) WHERE id = 1", 'a'+i, 9000+n)); err != nil {
					t.Error(err)
				}
				if err := c.transaction("CREATE TEMPORARY TABLE x (id INT PRIMARY KEY)", "INSERT INTO x SELECT id FROM big", "DROP TEMPORARY TABLE x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	c := s.test()
	c.want("SELECT v FROM bare WHERE n = 1", fmt.Sprint(clients*each), fmt.Sprint(clients*each))
	c.want("SELECT n, LENGTH(v) >= 9000, LENGTH(REPLACE(v, LEFT(v, 1), '')) FROM big WHERE id = 1", fmt.Sprintf("%d|1|0", clients*each))
	c.want("SELECT COUNT(*) FROM bare WHERE n >= 100", fmt.Sprint(clients*each))
	if r, err := s.db.Check(context.Background(), nil); err != nil || !r.OK() {
		t.Errorf("%v %+v", err, r)
	}
}

// Spellings that differ in trailing spaces are one value of a unique key, also while the
// other is not committed.
func TestPaddedValuesMeet(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), UNIQUE KEY (v))", "BEGIN", "INSERT INTO t VALUES (1, 'x ')")
	w := s.waits(t, b, "INSERT INTO t VALUES (2, 'x')")
	a.must("COMMIT")
	w.ends(1062)
	a.must("BEGIN", "DELETE FROM t WHERE id = 1")
	w = s.waits(t, b, "INSERT INTO t VALUES (2, 'x  ')")
	a.must("COMMIT")
	w.ends(0)
	a.want("SELECT id FROM t", "2")
}

// REPLACE and ON DUPLICATE KEY UPDATE change the newest row, whoever has just changed it.
func TestUpsertsBesideEachOther(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, u INT, k INT, n INT NOT NULL, UNIQUE KEY (u), KEY (k))")
	var wait sync.WaitGroup
	const clients, each = 8, 40
	for i := range clients {
		c := s.test()
		rnd := rand.New(rand.NewPCG(uint64(i), 6))
		wait.Go(func() {
			for range each {
				q := fmt.Sprintf("INSERT INTO t (u, k, n) VALUES (%d, %d, 1) ON DUPLICATE KEY UPDATE n = n + 1, k = VALUES(k)", rnd.IntN(3), rnd.IntN(5))
				if err := c.transaction(q); err != nil {
					t.Error(err)
				}
				if err := c.transaction(fmt.Sprintf("REPLACE INTO t (u, k, n) VALUES (%d, %d, 0)", 10+rnd.IntN(3), rnd.IntN(5))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	c := s.test()
	c.want("SELECT SUM(n), COUNT(*) FROM t", fmt.Sprintf("%d|6", clients*each))
	if r, err := s.db.Check(context.Background(), nil); err != nil || !r.OK() {
		t.Errorf("%v %+v", err, r)
	}
}
