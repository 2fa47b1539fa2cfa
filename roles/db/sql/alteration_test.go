package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// stored is the newest definition of test.t.
func (s *server) stored() *store.Table { return s.db.Catalog().Table("test", "t") }

// isWhole checks the store: rows, entries, large values, ids without owner.
func (s *server) isWhole() {
	s.t.Helper()
	waitFor(s.t.(*testing.T), func() bool { return s.db.Stats().PendingDrops == 0 })
	report, err := s.db.Check(context.Background(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if !report.OK() {
		s.t.Errorf("check: %.2000v", report.Problems)
	}
}

// What takes no time reads and writes nothing that grows with the table; a rebuild, for
// comparison, does.
func TestInstantChangesTouchNoRow(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT NOT NULL, b VARCHAR(20), e ENUM('x','y'), pad VARCHAR(400), KEY a (a), KEY b (b))",
		"INSERT INTO t (a, b, e, pad) VALUES (1, 'b', 'x', REPEAT(UUID(), 11))")
	for range 13 {
		c.must("INSERT INTO t (a, b, e, pad) SELECT a, b, e, REPEAT(UUID(), 11) FROM t")
	}
	c.must("CREATE TABLE v AS SELECT * FROM t")
	// The rows in files that nothing compacts any more, so that only statements read them.
	if err := errors.Join(s.store.DB.Flush(), s.store.DB.Compact(context.Background(), []byte{0}, []byte{255}, false)); err != nil {
		t.Fatal(err)
	}
	touched := func(query string) (blocks int64, written uint64) {
		t.Helper()
		before := s.store.DB.Metrics()
		c.must(query)
		after := s.store.DB.Metrics()
		var ingested uint64
		for i := range after.Levels {
			ingested += after.Levels[i].TableBytesIngested - before.Levels[i].TableBytesIngested
		}
		return after.BlockCache.Hits + after.BlockCache.Misses - before.BlockCache.Hits - before.BlockCache.Misses, after.WAL.BytesIn - before.WAL.BytesIn + ingested
	}
	for _, query := range []string{
		"ALTER TABLE t ADD COLUMN n INT", "ALTER TABLE t ADD COLUMN m INT NOT NULL DEFAULT 5 FIRST", "ALTER TABLE t ADD COLUMN k VARCHAR(10) NOT NULL AFTER a",
		"ALTER TABLE t ADD COLUMN at DATETIME DEFAULT CURRENT_TIMESTAMP", "ALTER TABLE t ADD COLUMN d DECIMAL(5,2) NOT NULL DEFAULT -1.5, ADD COLUMN f DOUBLE DEFAULT 2",
		"ALTER TABLE t DROP COLUMN m", "ALTER TABLE t RENAME COLUMN n TO nn", "ALTER TABLE t ALTER COLUMN nn SET DEFAULT 9",
		"ALTER TABLE t MODIFY b VARCHAR(50)", "ALTER TABLE t MODIFY e ENUM('x','y','z')", "ALTER TABLE t MODIFY a INT NULL COMMENT 'of note'",
		"ALTER TABLE t COMMENT 'all'", "ALTER TABLE t RENAME INDEX b TO bb", "ALTER TABLE t DROP INDEX a", "DROP INDEX bb ON t",
		"ALTER TABLE t AUTO_INCREMENT = 100000", "ALTER TABLE t RENAME TO u", "RENAME TABLE u TO t", "TRUNCATE TABLE t",
	} {
		if query == "TRUNCATE TABLE t" {
			c.want("SELECT COUNT(*), SUM(LENGTH(k)), MIN(d), MAX(d), SUM(f), COUNT(at), COUNT(DISTINCT at) FROM t", "8192|0|-1.50|-1.50|16384|8192|1")
		}
		if blocks, written := touched(query); blocks > 50 || written > 64<<10 {
			t.Errorf("%s: %d blocks read, %d bytes written", query, blocks, written)
		}
	}
	if blocks, written := touched("ALTER TABLE v MODIFY a BIGINT"); blocks < 100 || written < 256<<10 {
		t.Errorf("a rebuild reads %d blocks and writes %d bytes: this test measures nothing", blocks, written)
	}
	c.must("INSERT INTO t (a, e, k, pad) VALUES (1, 'z', '', 'p')")
	c.want("SELECT id, a, b, e, k, nn, d, f FROM t", "1|1|NULL|z||9|-1.50|2")
	s.isWhole()
}

// One statement may do everything; the rows come out as they would one clause at a time, and
// are written once.
func TestAlterTableOfManyClauses(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(20), st SET('p','q'), e ENUM('x','y'), big LONGTEXT, other LONGTEXT, UNIQUE KEY ab (a, b))",
		"INSERT INTO t (a, b, st, e, big, other) VALUES (1, 'one', 'p,q', 'y', REPEAT('x', 20000), REPEAT('o', 3000000)), (2, NULL, 'q', 'x', 'small', NULL), (3, '33', '', NULL, NULL, REPEAT('z', 9000))",
		"ALTER TABLE t ADD COLUMN late INT NOT NULL DEFAULT 77",
		"SET sql_log_bin = 0") // the log would not have what UUID() gives
	before := s.stored().Primary.Desc.ID
	c.must("ALTER TABLE t MODIFY a BIGINT NOT NULL, ADD COLUMN g BIGINT AS (a * 2) STORED FIRST, MODIFY st SET('q','r','p'), MODIFY e ENUM('y','x'), " +
		"ADD COLUMN u VARCHAR(36) NOT NULL DEFAULT (UUID()), MODIFY other LONGTEXT FIRST, DROP COLUMN b, ADD UNIQUE KEY gg (g), ADD INDEX lg (late, big(10)), ADD CONSTRAINT pos CHECK (a > 0)")
	if now := s.stored(); now.Primary.Desc.ID == before || len(now.Desc.Layouts) != 1 {
		t.Errorf("primary index %d, then %d with layouts %v", before, now.Primary.Desc.ID, now.Desc.Layouts)
	}
	c.want("SELECT id, a, g, st, e, LENGTH(big), LENGTH(other), late, LENGTH(u) FROM t ORDER BY id", "1|1|2|q,p|y|20000|3000000|77|36", "2|2|4|q|x|5|NULL|77|36", "3|3|6||NULL|NULL|9000|77|36")
	c.want("SELECT COUNT(DISTINCT u) FROM t", "3")
	c.want("SELECT id FROM t WHERE g = 4", "2")
	c.fails(1062, "INSERT INTO t (a, late) VALUES (3, 1)", "t.ab")
	c.fails(3819, "INSERT INTO t (a) VALUES (0)")
	c.must("INSERT INTO t (a) VALUES (9)", "DELETE FROM t WHERE id = 1")
	c.want("SELECT MAX(id), MAX(g) FROM t", "6|18") // 4 and 5 went to the rows that were refused
	s.isWhole()

	// What cannot be leaves the table as it is.
	def := c.must("SHOW CREATE TABLE t").rows[0]
	for query, code := range map[string]uint16{
		"ALTER TABLE t MODIFY late TINYINT, ADD INDEX x (late), MODIFY a TINYINT NOT NULL CHECK (a > 5)": 3819,
		"ALTER TABLE t ADD COLUMN z INT, ADD UNIQUE KEY l (late)":                                        1062,
		"ALTER TABLE t MODIFY big LONGTEXT NOT NULL":                                                     1048,
		"ALTER TABLE t ADD CONSTRAINT CHECK (a <> 3)":                                                    3819,
		"ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (late)":                                         1062,
		"ALTER TABLE t MODIFY u INT":                                                                     1366,
	} {
		c.fails(code, query)
	}
	c.want("SHOW CREATE TABLE t", def)
	s.isWhole()

	c.must("ALTER TABLE t MODIFY id INT, DROP PRIMARY KEY, DROP COLUMN id, ADD COLUMN no INT NOT NULL AUTO_INCREMENT PRIMARY KEY FIRST")
	c.must("INSERT INTO t (a) VALUES (10)")
	c.want("SELECT no, a FROM t ORDER BY no", "1|2", "2|3", "3|9", "4|10")
	s.isWhole()
}

func TestAlterAlgorithmAndLock(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, algorithm INT)", "INSERT INTO t VALUES (1, 1, 1)", "SET sql_log_bin = 0")
	for _, query := range []string{
		"ALTER TABLE t MODIFY a BIGINT, ALGORITHM=INSTANT", "ALTER TABLE t ALGORITHM INSTANT, ADD INDEX a (a)", "ALTER TABLE t ADD COLUMN x CHAR(36) DEFAULT (UUID()), ALGORITHM = instant",
		"ALTER TABLE t MODIFY a INT NOT NULL, ALGORITHM=INSTANT", "ALTER TABLE t ADD CHECK (a > 0), ALGORITHM=INSTANT",
	} {
		c.fails(1845, query)
	}
	c.must("SET sql_log_bin = 1")
	for _, options := range []string{"LOCK=NONE", "ALGORITHM=INPLACE, LOCK=NONE", "ALGORITHM = COPY, LOCK NONE"} {
		c.fails(1846, "ALTER TABLE t ADD COLUMN n INT AUTO_INCREMENT UNIQUE, "+options, "LOCK=NONE is not supported. Reason: Adding an auto-increment column requires a lock. Try LOCK=SHARED.")
	}
	c.fails(1846, "ALTER TABLE t ADD COLUMN n INT NOT NULL DEFAULT 1, DROP PRIMARY KEY, ADD PRIMARY KEY (n, id), LOCK=NONE", "the primary key gets a column")
	c.fails(1845, "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES t (id), ALGORITHM=INSTANT")
	c.fails(1221, "ALTER TABLE t ADD COLUMN n INT, ALGORITHM=INSTANT, LOCK=NONE")
	c.must("ALTER TABLE t ADD COLUMN n INT, ALGORITHM=INSTANT", "ALTER TABLE t DROP COLUMN n, ALGORITHM=INSTANT, LOCK=DEFAULT",
		"ALTER TABLE t MODIFY a BIGINT, ALGORITHM=INPLACE, LOCK=NONE", "ALTER TABLE t ADD INDEX a (a), LOCK=NONE", "ALTER TABLE t CHANGE `algorithm` copy_ INT", "ALTER TABLE t RENAME COLUMN copy_ TO algorithm")
	before := s.stored().Primary.Desc.ID
	c.must("ALTER TABLE t COMMENT 'same rows', ALGORITHM=INPLACE")
	if s.stored().Primary.Desc.ID != before {
		t.Error("a comment wrote the rows anew")
	}
	c.must("ALTER TABLE t COMMENT 'new rows', ALGORITHM=COPY")
	if s.stored().Primary.Desc.ID == before {
		t.Error("ALGORITHM=COPY copied nothing")
	}
	c.must("PREPARE p FROM 'ALTER TABLE t COMMENT ''again'', ADD COLUMN i INT AUTO_INCREMENT UNIQUE, LOCK=NONE'")
	c.fails(1846, "EXECUTE p")
	c.must("DROP INDEX a ON t LOCK=NONE", "CREATE INDEX a ON t (a) ALGORITHM=INPLACE LOCK=NONE")
	c.fails(1845, "CREATE INDEX aa ON t (a) ALGORITHM=INSTANT")

	// With LOCK=SHARED writers wait from the first row on, with none only at the end.
	w := s.test()
	w.must("BEGIN", "INSERT INTO t (id) VALUES (2)")
	ddl := s.waits(t, c, "ALTER TABLE t MODIFY a INT, LOCK=SHARED")
	w.must("COMMIT")
	ddl.ends(0)
	c.want("SELECT id, a FROM t ORDER BY id", "1|1", "2|NULL")
	s.isWhole()
}

// A statement that waits for the table's writers shows it, lets new ones go on, and can be
// killed; nothing of it stays.
func TestKillAlterTable(t *testing.T) {
	s := newServer(t)
	c, w, other := s.test(), s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
	before := s.stored()
	for range 2 {
		w.must("BEGIN", "UPDATE t SET a = 9 WHERE id = 1")
		ddl := s.begin(t, c, "ALTER TABLE t ADD INDEX a (a), MODIFY a BIGINT")
		waitFor(t, func() bool {
			rows := strings.Join(other.must("SHOW PROCESSLIST").rows, "\n")
			return strings.Contains(rows, "altering t: waiting for the table's writers|ALTER TABLE t ADD INDEX")
		})
		if state := other.must(fmt.Sprintf("SELECT state FROM performance_schema.processlist WHERE id = %d", c.ID())).rows; !strings.HasPrefix(state[0], "altering t: ") {
			t.Errorf("state %q", state)
		}
		other.must("UPDATE t SET a = a + 10 WHERE id = 2") // waits for half a second at most
		other.must(fmt.Sprintf("KILL QUERY %d", c.ID()))
		ddl.ends(1317)
		w.must("ROLLBACK")
		other.must("CREATE TABLE x (id INT)", "DROP TABLE x") // the catalog is free
	}
	if s.stored() != before {
		t.Error("the table has changed")
	}
	c.want("SELECT * FROM t ORDER BY id", "1|1", "2|22", "3|3")
	c.must("ALTER TABLE t ADD INDEX a (a), MODIFY a BIGINT")
	c.want("SELECT id FROM t WHERE a = 22", "2")
	other.want(fmt.Sprintf("SELECT state FROM performance_schema.processlist WHERE id = %d", c.ID()), "")
	s.isWhole()
}

// A writer that rests for the sake of an ALTER TABLE has committed, and goes on at once when it is killed.
func TestKillRestingWriter(t *testing.T) {
	s := newServer(t)
	c, other := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)")
	tx := s.db.Begin(txn.RepeatableRead)
	defer tx.Rollback()
	b, err := tx.NewBuild(t.Context(), s.stored(), s.stored(), nil, nil, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.SlowWriters(time.Hour)
	insert := s.begin(t, c, "INSERT INTO t VALUES (1)")
	waitFor(t, func() bool { return len(other.must("SELECT id FROM t").rows) == 1 })
	other.must(fmt.Sprintf("KILL QUERY %d", c.ID()))
	insert.ends(0)
	c.must("SELECT 1")
}

// Wherever an ALTER TABLE is when it is killed, or its client leaves, nothing of it stays: no file, no
// key, no lock.
func TestAlterTableEndsEarly(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newServer(t)
	w, other := s.test(), s.test()
	w.must("CREATE TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1), (2)",
		"CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(60), big TEXT, KEY (a))", "INSERT INTO t (a, b, big) VALUES (1, UUID(), REPEAT(UUID(), 40))")
	for range 11 {
		w.must("INSERT INTO t (a, b, big) SELECT a, UUID(), big FROM t")
	}
	changes := [][2]string{
		{"ADD UNIQUE KEY b (b)", "DROP INDEX b"}, {"MODIFY a BIGINT", "MODIFY a INT"}, {"MODIFY id INT, DROP PRIMARY KEY", "ADD PRIMARY KEY (id)"},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)", "DROP FOREIGN KEY fk"}, {"ADD FULLTEXT KEY words (big)", "DROP INDEX words"}, {"ADD CONSTRAINT few CHECK (a < 7), LOCK=SHARED", "DROP CHECK few"},
	}
	before, ended := s.stored(), map[uint16]int{}
	rounds := 120
	if testing.Short() {
		rounds = 24
	}
	for n := range rounds {
		change := changes[n%len(changes)]
		query := "ALTER TABLE t " + change[0]
		c := s.test()
		ctx, leave := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := c.query(ctx, query, false, &collected{})
			done <- err
		}()
		waitFor(t, func() bool { return len(done) > 0 || s.engine.session(c.ID()).state.Load() != nil })
		for range r.IntN(6) {
			w.must("UPDATE t SET b = UUID() WHERE id = 5", "UPDATE p SET id = 3 WHERE id = 2", "UPDATE p SET id = 2 WHERE id = 3")
		}
		if n%2 == 0 {
			leave()
		} else if len(done) == 0 {
			_, _ = other.run(fmt.Sprintf("KILL QUERY %d", c.ID()))
		}
		err := <-done
		leave()
		ended[codeOf(err)]++
		c.Close()
		if err == nil {
			w.must("ALTER TABLE t " + change[1])
			before = s.stored()
		} else if now := s.stored(); codeOf(err) != 1317 || now != before && now.Desc.Version != before.Desc.Version {
			t.Errorf("%s: %v, version %d", query, err, now.Desc.Version)
		}
		for _, l := range s.db.Locks(100) {
			t.Errorf("%s: left the lock %+v", query, l)
		}
		if left, _ := s.store.FS().List(s.store.FS().PathJoin(s.dir, "tmp")); len(left) > 0 {
			t.Errorf("%s: left the files %q", query, left)
		}
	}
	t.Logf("ended with %v", ended)
	if ended[1317] == 0 {
		t.Error("none ended early")
	}
	s.isWhole()
}

// At whichever step the disk is full for what an ALTER TABLE writes beside the store, the statement
// fails and nothing of it stays; others write meanwhile, and with space again it works.
func TestAlterTableWithFullDisk(t *testing.T) {
	var steps, full atomic.Int64 // of the steps since, the one from which on there is no space
	s := &server{t: t, dir: "/db"}
	s.fs = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if at := full.Load(); at > 0 && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpRemoveAll &&
			strings.Contains(op.Path, "/tmp/") && steps.Add(1) >= at {
			return syscall.ENOSPC
		}
		return nil
	}))
	s.start()
	t.Cleanup(s.stop)
	if err := s.engine.SetAdministrator(context.Background(), "root", "%", "secret"); err != nil {
		t.Fatal(err)
	}
	s.root().must("CREATE DATABASE test")
	c := s.test()
	c.must("CREATE TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1), (2)",
		"CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(60), KEY (a))", "INSERT INTO t VALUES (1, 1, 'one'), (2, 1, 'two'), (3, 2, REPEAT('3', 50)), (4, NULL, NULL)")
	for _, query := range []string{
		"ALTER TABLE t ADD UNIQUE KEY b (b), ADD INDEX ab (a, b)", "ALTER TABLE t MODIFY a BIGINT, MODIFY id BIGINT", "ALTER TABLE t DROP PRIMARY KEY", "ALTER TABLE t ADD PRIMARY KEY (id), LOCK=SHARED",
		"ALTER TABLE t MODIFY a INT, ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)",
	} {
		refused := 0
		for at := int64(1); ; at++ {
			before := s.stored().Desc.Version
			steps.Store(0)
			full.Store(at)
			_, err := c.run(query)
			full.Store(0)
			if err == nil {
				break
			}
			if refused++; codeOf(err) != 1021 {
				t.Errorf("%s: step %d: %v", query, at, err)
			}
			if now := s.stored().Desc.Version; now != before {
				t.Errorf("%s: step %d: version %d of %d", query, at, now, before)
			}
			c.must("UPDATE t SET b = 'changed' WHERE id = 2")
			if left, _ := s.fs.List("/db/tmp"); len(left) > 0 {
				t.Fatalf("%s: step %d left %q", query, at, left)
			}
		}
		if refused < 3 {
			t.Errorf("%s: has only %d steps", query, refused)
		}
		s.isWhole()
	}
	c.want("SELECT * FROM t ORDER BY id", "1|1|one", "2|1|changed", "3|2|"+strings.Repeat("3", 50), "4|NULL|NULL")
}

// Rows without primary key have no order that is the same everywhere: to number them gives a warning.
func TestNumbersOfRowsWithoutKey(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE keyed (id INT PRIMARY KEY)", "INSERT INTO keyed VALUES (1)", "CREATE TABLE t (a INT)",
		"ALTER TABLE keyed ADD COLUMN n INT AUTO_INCREMENT UNIQUE", "ALTER TABLE t ADD COLUMN n INT AUTO_INCREMENT UNIQUE")
	c.want("SHOW WARNINGS")
	c.must("ALTER TABLE t DROP COLUMN n", "INSERT INTO t VALUES (7), (5)", "ALTER TABLE t ADD COLUMN n INT AUTO_INCREMENT PRIMARY KEY FIRST")
	c.want("SHOW WARNINGS", "Warning|1592|Unsafe statement written to the binary log: table 't' has no primary key, so its rows may get other numbers on a replica")
	c.want("SELECT * FROM t ORDER BY n", "1|7", "2|5")
}

// Writers go on while a column becomes AUTO_INCREMENT, unless a row needs a number.
func TestColumnBecomesAutoIncrement(t *testing.T) {
	s := newServer(t)
	c, w := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, big LONGTEXT, KEY (a))", "INSERT INTO t VALUES (3, 3, 'c'), (7, 7, REPEAT('x', 20000))",
		"ALTER TABLE t MODIFY id INT AUTO_INCREMENT, LOCK=NONE", "INSERT INTO t (a) VALUES (8)", "ALTER TABLE t MODIFY id INT, LOCK=NONE", "INSERT INTO t (id, a) VALUES (0, 0)")
	c.fails(1846, "ALTER TABLE t MODIFY id INT AUTO_INCREMENT, LOCK=NONE")
	c.must("ALTER TABLE t MODIFY id INT AUTO_INCREMENT")
	c.want("SELECT id, a, LENGTH(big) FROM t ORDER BY id", "1|0|NULL", "3|3|1", "7|7|20000", "8|8|NULL")
	c.want("SELECT a FROM t WHERE id = 1", "0")
	c.want("SELECT id FROM t WHERE a = 0", "1")
	s.isWhole()

	// A row that needs one comes while the writers are waited for.
	c.must("ALTER TABLE t MODIFY id INT, MODIFY a INT NOT NULL, DROP PRIMARY KEY, ADD PRIMARY KEY (a), ADD UNIQUE KEY id (id)")
	w.must("BEGIN", "INSERT INTO t (id, a) VALUES (0, 5)")
	ddl := s.waits(t, c, "ALTER TABLE t MODIFY id INT AUTO_INCREMENT")
	w.must("COMMIT")
	ddl.ends(0)
	c.want("SELECT id, a FROM t ORDER BY a", "1|0", "3|3", "4|5", "7|7", "8|8")
	c.must("ALTER TABLE t MODIFY id INT")
	w.must("BEGIN", "UPDATE t SET id = 12, big = '' WHERE a = 3")
	ddl = s.waits(t, c, "ALTER TABLE t MODIFY id INT AUTO_INCREMENT")
	w.must("COMMIT")
	ddl.ends(0)
	c.must("INSERT INTO t (a) VALUES (9)")
	c.want("SELECT id, a FROM t ORDER BY a", "1|0", "12|3", "4|5", "7|7", "8|8", "13|9")
	s.isWhole()

	// Without a key rows are found by the keys that they had.
	c.must("ALTER TABLE t MODIFY id INT", "ALTER TABLE t MODIFY id INT, DROP INDEX id")
	w.must("BEGIN", "UPDATE t SET big = REPEAT('y', 9000) WHERE a = 5", "DELETE FROM t WHERE a = 7", "INSERT INTO t (a) VALUES (1)")
	ddl = s.waits(t, c, "ALTER TABLE t DROP PRIMARY KEY, LOCK=NONE")
	w.must("COMMIT")
	ddl.ends(0)
	c.want("SELECT a, LENGTH(big) FROM t ORDER BY a", "0|NULL", "1|NULL", "3|0", "5|9000", "8|NULL", "9|NULL")
	c.must("UPDATE t SET id = a", "DELETE FROM t WHERE a = 5", "INSERT INTO t (id, a) VALUES (1, 1)")
	c.want("SELECT id, a FROM t ORDER BY a", "0|0", "1|1", "1|1", "3|3", "8|8", "9|9")
	s.isWhole()
}

// A foreign key comes while others write both tables: what they do to rows that were looked at
// already counts, and so does what is still to be committed.
func TestForeignKeyBesideWriters(t *testing.T) {
	for _, step := range []struct {
		add, meanwhile string
		code           uint16
	}{
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)", "DELETE FROM p WHERE id = 3", 0},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)", "DELETE FROM p WHERE id = 2", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)", "UPDATE p SET id = 5 WHERE id = 2", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)", "INSERT INTO t (id, a) VALUES (4, 4)", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id)", "UPDATE t SET a = 3 WHERE id = 3", 0},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id), MODIFY code VARCHAR(40) FIRST", "UPDATE t SET a = 9 WHERE id = 3", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id), MODIFY code TEXT, DROP PRIMARY KEY", "DELETE FROM p WHERE id = 1", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (n, code) REFERENCES p (n, code)", "UPDATE p SET n = 7 WHERE id = 1", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (n, code) REFERENCES p (n, code)", "UPDATE p SET id = 7 WHERE id = 1", 0},
		{"ADD INDEX (n), ADD CONSTRAINT fk FOREIGN KEY (n, code) REFERENCES p (n, code) ON DELETE CASCADE", "UPDATE t SET n = 1 WHERE id = 3", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (up) REFERENCES t (id)", "DELETE FROM t WHERE id = 1", 1452},
		{"ADD CONSTRAINT fk FOREIGN KEY (up) REFERENCES t (id)", "DELETE FROM t WHERE id = 3", 0},
		{"ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id), ADD CONSTRAINT fk2 FOREIGN KEY (up) REFERENCES t (id)", "INSERT INTO t (id, up) VALUES (5, 6)", 1452},
	} {
		t.Run(step.add+" beside "+step.meanwhile, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.withParents()
			c, w, other := s.test(), s.test(), s.test()
			before := c.must("SHOW CREATE TABLE t").rows[0]
			w.must("BEGIN", "UPDATE p SET n = 4 WHERE id = 3", step.meanwhile, "UPDATE p SET code = 'THREE' WHERE id = 3")
			ddl := s.begin(t, c, "ALTER TABLE t "+step.add+", LOCK=NONE")
			waitFor(t, func() bool {
				return len(ddl.done) > 0 || strings.Contains(fmt.Sprint(other.must("SHOW PROCESSLIST").rows), "waiting for the table's writers")
			})
			if len(ddl.done) > 0 {
				t.Fatal(<-ddl.done)
			}
			other.must("INSERT INTO p VALUES (8, 'eight', 8)", "INSERT INTO t VALUES (8, 8, 'eight', 8, 8)", "DELETE FROM t WHERE id = 8", "DELETE FROM p WHERE id = 8")
			w.must("COMMIT")
			ddl.ends(step.code)
			if step.code == 0 {
				c.must("ALTER TABLE t DROP FOREIGN KEY fk", "ALTER TABLE t DROP INDEX fk")
			}
			if now := c.must("SHOW CREATE TABLE t").rows[0]; now != before {
				t.Errorf("the table is %s", now)
			}
			s.isWhole()
		})
	}
}

// Transactions that leave no row without a parent never keep a foreign key away, in whichever order
// they write; and those that do are found.
func TestForeignKeyOverTransactions(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := newServer(t)
	ddl := s.test()
	ddl.must("CREATE TABLE p (id INT PRIMARY KEY, n INT)", "CREATE TABLE t (id INT PRIMARY KEY, p INT)")
	var wait sync.WaitGroup
	var done, wrong atomic.Bool
	var commits atomic.Int64
	for i := range 4 {
		c, r := s.test(), rand.New(rand.NewPCG(seed, uint64(i)))
		wait.Go(func() {
			for !done.Load() {
				id := r.IntN(25)*4 + i
				ops := []string{
					fmt.Sprintf("REPLACE INTO p VALUES (%d, 0)", id), fmt.Sprintf("REPLACE INTO t VALUES (%d, %d)", id, id),
					fmt.Sprintf("DELETE FROM p WHERE id = %d", id), fmt.Sprintf("DELETE FROM t WHERE p = %d", id),
				}
				from := 2 * r.IntN(2)
				if ops = ops[from : from+2]; r.IntN(2) == 0 {
					ops[0], ops[1] = ops[1], ops[0]
				}
				if wrong.Load() && r.IntN(20) == 0 {
					ops = ops[:1]
				}
				if err := c.transaction(ops...); err != nil && codeOf(err) != 1451 && codeOf(err) != 1452 && codeOf(err) != 1412 {
					t.Error(err)
				}
				commits.Add(1)
			}
		})
	}
	rounds := 30
	if testing.Short() {
		rounds = 8
	}
	for n := range 2 * rounds {
		before := commits.Load()
		waitFor(t, func() bool { return commits.Load() > before+20 })
		_, err := ddl.run("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id), LOCK=NONE")
		if err != nil && (n < rounds || codeOf(err) != 1452) {
			t.Errorf("round %d: %v", n, err)
		}
		if err == nil {
			ddl.want("SELECT COUNT(*) FROM t LEFT JOIN p ON p.id = t.p WHERE p.id IS NULL", "0")
			ddl.must("ALTER TABLE t DROP FOREIGN KEY fk", "ALTER TABLE t DROP INDEX fk")
		}
		wrong.Store(n+1 >= rounds)
		if err := ddl.transaction("DELETE FROM t", "DELETE FROM p"); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	wait.Wait()
	s.isWhole()
}

// withParents makes a table t whose rows have parents in p and in itself.
func (s *server) withParents() {
	s.test().must("CREATE TABLE p (id INT PRIMARY KEY, code VARCHAR(20) NOT NULL, n BIGINT, UNIQUE KEY (n, code))", "INSERT INTO p VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
		"CREATE TABLE t (id INT PRIMARY KEY, a INT, code VARCHAR(30), n BIGINT, up INT)", "INSERT INTO t VALUES (1, 1, 'ONE', 1, 1), (2, 2, 'two', 2, 1), (3, NULL, 'x', NULL, NULL)")
}

// A foreign key is looked at in the rows that the statement makes, not in those that it finds: what
// loses digits on the way, and columns that exchange their names.
func TestForeignKeyOverChangedColumns(t *testing.T) {
	s := newServer(t)
	c := s.test()
	for _, x := range []struct {
		parent, value, was, is string
		code                   uint16
	}{
		{"DECIMAL(10,4)", "1.2345", "DECIMAL(10,4)", "DECIMAL(10,2)", 1452},
		{"DECIMAL(10,2)", "1.2341", "DECIMAL(10,4)", "DECIMAL(10,2)", 0},
		{"TIME(6)", "'01:02:03.4'", "TIME(6)", "TIME", 1452},
		{"DATETIME", "'2020-01-02 03:04:05.000004'", "DATETIME(6)", "DATETIME", 0},
	} {
		c.must("CREATE TABLE p (d "+x.parent+" PRIMARY KEY)", "INSERT INTO p VALUES ("+x.value+")", "CREATE TABLE t (id INT PRIMARY KEY, d "+x.was+")", "INSERT INTO t VALUES (1, "+x.value+")")
		if _, err := c.run("ALTER TABLE t MODIFY d " + x.is + ", ADD CONSTRAINT fk FOREIGN KEY (d) REFERENCES p (d)"); codeOf(err) != x.code {
			t.Errorf("%+v: %v", x, err)
		}
		c.must("DROP TABLE t, p")
	}
	c.must("CREATE TABLE t (a INT PRIMARY KEY, b INT UNIQUE, x INT)", "INSERT INTO t VALUES (1, 5, 1), (2, 6, 2)")
	c.fails(1452, "ALTER TABLE t RENAME COLUMN a TO c, RENAME COLUMN b TO a, ADD CONSTRAINT fk FOREIGN KEY (x) REFERENCES t (a)")
	c.must("UPDATE t SET x = b", "ALTER TABLE t RENAME COLUMN a TO c, RENAME COLUMN b TO a, ADD CONSTRAINT fk FOREIGN KEY (x) REFERENCES t (a)")
	s.isWhole()
}

// Keys that have another form in the parent are not followed, nor is the rest of such a statement;
// without foreign_key_checks no row is looked at, and a new name for columns is no new key.
func TestForeignKeyThatIsNotFollowed(t *testing.T) {
	s := newServer(t)
	s.withParents()
	c := s.test()
	c.must("CREATE TABLE fixed (code CHAR(20) PRIMARY KEY)", "INSERT INTO fixed VALUES ('one'), ('two')")
	c.fails(1846, "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (code) REFERENCES fixed (code), LOCK=NONE")
	c.fails(1452, "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (code) REFERENCES fixed (code), ADD INDEX (n)")
	c.fails(1846, "ALTER TABLE t ADD COLUMN m INT NOT NULL DEFAULT 1, DROP PRIMARY KEY, ADD PRIMARY KEY (m, id), LOCK=NONE", "the primary key gets a column")
	c.fails(1845, "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id), ALGORITHM=INSTANT")
	c.must("INSERT INTO fixed VALUES ('x')", "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (code) REFERENCES fixed (code), ADD INDEX (n)", "ALTER TABLE t DROP FOREIGN KEY fk", "ALTER TABLE t DROP INDEX fk",
		"SET foreign_key_checks = 0", "INSERT INTO t (id, a) VALUES (9, 99)", "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id), LOCK=NONE", "SET foreign_key_checks = 1")
	c.fails(1452, "INSERT INTO t (id, a) VALUES (10, 98)")
	c.fails(1452, "ALTER TABLE t DROP FOREIGN KEY fk, ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES p (id)")
	c.must("ALTER TABLE t RENAME COLUMN a TO aa, ALGORITHM=INSTANT", "ALTER TABLE t RENAME TO u", "ALTER TABLE u DROP FOREIGN KEY fk")
	s.isWhole()
}

// Clients write while the table is altered in every way; in the end each row is what its
// client wrote, and every index goes with the rows.
func TestAlterTableUnderWriters(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := newServer(t)
	setup := s.test()
	setup.must("CREATE TABLE t (id INT NOT NULL, a INT, b VARCHAR(30), big LONGTEXT, PRIMARY KEY (id), KEY a (a), UNIQUE KEY ub (b))")
	const clients = 4
	var wait sync.WaitGroup
	var stop atomic.Bool
	var done atomic.Int64
	var mu sync.Mutex
	want := map[int]string{}
	for n := range clients {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		c := s.test()
		wait.Go(func() {
			mine := map[int]string{}
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				for id, row := range mine {
					want[id] = row
				}
			}()
			for !stop.Load() {
				id, a, size := r.IntN(60)*clients+n+1, r.IntN(20), r.IntN(4)*6000
				b := fmt.Sprintf("%d-%d", n, r.IntN(50))
				row := fmt.Sprintf("%d|%s|%d", a, b, size)
				var query string
				_, there := mine[id]
				switch {
				case !there:
					query = fmt.Sprintf("INSERT INTO t (id, a, b, big) VALUES (%d, %d, '%s', REPEAT('x', %d))", id, a, b, size)
				case r.IntN(4) == 0:
					query, row = fmt.Sprintf("DELETE FROM t WHERE id = %d", id), ""
				default:
					query = fmt.Sprintf("UPDATE t SET a = %d, b = '%s', big = REPEAT('x', %d) WHERE id = %d", a, b, size, id)
				}
				out, err := c.run(query)
				switch code := codeOf(err); {
				case err == nil && out.affected == 0 && there && mine[id] != row:
					t.Errorf("%s: no row", query)
				case err == nil && row == "":
					delete(mine, id)
				case err == nil:
					mine[id] = row
				case code != 1062 && code != 1412 && code != 1213:
					t.Errorf("%s: %v", query, err)
				}
				done.Add(1)
			}
		})
	}
	ddl := s.test()
	r := rand.New(rand.NewPCG(seed, clients))
	alters := []string{
		"ADD INDEX more (a, b)", "DROP INDEX more", "MODIFY a BIGINT", "MODIFY a INT", "MODIFY b VARCHAR(60)", "MODIFY b VARCHAR(30)",
		"ADD COLUMN x INT NOT NULL DEFAULT 7 FIRST", "DROP COLUMN x", "ADD COLUMN g BIGINT AS (a + 1) STORED, ADD INDEX g (g)", "DROP COLUMN g",
		"MODIFY id BIGINT NOT NULL", "MODIFY id INT NOT NULL", "DROP PRIMARY KEY, ADD PRIMARY KEY (id, a)", "DROP PRIMARY KEY, ADD PRIMARY KEY (id)",
		"ADD UNIQUE KEY ab (a, b)", "DROP INDEX ab", "ADD UNIQUE KEY only (a)", "MODIFY big LONGTEXT FIRST", "ADD CONSTRAINT few CHECK (a < 20)", "DROP CHECK few",
		"CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "ALGORITHM=COPY, COMMENT 'copied'", "ADD COLUMN u CHAR(36) NOT NULL DEFAULT (NOW())", "DROP COLUMN u", "DROP PRIMARY KEY", "ADD PRIMARY KEY (id)",
		"MODIFY id INT NOT NULL AUTO_INCREMENT",
	}
	rounds := 200
	if testing.Short() {
		rounds = 50
	}
	worked := 0
	for range rounds {
		before := done.Load()
		waitFor(t, func() bool { return done.Load() > before+5 })
		query := "ALTER TABLE t " + alters[r.IntN(len(alters))]
		_, err := ddl.run(query)
		if err == nil {
			worked++
		} else if code := codeOf(err); code == 1412 || code == 1213 || code == 1205 || code == 1317 || strings.Contains(err.Error(), "internal") {
			t.Errorf("%s: %v", query, err)
		}
	}
	stop.Store(true)
	wait.Wait()
	if worked < rounds/5 {
		t.Errorf("%d of %d statements worked", worked, rounds)
	}
	rows := setup.must("SELECT id, a, b, LENGTH(big) FROM t").rows
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %d", len(rows), len(want))
	}
	for _, row := range rows {
		id, rest, _ := strings.Cut(row, "|")
		var n int
		fmt.Sscan(id, &n)
		if want[n] != rest {
			t.Errorf("row %s is %s, want %s", id, rest, want[n])
		}
	}
	s.isWhole()
}

// A text whose default is the time, in brackets, keeps the table changeable.
func TestAlterBesideADefaultOfNow(t *testing.T) {
	c := newServer(t).test()
	c.must("SET timestamp = 1700000000.125", "CREATE TABLE t (id INT PRIMARY KEY, a INT, u CHAR(36) NOT NULL DEFAULT (NOW()))",
		"ALTER TABLE t ADD COLUMN w VARCHAR(40) DEFAULT (NOW(3))", "ALTER TABLE t MODIFY a BIGINT", "ALTER TABLE t MODIFY a INT", "INSERT INTO t (id) VALUES (1)")
	c.want("SELECT u <= NOW(), LENGTH(w) FROM t", "1|23")
	c.must("ALTER TABLE t DROP COLUMN u")
}
