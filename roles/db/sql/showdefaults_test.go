package sql

import (
	"strings"
	"testing"
)

// A table with DEFAULT (NOW()) of columns that are no DATETIME is shown so that it can be made again.
func TestShownDefaults(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a TEXT DEFAULT (NOW()), b VARCHAR(30) DEFAULT (NOW(3)), c DATE DEFAULT (NOW()), d DATE DEFAULT (CURRENT_DATE), " +
		"e DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), f TIMESTAMP DEFAULT (NOW()), g VARCHAR(30) DEFAULT (CURRENT_TIMESTAMP))")
	shown := c.must("SHOW CREATE TABLE t").rows
	if text := shown[0]; !strings.Contains(text, "`a` text DEFAULT (now") || !strings.Contains(text, "DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE") {
		t.Error(text)
	}
	c.must("DROP TABLE t", strings.TrimPrefix(shown[0], "t|"), "SET timestamp = 1700000000.125", "INSERT INTO t (id) VALUES (1)", "SET timestamp = DEFAULT")
	c.want("SHOW CREATE TABLE t", shown...)
	c.want("SELECT a = NOW() OR a < NOW(), c = d FROM t", "1|1")
	c.must("ALTER TABLE t ADD COLUMN h INT", "CREATE TABLE u LIKE t", "SET timestamp = 1700000000.125", "INSERT INTO u (id) VALUES (1)")
	c.want("SELECT LENGTH(a), LENGTH(b) FROM u", "19|23")
}

// What SHOW CREATE TABLE says makes the same table: members of ENUM and SET by name, prefixes in the primary key, comments
// of indexes as texts, TIMESTAMPs that may be NULL.
func TestShownTables(t *testing.T) {
	c := newServer(t).test()
	const create = "CREATE TABLE `t` (\n" +
		"  `e` enum('a''b','N') NOT NULL DEFAULT 'N',\n" +
		"  `f` enum('a''b','N') DEFAULT 'a''b',\n" +
		"  `s` set('x','y','z') DEFAULT 'x,z',\n" +
		"  `n` set('x') DEFAULT '',\n" +
		"  `i` int DEFAULT NULL,\n" +
		"  `d` int DEFAULT '0',\n" +
		"  `v` varchar(20) DEFAULT NULL,\n" +
		"  `x` text NOT NULL,\n" +
		"  `y` text,\n" +
		"  `j` json,\n" +
		"  `ts` timestamp NULL DEFAULT NULL,\n" +
		"  `tu` timestamp(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),\n" +
		"  `tn` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,\n" +
		"  `g` int GENERATED ALWAYS AS ((`d` + 1)) STORED,\n" +
		"  PRIMARY KEY (`x`(10),`e`),\n" +
		"  KEY `k` (`v`(3)) COMMENT 'it''s a key'\n" +
		") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"
	c.must(create)
	c.want("SHOW CREATE TABLE t", "t|"+create)
	c.must("INSERT INTO t (x) VALUES ('1')")
	c.want("SELECT e, f, s, n, i, d, ts FROM t", "N|a'b|x,z||NULL|0|NULL")
	c.must("ALTER TABLE t ADD COLUMN z ENUM('p', 'q') DEFAULT 'q'", "CREATE TABLE u LIKE t")
	if text := c.must("SHOW CREATE TABLE u").rows[0]; !strings.Contains(text, "`z` enum('p','q') DEFAULT 'q'") || !strings.Contains(text, "(`x`(10),`e`)") {
		t.Error(text)
	}
}
