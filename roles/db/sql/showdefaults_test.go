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
