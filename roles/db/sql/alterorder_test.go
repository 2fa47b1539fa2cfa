package sql

import "testing"

// FIRST, AFTER and CHANGE hold, whatever else an ALTER TABLE does.
func TestAlterKeepsColumnOrder(t *testing.T) {
	c := newServer(t).test()
	for _, test := range []struct{ alter, want string }{
		{"ADD x INT FIRST, ADD y INT NOT NULL DEFAULT 5", "x,a,b,c,y"},
		{"ADD x INT FIRST, ADD id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY", "x,a,b,c,id"},
		{"ADD x INT AFTER a, ADD y INT NOT NULL DEFAULT 1 AFTER x, MODIFY c BIGINT NOT NULL", "a,x,y,b,c"},
		{"MODIFY c INT FIRST, ADD y INT NOT NULL DEFAULT 5 AFTER c", "c,y,a,b"},
		{"CHANGE b d INT FIRST, ADD y INT NOT NULL DEFAULT 5", "d,a,c,y"},
		{"CHANGE b d BIGINT NOT NULL, ADD KEY (d), ADD y INT NOT NULL DEFAULT 5 AFTER a", "a,y,d,c"},
		{"ADD y INT NOT NULL DEFAULT 5, CHANGE a z VARCHAR(9) AFTER b, ADD PRIMARY KEY (b)", "b,z,c,y"},
		{"DROP b, ADD x INT FIRST, MODIFY a BIGINT NOT NULL", "x,a,c"},
		{"RENAME COLUMN a TO z, ADD x INT FIRST, ADD y INT NOT NULL DEFAULT 1 AFTER x", "x,y,z,b,c"},
		{"ADD x INT NOT NULL FIRST, ADD PRIMARY KEY (b)", "x,a,b,c"},
		{"ADD x INT FIRST, ADD PRIMARY KEY (b)", "x,a,b,c"},
	} {
		c.must("DROP TABLE IF EXISTS t", "CREATE TABLE t (a INT, b INT NOT NULL, c INT)", "INSERT INTO t VALUES (1, 2, 3)", "ALTER TABLE t "+test.alter)
		c.want("SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'test' AND table_name = 't'", test.want)
		c.want("SELECT c FROM t", "3")
	}
}
