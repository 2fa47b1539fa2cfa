package sql

import (
	"strings"
	"testing"
	"time"

	"stack/roles/db/wire"
)

// Comparisons with all rows of a query, or any, of values with and without NULL and of none.
func TestQuantifiedComparisonsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn, "CREATE TABLE p (id INT PRIMARY KEY, n INT, k INT, s VARCHAR(5))",
		"INSERT INTO p VALUES (1, 1, 1, 'a'), (2, 1, 2, 'b'), (3, 2, 1, 'C'), (4, 2, NULL, NULL), (5, 2, 3, 'c'), (6, 3, 3, 'b')")
	for _, op := range []string{"=", "<>", "<", "<=", ">", ">=", "!="} {
		for _, word := range []string{"ALL", "any", "SOME "} {
			for _, q := range []string{"SELECT k FROM p", "SELECT k FROM p WHERE k > 1", "SELECT k FROM p WHERE id > 100", "SELECT 2", "SELECT NULL", "SELECT k FROM p q WHERE q.n = p.n", "SELECT 1 UNION SELECT 3", "SELECT k FROM p ORDER BY id LIMIT 2"} {
				if strings.Contains(q, "LIMIT") {
					continue // MariaDB has none there
				}
				asMariaDB(t, c, conn, "SELECT id, k "+op+" "+word+"("+q+"), NOT k "+op+" "+word+" ( "+q+") FROM p ORDER BY id")
				asMariaDB(t, c, conn, "SELECT id FROM p WHERE k "+op+" "+word+"("+q+") ORDER BY id")
			}
			asMariaDB(t, c, conn, "SELECT id FROM p WHERE s "+op+" "+word+"(SELECT s FROM p q WHERE q.id <> p.id AND s IS NOT NULL) ORDER BY id")
		}
	}
	for _, q := range []string{
		"SELECT id FROM p o WHERE k >= ALL (SELECT k FROM p q WHERE q.n = o.n AND q.k <= ANY (SELECT k FROM p r WHERE r.n = q.n)) ORDER BY id",
		"SELECT id FROM p WHERE (id, k) = ANY (SELECT 1, 1)",
		"SELECT 1 UNION ALL (SELECT 2)",
		"SELECT 'a = ALL (SELECT 1)', \"b > ANY (SELECT 1)\" /* = ANY (SELECT 1) */",
		"SELECT a.id FROM p a JOIN p b ON a.k > ALL (SELECT q.k FROM p q WHERE q.n = b.n AND q.k IS NOT NULL) ORDER BY a.id, b.id",
	} {
		asMariaDB(t, c, conn, q)
	}
	onBoth(t, c, conn, "CREATE TABLE n (s VARCHAR(5) COLLATE utf8mb4_general_ci)", "INSERT INTO n VALUES ('0'), ('5'), ('a'), ('A')")
	for _, q := range []string{
		"SELECT 0 = ALL (SELECT s FROM n), 0 <> ANY (SELECT s FROM n), 'a' = ALL (SELECT s FROM n WHERE s > '9'), 'a' COLLATE utf8mb4_bin = ALL (SELECT s FROM n WHERE s > '9')",
		"SELECT n, GROUP_CONCAT(id ORDER BY id) > ANY (SELECT '1,2') FROM p GROUP BY n ORDER BY n",
		"SELECT id FROM p WHERE k > ALL\n                        \t(SELECT 2) ORDER BY id",
		"SELECT id FROM p WHERE k = ANY ((SELECT 1)) ORDER BY id",
	} {
		asMariaDB(t, c, conn, q)
	}
	out := c.must("SELECT k > ALL (SELECT 1), k = some (SELECT 2) AS x FROM p LIMIT 1")
	if out.schema[0].Name != "k > ALL (SELECT 1)" || out.schema[1].Name != "x" {
		t.Errorf("columns are called %q and %q", out.schema[0].Name, out.schema[1].Name)
	}
	c.want("SELECT -4 = -~-(SELECT 5)", "1")
	deep := "1"
	for range 14 {
		deep = "(" + deep + " = ALL (SELECT 1))"
	}
	c.fails(1305, "SELECT "+deep)
	c.must("CREATE VIEW v AS SELECT id FROM p WHERE k >= ALL (SELECT k FROM p WHERE k IS NOT NULL)")
	c.want("SELECT * FROM v ORDER BY id", "5", "6")
	if shown := c.must("SHOW CREATE VIEW v").rows[0]; !strings.Contains(shown, "k >= ALL (SELECT k") {
		t.Errorf("the view is shown as %s", shown)
	}
	c.must("DELETE FROM p WHERE id = ANY (SELECT 6)")
	c.want("SELECT COUNT(*) FROM p", "5")
	c.fails(1064, "SELECT id FROM p WHERE k <=> ALL (SELECT 1)")
	c.fails(1305, "SELECT id FROM p WHERE (id, k) = ALL (SELECT 1, 1)")
	for _, q := range []string{"k = ALL (1)", "k = ANY ((5))", "k = ALL (((SELECT 1) + 1))"} {
		if _, err := c.run("SELECT id FROM p WHERE " + q); err == nil {
			t.Errorf("%s is computed", q)
		}
	}
	st, err := c.prepare(t.Context(), "SELECT id FROM p WHERE ? > ALL (SELECT k FROM p WHERE k < ?) AND id = ?")
	if err != nil {
		t.Fatal(err)
	}
	got := &collected{}
	if err := st.execute(t.Context(), []wire.Param{{Kind: wire.ParamInt, Num: 2}, {Kind: wire.ParamInt, Num: 2}, {Kind: wire.ParamInt, Num: 3}}, got); err != nil || strings.Join(got.rows, ",") != "3" {
		t.Errorf("prepared: %q, %v", got.rows, err)
	}
}

func FuzzQuantifiers(f *testing.F) {
	for _, q := range []string{"SELECT a >= ALL (SELECT 1)", "SELECT a = some(WITH x AS (SELECT 1) SELECT 1)", "'= ANY (SELECT'", "a <=> ALL (SELECT 1)", "=ANY((((", "= all /* ( */ (SELECT 1)", "\xff= ANY (SELECT"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		read, found := quantifiersAsMarks(q)
		if len(read) != len(q) || found != (read != q) {
			t.Errorf("%q is read as %q, %t", q, read, found)
		}
	})
}

func TestErrorsOfDuplicateColumnsAndUnknownVariables(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (a INT, b INT)")
	c.fails(1060, "CREATE TABLE u (a INT, A INT)", "Duplicate column name 'A'")
	c.fails(1060, "ALTER TABLE t ADD COLUMN a INT", "Duplicate column name 'a'")
	c.fails(1060, "ALTER TABLE t RENAME COLUMN a TO b", "Duplicate column name 'b'")
	c.fails(1193, "SET nosuch = 1", "Unknown system variable 'nosuch'")
	c.fails(1193, "SET @a = 1, nosuch = 2", "Unknown system variable 'nosuch'")
	c.fails(1193, "SET GLOBAL nosuch = 1")
	c.fails(1054, "SET @a = (SELECT nosuch FROM t)")
	for _, name := range []string{"max_connections", "binlog_expire_logs_seconds", "max_binlog_size", "slow_query_log_file"} {
		c.fails(1238, "SET GLOBAL "+name+" = 4711", "Variable '"+name+"' is a read only variable")
	}
	if err := SetBinlogFiles(36*time.Hour, 16<<20); err != nil {
		t.Fatal(err)
	}
	s.test().want("SELECT @@binlog_expire_logs_seconds, @@max_binlog_size, @@slow_query_log_file", "129600|16777216|/dev/stdout")
}
