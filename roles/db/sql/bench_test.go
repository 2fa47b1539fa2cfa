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

// BenchmarkBulkInsert loads rows as a dump has them: INSERTs of about a megabyte.
// -benchtime=300000x inserts as many rows.
func BenchmarkBulkInsert(b *testing.B) {
	c := newServer(b).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY (k))")
	var texts []string
	var text strings.Builder
	for i := range b.N {
		if text.Len() == 0 {
			text.WriteString("INSERT INTO t VALUES ")
		} else {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, "(%d,%d,'%011d-%s','%s')", i+1, i*7919%1000003, i*7919%1000003, strings.Repeat("68487932199-", 9), strings.Repeat("38014276128-", 4))
		if text.Len() > 1<<20 || i == b.N-1 {
			texts = append(texts, text.String())
			text.Reset()
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, q := range texts {
		if _, err := c.query(context.Background(), q, false, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

// filteredRows is the number of rows of BenchmarkFilteredScan: ns/op divided by it is the
// time per row.
const filteredRows = 20_000

// BenchmarkFilteredScan reads a whole table for a few of its rows, through the planner and
// without it.
func BenchmarkFilteredScan(b *testing.B) {
	for _, direct := range []int{0, 1} {
		c := newServer(b).test()
		c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, k INT NOT NULL, price DECIMAL(10,2), d DATETIME, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL)")
		for i := 0; i < filteredRows; i += 1000 {
			rows := make([]string, 1000)
			for j := range rows {
				n := (i + j) * 7919 % filteredRows
				rows[j] = fmt.Sprintf("(%d, %d.%02d, '2024-01-01 00:00:00' + INTERVAL %d MINUTE, '%011d-%s', '%s')", n, n, n%100, n, n, strings.Repeat("68487932199-", 9), strings.Repeat("38014276128-", 4))
			}
			c.must("INSERT INTO t (k, price, d, c, pad) VALUES " + strings.Join(rows, ", "))
		}
		c.must(fmt.Sprintf("SET direct = %d", direct))
		for _, where := range []string{"k = 77", "price BETWEEN 100.10 AND 101.20", "d >= '2024-01-14 21:00:00'", "c = '00000000077'", "c LIKE '%0000077-%'",
			"k IN (1, 7, 77, 777) AND c LIKE '00%' OR price IS NULL", "k >= 0"} {
			b.Run(fmt.Sprintf("direct=%d/%s", direct, where), func(b *testing.B) {
				benchQuery(b, c, func(int) string { return "SELECT id, c, pad FROM t WHERE " + where })
			})
		}
	}
}
