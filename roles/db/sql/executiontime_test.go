package sql

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A SELECT ends soon after its time is over, whatever it does at the moment; statements that
// write do not.
func TestMaxExecutionTime(t *testing.T) {
	s := newServer(t)
	c, other := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, v INT, s VARCHAR(200))")
	for i := range 20 {
		rows := make([]string, 500)
		for j := range rows {
			rows[j] = fmt.Sprintf("(%d, %d, REPEAT('x', 150))", i*500+j, j)
		}
		c.must("INSERT INTO t VALUES " + strings.Join(rows, ", "))
	}
	c.must("CREATE TABLE locked (id INT PRIMARY KEY, v INT)", "INSERT INTO locked VALUES (1, 1)")
	other.must("BEGIN", "UPDATE locked SET v = 2")
	ends := func(what, query string) {
		t.Helper()
		begun := time.Now()
		c.fails(3024, query)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: ended after %v", what, took)
		}
	}
	const hint = "SELECT /*+ MAX_EXECUTION_TIME(30) */ "
	ends("a sleep", hint+"SLEEP(20)")
	ends("a wait for a lock", hint+"v FROM locked WHERE id = 1 FOR UPDATE")
	ends("a join", hint+"COUNT(*) FROM t a JOIN t b ON a.v <> b.id JOIN t c ON b.v <> c.id")
	ends("a sort of a join", hint+"a.s FROM t a JOIN t b ON a.v <> b.id JOIN t c ON c.v <> b.id ORDER BY a.s")
	ends("the first of a union", hint+"1 UNION SELECT SLEEP(20)")
	for _, direct := range []string{"0", "1"} {
		c.must("SET direct = "+direct, "SET max_execution_time = 30")
		ends("the variable", "SELECT SLEEP(20)")
		ends("the variable, in a transaction", "SELECT v FROM locked WHERE id = 1 FOR SHARE")
		c.must("SELECT /*+ MAX_EXECUTION_TIME(0) */ SLEEP(0.1)")
		c.must("INSERT INTO t SELECT 20000, SLEEP(0.1), ''", "UPDATE t SET v = SLEEP(0.1) WHERE id = 20000", "DELETE FROM t WHERE id = 20000")
		c.must("SELECT v FROM t WHERE id = 7")
	}
	// A scan without the planner, which has looked at the text before.
	c.must("SET max_execution_time = 0", "SELECT SUM(v) FROM t WHERE s = 'x'", "SET max_execution_time = 1")
	_, err := c.query(t.Context(), "SELECT SUM(v) FROM t WHERE s = 'y'", false, &collected{})
	if err != nil && !strings.Contains(err.Error(), "3024") && !strings.Contains(err.Error(), "maximum statement execution time") {
		t.Error(err)
	}
	c.must("SET max_execution_time = DEFAULT", "SELECT SLEEP(0.05)")
	other.must("ROLLBACK")
}
