package sql

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// smallMemory is the query_memory of these tests, bytes: 2,048 keys.
const smallMemory = 64 << 10

// boundedServer has a table t of 4,096 rows with texts of 100 characters, and a small
// query_memory. The planner runs all of its statements.
func boundedServer(t *testing.T) (*server, *client) {
	t.Helper()
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000), n INT, k INT, l INT, KEY (k), KEY (l))")
	for from := 1; from <= 4096; from += 1024 {
		var rows []string
		for i := from; i < from+1024; i++ {
			rows = append(rows, fmt.Sprintf("(%d, '%0100d', %d, 1, 1)", i, i, i%10))
		}
		c.must("INSERT INTO t VALUES " + strings.Join(rows, ","))
	}
	c.must("SET direct = 0")
	s.engine.SetQueryMemory(smallMemory)
	return s, c
}

// beyond runs statements that keep too much. Nothing is counted any more once they have failed.
func (c *client) beyond(queries ...string) {
	c.t.Helper()
	for _, q := range queries {
		c.fails(1038, q, "query_memory")
		if c.cursors != 0 {
			c.t.Errorf("%s\nleaves cursors of %d bytes", q, c.cursors)
		}
		c.want("SELECT COUNT(DISTINCT n) FROM t", "10")
	}
}

// Lists of IN (SELECT …) and the rows of other subqueries.
func TestSubqueriesBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.beyond(
		"SELECT COUNT(*) FROM t a WHERE a.id = 3 OR a.id IN (SELECT b.id FROM t b)",
		"SELECT '77' IN (SELECT b.id FROM t b)",
		"SELECT COUNT(*) FROM t a WHERE a.id = 3 OR (a.id, a.n) NOT IN (SELECT b.id, b.n FROM t b)",
		"SELECT COUNT(*) FROM t a WHERE a.id = 3 OR a.v IN (SELECT b.v FROM t b WHERE b.id < 1000 AND b.k = a.k)",
		"SELECT (SELECT v FROM t)",
		// Two lists that fit alone.
		"SELECT 0 IN (SELECT id FROM t WHERE id < 600), 0 IN (SELECT id FROM t WHERE id < 600)",
	)
	c.want("SELECT COUNT(*) FROM t a WHERE a.id = 3000 OR a.id IN (SELECT b.id FROM t b WHERE b.id < 600)", "600")
	c.want("SELECT '77' IN (SELECT b.id FROM t b WHERE b.id < 600), 0 IN (SELECT b.id FROM t b WHERE b.id < 10)", "1|0")
	c.fails(1242, "SELECT (SELECT v FROM t WHERE id < 10)")
	// A list that is another one for each row goes before the next comes, and EXISTS keeps none.
	c.want("SELECT COUNT(*) FROM t a WHERE a.id < 0 OR a.id <= 300 AND a.id IN (SELECT b.id FROM t b WHERE b.id <= a.id)", "300")
	c.want("SELECT COUNT(*) FROM t a WHERE a.id < 0 OR EXISTS (SELECT b.v FROM t b)", "4096")
	c.want("SELECT COUNT((SELECT b.v FROM t b WHERE b.id = a.id)) FROM t a", "4096")
	c.must("CREATE FUNCTION f(i INT) RETURNS INT READS SQL DATA RETURN (i IN (SELECT id FROM t WHERE id < 300))")
	c.want("SELECT SUM(f(id)) FROM t WHERE id < 20", "19")
}

func TestJSONAggregatesBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.beyond(
		"SELECT JSON_LENGTH(JSON_ARRAYAGG(v)) FROM t",
		"SELECT n, JSON_LENGTH(JSON_ARRAYAGG(id)) FROM t GROUP BY n",
		"SELECT JSON_LENGTH(JSON_OBJECTAGG(id, n)) FROM t",
		"SELECT n, JSON_LENGTH(JSON_OBJECTAGG(id, v)) FROM t GROUP BY n",
		"SELECT JSON_LENGTH(JSON_ARRAYAGG(JSON_OBJECT('v', v))) FROM t WHERE id < 400",
		"SELECT JSON_ARRAYAGG(id) OVER () FROM t WHERE id <= 100",
		"SELECT JSON_ARRAYAGG(CONCAT(v, v)) OVER () FROM t WHERE id <= 20",
	)
	c.want("SELECT JSON_ARRAYAGG(id), JSON_OBJECTAGG(id, n) FROM t WHERE id < 4", `[1, 2, 3]|{"1": 1, "2": 2, "3": 3}`)
	c.want("SELECT JSON_LENGTH(JSON_ARRAYAGG(v)), JSON_LENGTH(JSON_OBJECTAGG(id, v)) FROM t WHERE id <= 100", "100|100")
	c.want("SELECT JSON_ARRAYAGG(id), JSON_OBJECTAGG(id, n) FROM t WHERE id < 0", `[]|NULL`)
	c.fails(3158, "SELECT JSON_OBJECTAGG(NULLIF(id, 3), n) FROM t")
	// Of members of one name the last one stays.
	c.want("SELECT JSON_OBJECTAGG(n, id) FROM t WHERE n < 2", `{"0": 4090, "1": 4091}`)
	c.want("SELECT JSON_LENGTH(JSON_OBJECTAGG(n, id)) FROM t", "10")
	c.want("SELECT COUNT(x) FROM (SELECT JSON_ARRAYAGG(id) OVER (PARTITION BY id) AS x FROM t WHERE id <= 100) q", "100")
	// Arrays of a column have its texts in common.
	c.want("SELECT COUNT(x) FROM (SELECT JSON_ARRAYAGG(v) OVER () AS x FROM t WHERE id <= 40) q", "40")
	c.want("SELECT id, JSON_ARRAYAGG(v) OVER (ORDER BY id) = JSON_ARRAY(v) FROM t WHERE id <= 2", "1|1", "2|0")
	// An array is counted once, where it is or where it goes.
	c.want("SELECT JSON_LENGTH((SELECT JSON_ARRAYAGG(v) FROM t WHERE id <= 300))", "300")
	c.want("SELECT JSON_LENGTH((SELECT JSON_OBJECTAGG(id, v) FROM t WHERE id <= 250))", "250")
	// What a subquery has gathered goes before it runs again.
	c.want("SELECT SUM((SELECT JSON_LENGTH(JSON_ARRAYAGG(b.v)) FROM t b WHERE b.id BETWEEN a.id AND a.id + 99)) FROM t a WHERE a.id <= 100", "10000")
	c.want("SELECT SUM((SELECT JSON_LENGTH(JSON_ARRAYAGG(b.v)) FROM t b WHERE b.id <= 300 + a.id - a.id GROUP BY b.n LIMIT 1)) FROM t a WHERE a.id <= 20", "600")
}

func TestRecursionBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.beyond(
		"WITH RECURSIVE r AS (SELECT id, v FROM t UNION ALL SELECT id, v FROM r WHERE id < 0) SELECT COUNT(*) FROM r",
		"WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT r.i + t.id FROM r JOIN t WHERE r.i = 1) SELECT COUNT(*) FROM r",
		"WITH RECURSIVE r AS (SELECT 1 AS i UNION SELECT i + 1 FROM r WHERE i < 4000) SELECT COUNT(*) FROM r",
		"WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 4000 ORDER BY i DESC) SELECT COUNT(*) FROM r",
	)
	// Of the rounds before the last one nothing is kept.
	c.want("WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 4000) SELECT COUNT(*), MAX(i) FROM r", "4000|4000")
	c.want("WITH RECURSIVE r AS (SELECT id, v FROM t WHERE id <= 100 UNION ALL SELECT id + 100, v FROM r WHERE id < 3000) SELECT COUNT(*), COUNT(DISTINCT v), MAX(id) FROM r", "3099|100|3099")
	c.want("WITH RECURSIVE r AS (SELECT 1 AS i UNION SELECT i % 500 + 1 FROM r) SELECT COUNT(*) FROM r", "500")
	c.want("WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 4000 ORDER BY i DESC LIMIT 2) SELECT i FROM r", "4000", "3999")
	c.want("SELECT SUM((WITH RECURSIVE r AS (SELECT a.id AS i UNION SELECT i + 1 FROM r WHERE i < a.id + 99) SELECT COUNT(*) FROM r)) FROM t a WHERE a.id <= 30", "3000")
	c.fails(3636, "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i FROM r) SELECT COUNT(*) FROM r")
}

func TestCursorsBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.must("CREATE PROCEDURE sums(most INT, times INT) BEGIN DECLARE s, i INT DEFAULT 0; WHILE times > 0 DO BEGIN DECLARE w VARCHAR(2000); DECLARE done INT DEFAULT 0; DECLARE x CURSOR FOR SELECT v FROM t WHERE id <= most; DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1; "+
		"OPEN x; FETCH x INTO w; WHILE NOT done DO SET s = s + w; FETCH x INTO w; END WHILE; SET times = times - 1; END; END WHILE; SELECT s; END",
		"CREATE FUNCTION first_of(most INT) RETURNS INT READS SQL DATA BEGIN DECLARE w VARCHAR(2000); DECLARE x CURSOR FOR SELECT v FROM t WHERE id <= most; OPEN x; FETCH x INTO w; RETURN w; END",
		"CREATE PROCEDURE handled() BEGIN DECLARE w VARCHAR(2000); DECLARE x CURSOR FOR SELECT v FROM t; DECLARE EXIT HANDLER FOR 1038 BEGIN SELECT 'too much'; SELECT COUNT(DISTINCT id) FROM t WHERE id <= 2000; END; OPEN x; FETCH x INTO w; END",
		"CREATE PROCEDURE beside(most INT) BEGIN DECLARE w VARCHAR(2000); DECLARE x CURSOR FOR SELECT v FROM t WHERE id <= most; OPEN x; SELECT COUNT(DISTINCT id) FROM t WHERE id <= 1500; CLOSE x; SELECT COUNT(DISTINCT id) FROM t WHERE id <= 1500; END",
		"CREATE PROCEDURE fetched(most INT) BEGIN DECLARE w VARCHAR(2000); DECLARE i INT DEFAULT 0; DECLARE x CURSOR FOR SELECT v FROM t WHERE id <= most; OPEN x; WHILE i < most DO FETCH x INTO w; SET i = i + 1; END WHILE; SELECT COUNT(DISTINCT id) FROM t WHERE id <= 2000; END")
	c.beyond("CALL sums(1000, 1)", "SELECT first_of(1000)", "SELECT id, first_of(id) FROM t WHERE id IN (1, 1000)", "CALL beside(300)")
	c.want("CALL sums(100, 10)", "50500", "--")
	c.want("SELECT SUM(first_of(id)) FROM t WHERE id <= 100", "100")
	c.want("CALL handled()", "too much", "--", "2000", "--")
	c.want("CALL beside(10)", "1500", "--", "1500", "--")
	c.want("CALL fetched(300)", "2000", "--")
	if c.cursors != 0 {
		t.Errorf("cursors of %d bytes are left", c.cursors)
	}
}

func TestSetOperationsBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.beyond(
		"SELECT id FROM t WHERE id < 5 INTERSECT SELECT id FROM t",
		"SELECT id FROM t WHERE id < 5 EXCEPT SELECT id FROM t",
		"SELECT id FROM t WHERE id < 5 INTERSECT ALL SELECT id FROM t",
		"SELECT id FROM t WHERE id < 5 EXCEPT ALL SELECT id FROM t",
		"SELECT id FROM t EXCEPT SELECT id FROM t WHERE id < 5",
		"SELECT v FROM t UNION ALL SELECT v FROM t ORDER BY v",
		"SELECT v FROM t WHERE id < 600 UNION SELECT v FROM t WHERE id < 600 ORDER BY v",
		"SELECT v FROM t UNION ALL SELECT v FROM t ORDER BY v LIMIT 1000",
	)
	c.want("SELECT id FROM t WHERE id < 5 INTERSECT SELECT id FROM t WHERE id BETWEEN 3 AND 1000 ORDER BY id", "3", "4")
	c.want("SELECT n FROM t INTERSECT SELECT id FROM t WHERE id < 3 ORDER BY n", "1", "2")
	c.want("SELECT n FROM t EXCEPT SELECT n FROM t WHERE n > 1 ORDER BY n", "0", "1")
	c.want("SELECT id % 2 FROM t WHERE id < 5 EXCEPT ALL SELECT 1 ORDER BY 1", "0", "0", "1")
	c.want("SELECT id % 2 FROM t WHERE id < 5 INTERSECT ALL SELECT 1 ORDER BY 1", "1")
	c.want("SELECT id FROM t UNION ALL SELECT id FROM t ORDER BY id LIMIT 3 OFFSET 1", "1", "2", "2")
	c.want("SELECT id FROM t WHERE id < 3 UNION ALL SELECT id FROM t WHERE id = 1 ORDER BY id DESC LIMIT 1, 18446744073709551615", "1", "1")
	c.want("SELECT COUNT(*) FROM t a WHERE a.id <= 100 AND (a.id < 0 OR a.n IN (SELECT b.id FROM t b WHERE b.id <= a.id INTERSECT SELECT b.id FROM t b WHERE b.id < 100))", "90")
	// Texts are the same by their collation, as those of UNION.
	c.must("CREATE TABLE w (s VARCHAR(10) COLLATE utf8mb4_general_ci, b VARCHAR(10) COLLATE utf8mb4_bin)", "INSERT INTO w VALUES ('a', 'a'), ('A', 'A'), ('b', 'b')")
	c.want("SELECT s FROM w INTERSECT SELECT 'A' COLLATE utf8mb4_general_ci", "a")
	c.want("SELECT s FROM w EXCEPT SELECT 'B' COLLATE utf8mb4_general_ci", "a")
	c.want("SELECT b FROM w INTERSECT SELECT 'A' COLLATE utf8mb4_bin", "A")
	c.want("SELECT (SELECT y.s FROM w y WHERE y.s = x.s UNION SELECT z.s FROM w z WHERE z.s = x.s) FROM w x WHERE x.b = 'A'", "a")
}

func TestFirstRowsBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.beyond("SELECT id, v FROM t ORDER BY n, v LIMIT 1000", "SELECT id, v FROM t ORDER BY n LIMIT 10, 18446744073709551615", "SELECT id FROM t ORDER BY n LIMIT 18446744073709551615")
	c.want("SELECT id FROM t ORDER BY n DESC, v LIMIT 3", "9", "19", "29")
	c.want("SELECT id FROM t ORDER BY n LIMIT 3 OFFSET 2", "30", "40", "50") // equal ones as they came
	c.want("SELECT id FROM t WHERE id < 4 ORDER BY n DESC LIMIT 1, 18446744073709551615", "2", "1")
	c.want("SELECT id FROM t ORDER BY v LIMIT 0")
	c.want("SELECT id FROM t WHERE id < 4 ORDER BY v DESC LIMIT 1", "3")
	c.must("SELECT SQL_CALC_FOUND_ROWS id FROM t ORDER BY v LIMIT 2")
	c.want("SELECT FOUND_ROWS()", "4096")
	sorted := c.doing.Work.Sorted
	c.must("SELECT id FROM t ORDER BY n, v LIMIT 2")
	if n := c.doing.Work.Sorted - sorted; n != 4096 {
		t.Errorf("%d rows were sorted", n)
	}
	// The order is that of a sort of all rows.
	c.engine.SetQueryMemory(0)
	all := c.must("SELECT id FROM t ORDER BY n % 3, l, n DESC").rows
	c.want("SELECT id FROM t ORDER BY n % 3, l, n DESC LIMIT 700", all[:700]...)
	// Of short rows, whose place longer ones take, nothing stays counted.
	c.must("UPDATE t SET v = '' WHERE id < 3000")
	c.engine.SetQueryMemory(smallMemory)
	c.beyond("SELECT id, v FROM t ORDER BY -id LIMIT 500")
	c.want("SELECT COUNT(*), MAX(id), SUM(LENGTH(v)) FROM (SELECT id, v FROM t ORDER BY -id LIMIT 300) q", "300|4096|30000")
}

// Of values of any length a group counts the one that it keeps, not those that it has seen.
func TestLongValuesOfGroupsBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.must("UPDATE t SET v = CONCAT(REPEAT('y', 1000), id)", "ALTER TABLE t ADD j JSON", "UPDATE t SET j = JSON_ARRAY(v)")
	for _, e := range []string{"MAX(v)", "MIN(v)", "ANY_VALUE(v)", "ANY_VALUE(j)"} {
		c.beyond("SELECT id % 100, " + e + " FROM t GROUP BY id % 100")
		c.must("SELECT n, " + e + " FROM t GROUP BY n")
	}
	c.want("SELECT COUNT(*) FROM (SELECT id % 100, MAX(k), COUNT(v) FROM t GROUP BY id % 100) q", "100")
	c.want("SELECT n, MAX(RIGHT(v, 4)), MIN(LENGTH(v)) FROM t WHERE n < 2 GROUP BY n ORDER BY n", "0|yy90|1002", "1|yyy1|1001")
	// Documents are counted wherever rows are kept.
	c.beyond("SELECT j FROM t WHERE id < 100 ORDER BY n")
	c.want("SELECT JSON_LENGTH(j) FROM t WHERE id < 4 ORDER BY n", "1", "1", "1")
}

func TestDistinctValuesBeyondQueryMemory(t *testing.T) {
	_, c := boundedServer(t)
	c.beyond("SELECT SUM(DISTINCT id) FROM t", "SELECT AVG(DISTINCT id) FROM t", "SELECT k, SUM(DISTINCT id + 0e0) FROM t GROUP BY k")
	c.want("SELECT SUM(DISTINCT n), AVG(DISTINCT n), SUM(DISTINCT n + 0.5), SUM(DISTINCT n + 0e0), COUNT(DISTINCT n) FROM t", "45|4.5000|50.0|45|10")
	c.want("SELECT k, SUM(DISTINCT n), SUM(n) FROM t WHERE id <= 20 GROUP BY k", "1|45|90")
	c.want("SELECT MIN(DISTINCT id), MAX(DISTINCT id) FROM t", "1|4096")
	c.want("SELECT SUM(DISTINCT NULLIF(n, n)), SUM(DISTINCT NULLIF(n, 3)) FROM t", "NULL|42")
	c.want("SELECT SUM((SELECT SUM(DISTINCT b.id) FROM t b WHERE b.id BETWEEN a.id AND a.id + 99)) FROM t a WHERE a.id <= 100", "1000000")
}

func TestJoinsBeyondQueryMemory(t *testing.T) {
	s, c := boundedServer(t)
	c.must("CREATE TABLE p (id INT PRIMARY KEY, x INT, KEY (x))", "INSERT INTO p VALUES (1, 1), (2, 2), (3, 2000)",
		"CREATE TABLE r (id INT PRIMARY KEY, lo INT, hi INT, KEY (lo), KEY (hi))", "INSERT INTO r SELECT id, id, id + 5 FROM t",
		"CREATE TABLE u (id INT PRIMARY KEY, n INT)", "INSERT INTO u SELECT id, n FROM t")
	planned := func(q, with string) string {
		t.Helper()
		if plan := c.plan(q); !strings.Contains(plan, with) {
			t.Errorf("%s\nis no %s:\n%s", q, with, plan)
		}
		return q
	}
	c.beyond(planned("SELECT SUM(t.id) FROM p JOIN t ON t.k = p.x OR t.l = p.id", "Concat"))
	c.beyond(planned("SELECT COUNT(*) FROM p JOIN r ON p.x BETWEEN r.lo AND r.hi", "RangeHeapJoin"))
	c.want(planned("SELECT COUNT(*) FROM p JOIN r ON p.x BETWEEN r.lo AND r.hi WHERE p.x < 10", "RangeHeapJoin"), "3")
	c.must("UPDATE t SET k = id % 5, l = id % 7")
	c.want(planned("SELECT p.id, COUNT(t.v) FROM p JOIN t ON t.k = p.x OR t.l = p.id GROUP BY p.id ORDER BY p.id", "Concat"), "1|1288", "2|1287", "3|585")

	c.beyond("UPDATE t JOIN u ON u.id = t.id SET t.l = u.n + 10", "UPDATE t JOIN u ON u.id = t.id SET t.l = u.n + 10, u.n = 30 WHERE t.id <= 400")
	if out := c.must("UPDATE t JOIN u ON u.id = t.id SET t.l = u.n + 10 WHERE t.id <= 400"); out.affected != 400 {
		t.Errorf("%d rows were changed", out.affected)
	}
	// A row that many others meet has one key.
	if out := c.must("UPDATE p JOIN t ON t.id > p.id AND t.id < 1000 SET p.x = p.x + 1"); out.affected != 3 {
		t.Errorf("%d rows were changed", out.affected)
	}
	c.want("SELECT SUM(x) FROM p", "2006")

	s.engine.SetQueryMemory(smallMemory / 8)
	c.must("DELETE FROM u WHERE id > 300", "CREATE TABLE w AS SELECT id FROM u WHERE id <= 30")
	c.beyond(planned("SELECT COUNT(*) FROM u a FULL JOIN u b ON a.id = b.id + 1", "FullOuterJoin"))
	c.want(planned("SELECT COUNT(a.id), COUNT(b.id), COUNT(*) FROM w a FULL JOIN w b ON a.id = b.id + 1", "FullOuterJoin"), "30|30|31")
}

// SELECT … INTO reads no more rows than it takes to refuse them.
func TestSelectIntoReadsTwoRows(t *testing.T) {
	_, c := boundedServer(t)
	before := c.doing.Work.ScanRows
	c.fails(1172, "SELECT v FROM t INTO @x")
	if n := c.doing.Work.ScanRows - before; n > 100 {
		t.Errorf("%d rows were read", n)
	}
	c.must("SELECT v, n FROM t WHERE id = 9 INTO @x, @y")
	c.want("SELECT @x = v, @y FROM t WHERE id = 9", "1|9")
}

// A block of a trigger keeps the last row that a statement has changed.
func TestTriggerBlocksKeepOneRow(t *testing.T) {
	s, c := boundedServer(t)
	session := c.context(t.Context(), "")
	values := func(n int64) gms.Node { return &countedNode{n: n} }
	block := plan.NewBlock([]gms.Node{values(5), values(7)})
	rows, err := s.engine.gms.Analyzer.ExecBuilder.Build(session, block, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := gms.RowIterToRows(session, rows)
	if err != nil || len(all) != 1 || all[0][0] != int64(7) {
		t.Errorf("%v, %v", all, err)
	}
	c.must("CREATE TABLE log (id INT PRIMARY KEY, n INT)", "INSERT INTO log SELECT id, 0 FROM t WHERE id < 100", "CREATE TABLE h (id INT PRIMARY KEY, n INT)",
		"CREATE TRIGGER tr BEFORE INSERT ON h FOR EACH ROW BEGIN IF NEW.id > 1 THEN UPDATE log SET n = NEW.id; DELETE FROM log WHERE id = NEW.id; END IF; SET NEW.n = NEW.id + 1; END",
		"INSERT INTO h (id) VALUES (1), (2)")
	c.want("SELECT SUM(n), COUNT(*), (SELECT GROUP_CONCAT(n ORDER BY id) FROM h) FROM log", "196|98|2,3")
}

// countedNode gives the numbers from 1 to n.
type countedNode struct {
	plan.EmptyTable
	n int64
}

// Rows implements gms.ExecSourceRel's RowIter.
func (c *countedNode) RowIter(*gms.Context, gms.Row) (gms.RowIter, error) {
	var rows []gms.Row
	for i := range c.n {
		rows = append(rows, gms.Row{i + 1})
	}
	return gms.RowsToRowIter(rows...), nil
}

// lastRow is at its end behind the row, and passes on what fails.
func TestLastRow(t *testing.T) {
	rows := &lastRow{RowIter: gms.RowsToRowIter(gms.Row{1}, gms.Row{2})}
	if row, err := rows.Next(nil); err != nil || row[0] != 2 {
		t.Errorf("%v, %v", row, err)
	}
	for range 2 {
		if _, err := rows.Next(nil); !errors.Is(err, io.EOF) {
			t.Errorf("%v behind the last row", err)
		}
	}
}
