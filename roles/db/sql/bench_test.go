package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// benchTable is a client with sysbench's table of 1,000 rows.
func benchTable(b *testing.B) *client {
	c := newServer(b).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY (k))")
	for i := range 1000 {
		c.must(fmt.Sprintf("INSERT INTO t VALUES (%d, %d, '%011d-%s', '%s')", i+1, i*7919%1000, i*7919%1000, strings.Repeat("68487932199-", 9), strings.Repeat("38014276128-", 4)))
	}
	return c
}

func benchQuery(b *testing.B, c *client, query func(i int) string) {
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := c.query(context.Background(), query(i), false, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlannedPoint is a query by primary key through the planner: what every
// statement costs there at least.
func BenchmarkPlannedPoint(b *testing.B) {
	c := benchTable(b)
	c.must("SET direct = 0")
	benchQuery(b, c, func(i int) string { return fmt.Sprintf("SELECT c FROM t WHERE id = %d", i%1000+1) })
}

// BenchmarkDirectPoint is the same without it.
func BenchmarkDirectPoint(b *testing.B) {
	benchQuery(b, benchTable(b), func(i int) string { return fmt.Sprintf("SELECT c FROM t WHERE id = %d", i%1000+1) })
}

// BenchmarkDirectRange are sysbench's ranges of 100 rows.
func BenchmarkDirectRange(b *testing.B) {
	for _, q := range []string{
		"SELECT c FROM t WHERE id BETWEEN %d AND %d", "SELECT SUM(k) FROM t WHERE id BETWEEN %d AND %d",
		"SELECT c FROM t WHERE id BETWEEN %d AND %d ORDER BY c", "SELECT DISTINCT c FROM t WHERE id BETWEEN %d AND %d ORDER BY c",
	} {
		b.Run(strings.ReplaceAll(q[len("SELECT "):], " FROM t WHERE id BETWEEN %d AND %d", ""), func(b *testing.B) {
			benchQuery(b, benchTable(b), func(i int) string { return fmt.Sprintf(q, i%800+1, i%800+100) })
		})
	}
}

// BenchmarkDirectUpdate is an update by primary key, committed to disk.
func BenchmarkDirectUpdate(b *testing.B) {
	benchQuery(b, benchTable(b), func(i int) string { return fmt.Sprintf("UPDATE t SET k = k + 1 WHERE id = %d", i%1000+1) })
}

// BenchmarkDirectInsert is an insert with a generated key, committed to disk.
func BenchmarkDirectInsert(b *testing.B) {
	benchQuery(b, benchTable(b), func(i int) string {
		return fmt.Sprintf("INSERT INTO t (id, k, c, pad) VALUES (0, %d, '%s', 'pad')", i, strings.Repeat("68487932199-", 9))
	})
}
