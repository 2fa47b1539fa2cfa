package sql

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkPointSelect is a query by primary key through the planner: what every
// statement costs at least.
func BenchmarkPointSelect(b *testing.B) {
	c := newServer(b).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY (k))")
	for i := range 100 {
		c.must(fmt.Sprintf("INSERT INTO t VALUES (%d, %d, 'c', 'pad')", i, i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := c.query(context.Background(), fmt.Sprintf("SELECT c FROM t WHERE id = %d", i%100), false, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdate is an update by primary key, committed to disk.
func BenchmarkUpdate(b *testing.B) {
	c := newServer(b).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL)", "INSERT INTO t VALUES (1, 1)")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := c.query(context.Background(), "UPDATE t SET k = k + 1 WHERE id = 1", false, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}
