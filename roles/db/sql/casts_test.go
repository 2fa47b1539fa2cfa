package sql

import (
	"fmt"
	"strings"
	"testing"
)

// CAST to DECIMAL and to integers rounds and clips as MariaDB does.
func TestCastsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE t (id INT PRIMARY KEY, f DOUBLE, d DECIMAL(12,3), s VARCHAR(20), i BIGINT, day DATE, dt DATETIME)",
		"INSERT INTO t VALUES (1, 0.5, 0.5, '19.99', 7, '2024-01-02', '2024-01-02 03:04:05'), (2, 1.5, 1.5, '2.5', -7, NULL, NULL), (3, 2.5, 2.499, '-0.4', 123456, NULL, NULL), (4, -2.5, -123456.5, '99999.5', NULL, NULL, NULL), (5, NULL, NULL, NULL, NULL, NULL, NULL)",
	)
	c.must("CREATE TABLE g (s VARCHAR(20), n DECIMAL(10,3) AS (CAST(s AS DECIMAL)) STORED, KEY ((CAST(s AS DECIMAL(5,0)))))")
	for _, e := range []string{
		"CAST(%s AS DECIMAL)", "CAST(%s AS DECIMAL(5))", "CAST(%s AS DECIMAL(5,0))", "CONVERT(%s, DECIMAL)", "CAST(%s AS DECIMAL(20,2))", "CAST(%s AS SIGNED)", "CAST(%s AS DECIMAL) + 0.5", "IFNULL(CAST(%s AS DECIMAL), 1.5)",
	} {
		for _, column := range []string{"f", "d", "s", "i", "day", "dt"} {
			asMariaDB(t, c, conn, "SELECT id, "+fmt.Sprintf(e, column)+" FROM t ORDER BY id")
		}
		asMariaDB(t, c, conn, "SELECT id FROM t WHERE "+fmt.Sprintf(e, "s")+" >= 20 ORDER BY id")
		asMariaDB(t, c, conn, "SELECT SUM("+fmt.Sprintf(e, "d")+"), COUNT(DISTINCT "+fmt.Sprintf(e, "d")+") FROM t")
		asMariaDB(t, c, conn, "SELECT id FROM t ORDER BY "+fmt.Sprintf(e, "s")+", id")
	}
	asMariaDB(t, c, conn, "SELECT CAST('12.7' AS DECIMAL), CAST(12.5 AS DECIMAL(3)), CAST(2.5e0 AS SIGNED), CAST(-0.4 AS DECIMAL), CAST(1e12 AS DECIMAL), CAST(id / 2 AS SIGNED), CAST(id * 0.5e0 AS UNSIGNED) FROM t WHERE id < 4 ORDER BY id")
	c.must("INSERT INTO g (s) VALUES ('19.99'), ('3')")
	c.want("SELECT s, n FROM g ORDER BY n", "3|3.000", "19.99|20.000")
	c.want("SELECT s FROM g WHERE CAST(s AS DECIMAL(5,0)) = 20", "19.99")
	if plan := c.plan("SELECT s FROM g WHERE CAST(s AS DECIMAL(5,0)) = 20"); !strings.Contains(plan, "IndexedTableAccess") {
		t.Errorf("no index is used:\n%s", plan)
	}
}
