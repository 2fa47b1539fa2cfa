package sql

import (
	"fmt"
	"testing"

	"stack/roles/db/wire"
)

// Columns of operations of several parts have one type, by which rows are equal and sorted.
func TestUnionsOfSeveralParts(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "CREATE TABLE t (id INT PRIMARY KEY, n DECIMAL(8,2), d DATE, s VARCHAR(8) COLLATE utf8mb4_general_ci, e ENUM('x','y') COLLATE utf8mb4_general_ci, big DECIMAL(40,0), wide DECIMAL(65,0), u BIGINT UNSIGNED DEFAULT 18446744073709551615, KEY (n), KEY (big))",
		"INSERT INTO t (id, n, d, s, e, big, wide) VALUES (1, 1.5, '2024-01-01', 'b', 'y', 1234567890123456789012345678901234567890, 1234567890123456789012345678901234567890), (2, 2, '2024-01-02', 'a', 'x', 1234567890123456789012345678901234567889, 5), (3, NULL, NULL, NULL, NULL, NULL, NULL)",
	)
	for _, q := range []string{
		"SELECT d FROM t UNION SELECT CAST('2024-01-01 00:00:00' AS DATETIME) UNION SELECT d FROM t ORDER BY 1", "SELECT s FROM t UNION ALL SELECT 'AB' UNION ALL SELECT 'C' ORDER BY 1", "SELECT NULL a UNION SELECT e FROM t UNION SELECT 'XX' ORDER BY 1",
		"SELECT 1 UNION SELECT n FROM t UNION SELECT 2 ORDER BY 1", "SELECT 1 UNION SELECT 2.50 UNION SELECT 1.0 UNION SELECT 2.5 ORDER BY 1", "SELECT COUNT(*) FROM (SELECT s FROM t UNION SELECT 'A' UNION SELECT 'b') q",
		"SELECT n, COUNT(*) FROM (SELECT n FROM t UNION ALL SELECT id FROM t UNION ALL SELECT 2) q GROUP BY n ORDER BY n", "(SELECT n FROM t) UNION (SELECT id FROM t UNION SELECT 7) ORDER BY 1 LIMIT 3", "SELECT s AS x, n AS y FROM t UNION SELECT e, id FROM t UNION SELECT 'q', 1 ORDER BY y, x",
		"SELECT 'a' UNION SELECT NULL UNION SELECT s FROM t ORDER BY 1", "SELECT x FROM (SELECT n AS x FROM t UNION SELECT 5 UNION SELECT id FROM t) q WHERE x >= 2 ORDER BY x",
		"SELECT a.id, b.id FROM t a JOIN t b ON b.big = a.big + 1 ORDER BY 1", "SELECT COUNT(*) FROM t WHERE big = wide + 0", "SELECT a.id, b.id FROM t a JOIN t b ON b.wide = IFNULL(a.wide, 0) ORDER BY 1, 2", "SELECT COUNT(*) FROM t a JOIN t b ON b.wide = a.wide + 0.5",
		"SELECT s, SUM(n), (SELECT SUM(n) FROM t WHERE id = 1) AS z FROM t GROUP BY s ORDER BY s", "SELECT s, SUM(n) / (SELECT SUM(n) FROM t) FROM t GROUP BY s ORDER BY s", "SELECT SUM(n), (SELECT SUM(n) FROM t WHERE id = 2) FROM t", "SELECT s FROM t GROUP BY s HAVING MAX(n) >= (SELECT MAX(n) FROM t)",
		"SELECT s, SUM(n) + 1 AS x FROM t GROUP BY s HAVING x > 0 ORDER BY x DESC", "SELECT s, IFNULL(MAX(e), 'z') AS x FROM t GROUP BY s HAVING x <> 'q' ORDER BY x", "SELECT u FROM t UNION SELECT -id FROM t ORDER BY 1", "SELECT IF(id > 1, u, -id), IFNULL(u, 0), COALESCE(NULL, u), MAX(u) FROM t GROUP BY id, u ORDER BY id", "SELECT NULLIF(e, 1), NULLIF(e, 'x'), NULLIF(n, '2') FROM t ORDER BY id",
		"SELECT 2, id FROM t UNION SELECT 1, id FROM t ORDER BY 1, 2", "SELECT 'b', id FROM t UNION ALL (SELECT 'a', 9 UNION ALL SELECT 'c', 0) ORDER BY 1, 2 DESC", "(SELECT NULL, 3 UNION SELECT 7, 2) UNION SELECT id, 1 FROM t ORDER BY 1 DESC, 2",
		"SELECT COUNT(*) FROM t JOIN (SELECT CONCAT('a', '') AS w) x ON x.w = t.s", "SELECT COUNT(*) FROM t JOIN (SELECT SUBSTRING_INDEX('a,b', ',', 1) AS w) x ON x.w = t.s",
	} {
		asMariaDB(t, c, conn, q)
	}
	c.must("CREATE TABLE gg (id INT PRIMARY KEY, a DATE, KEY k1 ((TIMESTAMP(a))))", "INSERT INTO gg VALUES (1, '2024-01-01')")
	c.want("SELECT id FROM gg WHERE TIMESTAMP(a) = '2024-01-01'", "1")
	c.want("SELECT @@collation_connection", "utf8mb4_general_ci")
	c.must("SET @x = ' names utf8mb4 collate utf8mb4_bin ', NAMES utf8mb4")
	c.want("SELECT @@collation_connection = 'utf8mb4_bin'", "0")
}

// Placeholders stand behind the parts of a UNION too.
func TestPreparedUnion(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
	st, err := c.prepare(t.Context(), "SELECT id FROM t WHERE n > ? UNION SELECT ? FROM t ORDER BY id = ? DESC, id LIMIT ? OFFSET ?")
	if err != nil {
		t.Fatal(err)
	}
	var params []wire.Param
	for _, n := range []uint64{1, 9, 3, 2, 1} {
		params = append(params, wire.Param{Kind: wire.ParamInt, Num: n})
	}
	var out collected
	if err := st.execute(t.Context(), params, &out); err != nil || fmt.Sprint(out.rows) != "[2 9]" {
		t.Errorf("%v, %v", out.rows, err)
	}
}
