package sql

import (
	"strings"
	"testing"
)

// Extra says which columns are generated and which change with their row, as tools that dump or compare schemas read it.
func TestColumnExtras(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT, g INT AS (a + 1), h INT AS (a * 2) STORED, " +
		"ts TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, n DATETIME(3) NULL ON UPDATE CURRENT_TIMESTAMP(3), d INT DEFAULT (1 + 1))")
	want := []string{"id|auto_increment", "a|", "g|STORED GENERATED", "h|STORED GENERATED", "ts|DEFAULT_GENERATED on update CURRENT_TIMESTAMP",
		"n|on update CURRENT_TIMESTAMP(3)", "d|DEFAULT_GENERATED"}
	c.want("SELECT column_name, extra FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position", want...)
	for i, row := range c.must("SHOW FULL COLUMNS FROM t").rows {
		fields := strings.Split(row, "|")
		if got := fields[0] + "|" + fields[6]; got != want[i] {
			t.Errorf("SHOW FULL COLUMNS: %s, want %s", row, want[i])
		}
	}
}
