package sql

import "testing"

// ALTER VIEW gives a view that is there another definition.
func TestAlterView(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 10)", "CREATE VIEW v AS SELECT id FROM t",
		"ALTER VIEW v AS SELECT id, n FROM t")
	c.want("SELECT * FROM v", "1|10")
	c.must("ALTER ALGORITHM=MERGE DEFINER=CURRENT_USER SQL SECURITY INVOKER VIEW `test`.`v` (a) AS SELECT n FROM test.t")
	c.want("SELECT a FROM v", "10")
	c.fails(1146, "ALTER VIEW w AS SELECT 1")
	c.fails(1146, "ALTER VIEW t AS SELECT 1")
	s.root().fails(1046, "ALTER VIEW v AS SELECT 1")
	s.restart()
	s.test().want("SELECT a FROM v", "10")
}
