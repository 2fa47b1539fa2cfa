package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func (c *client) plan(query string) string {
	c.t.Helper()
	var b strings.Builder
	for _, row := range c.must("EXPLAIN FORMAT=TREE " + query).rows {
		b.WriteString(row + "\n")
	}
	return b.String()
}

// statisticsTable has 4,000 rows: a is 1 in 3,900 of them, b is 1 in 10.
func statisticsTable(c *client) {
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, s VARCHAR(20), d INT, KEY a (a), KEY b (b), KEY s (s), KEY d (d DESC, a))")
	for base := 0; base < 4000; base += 1000 {
		var values []string
		for i := base; i < base+1000; i++ {
			a, b, d := 1, i/10, fmt.Sprint(i%7)
			if i >= 3900 {
				a = i
			}
			if i%2 == 0 {
				d = "NULL"
			}
			values = append(values, fmt.Sprintf("(%d,%d,%d,'text %d',%s)", i, a, b, i%50, d))
		}
		c.must("INSERT INTO t VALUES " + strings.Join(values, ","))
	}
}

func TestStatistics(t *testing.T) {
	s := newServer(t)
	c := s.test()
	statisticsTable(c)
	// Without statistics the planner takes the index that comes first by name.
	const both = "SELECT s FROM t WHERE a = 1 AND b = 77 AND CONCAT(s, s) <> 'x'"
	if got := c.plan(both); !strings.Contains(got, "[t.a]") {
		t.Errorf("without statistics:\n%s", got)
	}
	c.want("ANALYZE TABLE t", "test.t|analyze|status|OK")
	if got := c.plan(both); !strings.Contains(got, "[t.b]") {
		t.Errorf("with statistics:\n%s", got)
	}
	c.want("SELECT COUNT(*) FROM ("+both+") x", "10")
	check := func() {
		t.Helper()
		c.want("SELECT INDEX_NAME, SEQ_IN_INDEX, CARDINALITY, COLLATION FROM information_schema.statistics WHERE table_name = 't' ORDER BY 1, 2",
			"a|1|101|A", "b|1|400|A", "d|1|8|A", "d|2|108|A", "PRIMARY|1|4000|A", "s|1|50|A")
		c.want("SELECT COUNT(*) FROM information_schema.column_statistics WHERE schema_name = 'test'", "5")
	}
	check()
	c.want("SHOW INDEX FROM t WHERE Key_name = 'b' AND Cardinality > 100", "t|1|b|1|b|A|400|NULL|NULL|YES|BTREE|||YES|NULL")
	c.want("SHOW KEYS FROM test.t WHERE Key_name = 'none'")
	c.fails(1146, "SHOW INDEX FROM nowhere WHERE Key_name = 'b'")
	s.restart()
	c = s.test()
	check()

	// They go with their indexes and tables.
	c.must("ALTER TABLE t DROP INDEX s")
	c.must("TRUNCATE t")
	c.want("SELECT COUNT(*) FROM information_schema.column_statistics", "0")
	c.must("DROP TABLE t")
	for deadline := time.Now().Add(10 * time.Second); s.db.Stats().PendingDrops > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	s.wantClean()
}

func TestHistogramBuckets(t *testing.T) {
	s := newServer(t)
	c := s.test()
	statisticsTable(c)
	c.must("ANALYZE TABLE t")
	for _, ix := range s.db.Catalog().Table("test", "t").Indexes {
		known, err := s.db.Statistics(ix)
		if err != nil {
			t.Fatal(err)
		}
		var rows, distinct, nulls uint64
		for _, b := range known.Buckets {
			rows, distinct, nulls = rows+b.Rows, distinct+b.Distinct, nulls+b.Nulls
			if len(b.Upper) != len(ix.Desc.Columns) || b.Bound == 0 || b.Bound > b.Rows {
				t.Errorf("%s: %+v", ix.Desc.Name, b)
			}
		}
		if n := len(known.Buckets); n < 2 || n > 2*histogramBuckets {
			t.Errorf("%s: %d buckets", ix.Desc.Name, n)
		}
		if rows != 4000 || distinct != known.Distinct[len(known.Distinct)-1] || nulls != known.Nulls {
			t.Errorf("%s: %d rows, %d values, %d NULLs in buckets of %+v", ix.Desc.Name, rows, distinct, nulls, known)
		}
		if ix.Desc.Name == "a" && (known.Buckets[0].Rows != 3900 || known.Buckets[0].Bound != 3900) {
			t.Errorf("the value that most rows have: %+v", known.Buckets[0])
		}
		if ix.Desc.Name == "d" && known.Nulls != 2000 {
			t.Errorf("NULLs: %+v", known)
		}
	}
}

func TestHistogramsByHand(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, KEY a (a))")
	c.must("INSERT INTO t VALUES (1,1),(2,2)")
	const data = `{"qualifier":{"index":"a"},"buckets":[{"row_count":20,"distinct_count":20,"upper_bound":[50],"bound_count":1}]}`
	c.want("ANALYZE TABLE t UPDATE HISTOGRAM ON (a) USING DATA '"+data+"'", "t|histogram|status|OK")
	kept := "a|20"
	const show = "SELECT column_name, JSON_EXTRACT(histogram, '$.statistic.row_count') FROM information_schema.column_statistics"
	c.want(show, kept)
	// The gatherer leaves it alone, and what was dropped stays so.
	gather := func() {
		t.Helper()
		if err := s.engine.gatherSlowly(context.Background(), s.db.Catalog().Table("test", "t")); err != nil {
			t.Fatal(err)
		}
	}
	gather()
	c.want(show+" WHERE column_name = 'a'", kept)
	c.must("ANALYZE TABLE t DROP HISTOGRAM ON (a)")
	gather()
	c.want(show + " WHERE column_name = 'a'")
	c.must("ANALYZE TABLE t")
	c.want(show+" WHERE column_name = 'a'", "a|2")

	for _, bad := range []string{`{"buckets":[{"row_count":2,"upper_bound":["x"]}]}`, `{"buckets":[{"row_count":2,"upper_bound":[1,2]}]}`} {
		got := c.must("ANALYZE TABLE t UPDATE HISTOGRAM ON (a) USING DATA '" + bad + "'").rows
		if len(got) != 1 || !strings.Contains(got[0], "|error|") {
			t.Errorf("%s: %v", bad, got)
		}
	}
}

// TestStatisticsAreGathered lets the gatherer find what has changed.
func TestStatisticsAreGathered(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, KEY a (a))")
	insert := func(from, to int) {
		var values []string
		for i := from; i < to; i++ {
			values = append(values, fmt.Sprintf("(%d,%d)", i, i))
		}
		c.must("INSERT INTO t VALUES " + strings.Join(values, ","))
	}
	const cardinality = "SELECT CARDINALITY FROM information_schema.statistics WHERE table_name = 't' AND index_name = 'a'"
	insert(0, 100)
	s.engine.gatherDue(context.Background())
	c.want(cardinality, "100")
	insert(100, 109) // less than one in ten
	s.engine.gatherDue(context.Background())
	c.want(cardinality, "100")
	insert(109, 111)
	s.engine.gatherDue(context.Background())
	c.want(cardinality, "111")
	if n := s.db.ChangedRows(); len(n) != 0 {
		t.Errorf("changes that are counted still: %v", n)
	}
	// What was rolled back has changed nothing.
	c.must("BEGIN")
	c.must("DELETE FROM t")
	c.must("ROLLBACK")
	s.engine.gatherDue(context.Background())
	c.want(cardinality, "111")
	c.must("DELETE FROM t WHERE id >= 50")
	s.engine.gatherDue(context.Background())
	c.want(cardinality, "50")

	// Cancelled, it keeps nothing.
	insert(1000, 9000)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.engine.gatherDue(ctx)
	c.want(cardinality, "50")
	if err := s.engine.gather(ctx, s.db.Catalog().Table("test", "t"), false, func(time.Duration) error { return ctx.Err() }); err == nil {
		t.Error("a cancelled reading succeeded")
	}
	c.want(cardinality, "50")
}

// TestStatisticsOfDirect: the plan of a direct statement is kept for other values and so is
// made without histograms.
func TestStatisticsOfDirect(t *testing.T) {
	s := newServer(t)
	c := s.test()
	statisticsTable(c)
	c.must("ANALYZE TABLE t")
	ctx := c.context(context.Background(), "")
	table := newTable(&Database{engine: s.engine, name: "test"}, s.db.Catalog().Table("test", "t"))
	for _, asks := range []bool{false, true} {
		c.asks = asks
		list, err := s.engine.statistics.GetTableStats(ctx, "", "test", table)
		if err != nil || (len(list) == 0) != asks {
			t.Errorf("for a direct statement %v: %d statistics, %v", asks, len(list), err)
		}
	}
	c.asks = false
	before := s.engine.Counters().Direct
	for range 3 {
		c.must("SELECT id FROM t WHERE a = 1 AND b = 77")
	}
	if s.engine.Counters().Direct == before {
		t.Error("no statement was direct")
	}
	if c.asks {
		t.Error("the session goes on asking")
	}
}

// TestStatisticsPrivileges: column_statistics shows what the account may read.
func TestStatisticsPrivileges(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)")
	c.must("INSERT INTO t VALUES (1)")
	c.must("ANALYZE TABLE t")
	c.must("CREATE USER u IDENTIFIED BY 'x'")
	c.must("CREATE DATABASE other")
	c.must("GRANT SELECT ON other.* TO u")
	u := s.login("u", "%", "")
	u.want("SELECT * FROM information_schema.column_statistics")
	u.fails(1142, "ANALYZE TABLE test.t")
	c.must("GRANT SELECT ON test.t TO u")
	u = s.login("u", "%", "")
	u.want("SELECT column_name FROM information_schema.column_statistics", "id")
	u.fails(1142, "ANALYZE TABLE test.t")
}
