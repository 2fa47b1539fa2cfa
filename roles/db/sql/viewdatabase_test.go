package sql

import "testing"

// A view is read without a current database where the statement names its own.
func TestViewsWithoutDatabase(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 10), (2, 20)", "CREATE VIEW v AS SELECT id, n FROM t WHERE n > 10",
		"CREATE DATABASE other", "CREATE VIEW other.w AS SELECT x.id, t.n FROM test.v x JOIN test.t USING (id)", "CREATE TABLE other.t (id INT PRIMARY KEY)")
	c := s.root()
	c.want("SELECT * FROM test.v", "2|20")
	c.want("SELECT v.id FROM other.w JOIN test.v ON v.id = w.id WHERE EXISTS (SELECT 1 FROM test.v z)", "2")
	c.must("INSERT INTO other.t SELECT id FROM test.v")
	c.want("SELECT * FROM other.t", "2")
	c.must("PREPARE p FROM 'SELECT n FROM test.v WHERE id = ?'", "SET @id = 2")
	c.want("EXECUTE p USING @id", "20")
	st, err := c.Prepare(ctxBackground, "SELECT n FROM test.v WHERE id = 2")
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	c.want("SELECT DATABASE()", "NULL")
	c.fails(1046, "SELECT * FROM test.v, t")
	c.fails(1046, "INSERT INTO t SELECT id FROM test.v")
	c.fails(1146, "SELECT * FROM test.nosuch")
	c.want("SELECT DATABASE()", "NULL")
}
