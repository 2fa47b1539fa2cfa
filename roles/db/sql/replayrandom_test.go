package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/apply"
	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store/crashfs"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// workload runs random statements in one session. Statements may fail, as a client's do.
type workload struct {
	c       *client
	r       *rand.Rand
	columns int // added so far
	open    bool
}

func (w *workload) value() string {
	switch w.r.IntN(8) {
	case 0:
		return "NULL"
	case 1:
		return fmt.Sprint(w.r.IntN(200) - 100)
	case 2:
		return "'" + strings.Repeat("é", w.r.IntN(40)) + "'"
	case 3:
		return fmt.Sprintf("'%d.%d'", w.r.IntN(50), w.r.IntN(100))
	case 4:
		return fmt.Sprintf("REPEAT('%c', %d)", 'a'+w.r.IntN(26), w.r.IntN(12000))
	case 5:
		return "'2026-03-0" + fmt.Sprint(1+w.r.IntN(9)) + " 10:11:12.123456'"
	case 6:
		return fmt.Sprintf("'{\"k%d\": [%d, \"x\"]}'", w.r.IntN(5), w.r.IntN(100000))
	}
	return fmt.Sprintf("'%c'", 'a'+w.r.IntN(6))
}

var randomTables = []string{"keyed", "keyless", "bare", "wide", "worded"}

var randomSchema = []string{
	"CREATE TABLE keyed (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(60), c DECIMAL(10,2), d DATETIME(3), j JSON, t LONGTEXT, KEY (a), UNIQUE KEY (b), KEY (c, d))",
	"CREATE TABLE keyless (a INT, b VARCHAR(60), c DOUBLE, d TIMESTAMP(6) NULL, j JSON, t TEXT, KEY (a), KEY (b(4)))",
	"CREATE TABLE bare (a INT, b VARCHAR(60) CHARACTER SET latin1, c FLOAT, d DATE, j JSON, t BLOB)",
	"CREATE TABLE worded (a INT, b VARCHAR(60), c INT, d DATETIME, j JSON, t LONGTEXT, FULLTEXT KEY (b), FULLTEXT KEY (b, t))",
	"CREATE TABLE wide (a INT, b VARCHAR(60), " + wideColumns(90) + ", c BIGINT, d TIME, j JSON, t TEXT, PRIMARY KEY (a, b))",
	"CREATE TABLE audit (n INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(100))",
	"CREATE TRIGGER gone AFTER DELETE ON keyed FOR EACH ROW INSERT INTO audit (what) VALUES (OLD.b)",
	"CREATE TABLE part (id INT PRIMARY KEY, k INT, FOREIGN KEY (k) REFERENCES keyed (id) ON DELETE CASCADE)",
}

func wideColumns(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("w%d INT DEFAULT %d", i, i)
		if i%3 == 0 {
			list[i] = fmt.Sprintf("w%d VARCHAR(20)", i)
		}
	}
	return strings.Join(list, ", ")
}

func (w *workload) row() string {
	return "(" + strings.Join([]string{fmt.Sprint(w.r.IntN(60)), w.value(), fmt.Sprint(w.r.IntN(900)), w.value(), w.value(), w.value()}, ", ") + ")"
}

// statement is the next one.
func (w *workload) statement() string {
	r := w.r
	table := randomTables[r.IntN(len(randomTables))]
	switch k := r.IntN(100); {
	case k < 35:
		rows := make([]string, 1+r.IntN(6))
		for i := range rows {
			rows[i] = w.row()
		}
		verb := []string{"INSERT", "INSERT IGNORE", "REPLACE"}[r.IntN(3)]
		return verb + " INTO " + table + " (a, b, c, d, j, t) VALUES " + strings.Join(rows, ", ")
	case k < 42:
		return "INSERT INTO keyed (a, b) VALUES (1, " + w.value() + ") ON DUPLICATE KEY UPDATE a = a + 1, t = " + w.value()
	case k < 60:
		return fmt.Sprintf("UPDATE %s SET %s = %s WHERE a BETWEEN %d AND %d", table, []string{"a", "b", "c", "t", "j"}[r.IntN(5)], w.value(), r.IntN(50), r.IntN(80))
	case k < 68:
		return fmt.Sprintf("DELETE FROM %s WHERE a = %d LIMIT %d", table, r.IntN(60), 1+r.IntN(5))
	case k < 72:
		return fmt.Sprintf("INSERT IGNORE INTO part SELECT id, id FROM keyed WHERE a < %d", r.IntN(60))
	case k < 76:
		return fmt.Sprintf("INSERT INTO %s (a, b, c) SELECT a + 1000 + %d, CONCAT(a, '-', %d), 5 FROM %s LIMIT 50", table, r.IntN(1000), r.IntN(1e6), randomTables[r.IntN(3)])
	case k < 88:
		w.open = !w.open
		if w.open {
			return "BEGIN"
		}
		return []string{"COMMIT", "COMMIT", "ROLLBACK"}[r.IntN(3)]
	case k < 91:
		return []string{"SAVEPOINT s", "ROLLBACK TO s"}[r.IntN(2)]
	}
	w.open = false
	w.columns++
	switch r.IntN(7) {
	case 0:
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN x%d VARCHAR(20) DEFAULT 'd%d'", table, w.columns, w.columns)
	case 1:
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN y%d INT NOT NULL DEFAULT %d, ADD KEY (y%d)", table, w.columns, w.columns, w.columns)
	case 2:
		return fmt.Sprintf("ALTER TABLE %s DROP COLUMN x%d", table, r.IntN(w.columns+1))
	case 3:
		return fmt.Sprintf("CREATE TABLE copy%d SELECT a, b, t FROM %s", w.columns, table)
	case 4:
		return fmt.Sprintf("DROP TABLE IF EXISTS copy%d", r.IntN(w.columns+1))
	case 5:
		return fmt.Sprintf("CREATE USER u%d IDENTIFIED BY 'p'", w.columns)
	default:
		return fmt.Sprintf("CREATE OR REPLACE VIEW v%d AS SELECT a, b FROM %s", r.IntN(4), table)
	}
}

// randomServer is a server after n random statements.
func randomServer(t testing.TB, r *rand.Rand, n int) *server {
	s := newServer(t)
	s.writeSet = 256 << 10
	s.restart()
	w := &workload{c: s.test(), r: r}
	w.c.must(randomSchema...)
	failed := 0
	for range n {
		text := w.statement()
		if _, err := w.c.run(text); err != nil {
			failed++
			var e *wire.Error
			if errors.As(err, &e) && e.Code == 1105 && !strings.Contains(err.Error(), "ncorrect") {
				t.Logf("%.200s\n%v", text, err)
			}
		}
	}
	if failed > n*2/3 {
		t.Fatalf("%d of %d statements failed: the workload says nothing", failed, n)
	}
	w.c.must("ROLLBACK")
	return s
}

func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 9))
}

// A server to which the log of random work is applied is the server that did it.
func TestReplayOfRandomWork(t *testing.T) {
	n := 400
	if !testing.Short() {
		n = 6000
	}
	a := randomServer(t, seeded(t), n)
	b := blankServer(t, nil)
	b.mustFollow(a)
	b.countersReach(a)
	b.sameAs(a)
}

// countersReach raises counters that are behind: values that a rollback has used are in
// no log. None may be ahead.
func (s *server) countersReach(other *server) {
	s.t.Helper()
	for _, d := range other.db.Catalog().Databases() {
		for _, theirs := range other.db.Catalog().Tables(d.Name) {
			ours := s.db.Catalog().Table(d.Name, theirs.Desc.Name)
			if theirs.AutoIncrementColumn() < 0 || ours == nil {
				continue
			}
			want, err := other.db.PeekAutoIncrement(theirs)
			if err != nil {
				s.t.Fatal(err)
			}
			got, err := s.db.PeekAutoIncrement(ours)
			if err != nil || got > want {
				s.t.Fatalf("the counter of %s is %d, where it comes from %d: %v", ours.Desc.Name, got, want, err)
			}
			tx := s.db.Begin(txn.RepeatableRead)
			if err := tx.RaiseAutoIncrement(ours, want); err != nil {
				s.t.Fatal(err)
			}
			tx.Rollback()
		}
	}
}

// A crash at any moment loses nothing that was flushed and doubles nothing.
func TestReplayOverCrashes(t *testing.T) {
	rounds, statements := 6, 150
	if !testing.Short() {
		rounds, statements = 60, 1200
	}
	r := seeded(t)
	a := randomServer(t, r, statements)
	fs := crashfs.New()
	b := blankServer(t, fs)
	for round := range rounds {
		clone := make(chan *vfs.MemFS, 1)
		seed := r.Uint64()
		after := time.Duration(r.IntN(60)) * time.Millisecond
		go func() {
			time.Sleep(after)
			clone <- fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, 3))})
		}()
		if err := b.followSome(a, r); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		next := crashfs.Of(<-clone)
		before := b.db.ExecutedSet()
		b.stop()
		fs = next
		b.fs = fs
		b.start()
		// The clone is of some moment of the round: never beyond, and never a transaction by half.
		have, _ := event.ParseGTIDs(b.db.ExecutedSet())
		had, _ := event.ParseGTIDs(before)
		if !had.Contains(have) {
			t.Fatalf("round %d: %s after a crash at or before %s", round, have, before)
		}
		if report, err := b.db.Check(context.Background(), nil); err != nil || len(report.Problems) > 0 {
			t.Fatalf("round %d: check: %v, %v", round, err, report.Problems)
		}
	}
	b.mustFollow(a)
	b.countersReach(a)
	b.sameAs(a)
}

// followSome applies a random number of transactions.
func (s *server) followSome(from *server, r *rand.Rand) error {
	reader, err := from.db.Binlog().Open(binlog.Position{File: from.db.Binlog().Files()[0].Number})
	if err != nil {
		return err
	}
	defer reader.Close()
	src := apply.FromLog(reader)
	a := apply.New(s.db, s.engine)
	defer a.Close()
	ctx := context.Background()
	for range 5 + r.IntN(60) {
		g, server, err := a.Next(ctx, src)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = a.Apply(ctx, src, g, server)
		}
		if err == nil && r.IntN(4) == 0 {
			err = a.Flush(ctx)
		}
		if err != nil {
			return err
		}
	}
	return a.Flush(ctx)
}

// What does not fit stops, names table, key and transaction, and leaves what came before.
func TestReplayStopsWhereDataDiffers(t *testing.T) {
	for _, step := range []struct{ differ, change, want string }{
		{"UPDATE t SET v = 'other' WHERE id = 2", "UPDATE t SET v = 'new' WHERE id = 2", "table test.t, key id=2: the row is another one"},
		{"DELETE FROM t WHERE id = 2", "UPDATE t SET v = 'new' WHERE id = 2", "table test.t, key id=2: there is no such row"},
		{"DELETE FROM t WHERE id = 2", "DELETE FROM t WHERE id = 2", "table test.t, key id=2: there is no such row"},
		{"INSERT INTO t VALUES (9, 'x')", "INSERT INTO t VALUES (9, 'y')", "table test.t, key id=9, is there already"},
		{"UPDATE bare SET v = 5 LIMIT 1", "DELETE FROM bare", "table test.bare, key a=1 v=1: there is no such row"},
		{"DROP TABLE bare", "INSERT INTO bare VALUES (2, 2)", "table test.bare does not exist here"},
		{"ALTER TABLE t ADD n INT", "DELETE FROM t WHERE id = 1", "2 columns in the log, 3 here"},
		{"ALTER TABLE t RENAME COLUMN v TO w", "DELETE FROM t WHERE id = 1", "column 2 is v in the log, w here"},
	} {
		a := newServer(t)
		c := a.test()
		c.must("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
			"CREATE TABLE bare (a INT, v INT)", "INSERT INTO bare VALUES (1, 1)", "CREATE TABLE good (id INT PRIMARY KEY)")
		b := blankServer(t, nil)
		b.mustFollow(a)
		local := b.test()
		local.must("SET sql_log_bin = 0", step.differ)
		c.must("INSERT INTO good VALUES (3)", step.change)
		failing := a.db.Executed()
		_, err := b.follow(a)
		if !errors.Is(err, txn.ErrDiverged) || !strings.Contains(err.Error(), step.want) || !strings.Contains(err.Error(), fmt.Sprintf("%s:%d", failing.Server, failing.Seq)) {
			t.Errorf("%s after %s: %v", step.change, step.differ, err)
		}
		local.want("SELECT id FROM good", "3")
		a.stop()
		b.stop()
	}
}

// Rows of tables without key are found in order, by the best index; many of them do not
// take forever.
func TestReplayOfManyRowsWithoutKey(t *testing.T) {
	rows := 3000
	if !testing.Short() {
		rows = 100000
	}
	a := newServer(t)
	c := a.test()
	c.must("CREATE TABLE bare (a INT, b VARCHAR(40))")
	for from := 0; from < rows; from += 1000 {
		list := make([]string, 1000)
		for i := range list {
			list[i] = fmt.Sprintf("(%d, 'row %d')", from+i, from+i)
		}
		c.must("INSERT INTO bare VALUES " + strings.Join(list, ", "))
	}
	c.must("UPDATE bare SET b = CONCAT(b, '!')", "DELETE FROM bare WHERE a % 2 = 1", "UPDATE bare SET a = a + 1")
	b := blankServer(t, nil)
	start := time.Now()
	b.mustFollow(a)
	t.Logf("%d rows in %v", rows, time.Since(start))
	b.sameAs(a)
}

// A server that refuses writes applies.
func TestReplayOnAReadOnlyServer(t *testing.T) {
	a := newServer(t)
	a.test().must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	b := blankServer(t, nil)
	b.db.SetReadOnly(true)
	b.mustFollow(a)
	b.sameAs(a)
	tx := b.db.Begin(txn.RepeatableRead)
	defer tx.Rollback()
	if err := tx.InsertRow(context.Background(), b.db.Catalog().Table("test", "t"), []any{int32(5)}); !errors.Is(err, txn.ErrReadOnly) {
		t.Errorf("a read-only server took a row: %v", err)
	}
}
