package sql

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
)

// recorded are the statements of a WordPress from its installation on, in order, as they
// came over the wire in TestWordPress of package e2e: a line of JSON each.
func recorded(t testing.TB) []string {
	t.Helper()
	f, err := os.Open("testdata/wordpress.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for r := bufio.NewReader(z); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		var q string
		if err := json.Unmarshal(line, &q); err != nil {
			t.Fatal(err)
		}
		list = append(list, q)
	}
}

// Of what WordPress sends, at least 90 % are answered without the planner; and both ways
// lead to the same answers and the same data.
func TestDirectWordPress(t *testing.T) {
	w := newTwin(t, 0)
	list := recorded(t)
	before := w.direct.engine.Counters()
	for _, q := range list {
		// Rows that are equal in the order asked for may come either way.
		got, want := answer(w.d, q, !strings.Contains(q, " LIMIT ")), answer(w.p, q, !strings.Contains(q, " LIMIT "))
		if calculated := strings.Contains(q, "SQL_CALC_FOUND_ROWS"); calculated {
			got, _, _ = strings.Cut(got, "row count")
			want, _, _ = strings.Cut(want, "row count")
			w.p.GetLastQueryInfo().FoundRows.Store(w.d.GetLastQueryInfo().FoundRows.Load())
		}
		if got != want {
			t.Errorf("%.1000s;\n direct: %.2000s\nplanner: %.2000s", q, got, want)
		}
	}
	after := w.direct.engine.Counters()
	taken := after.Direct - before.Direct
	t.Logf("%d of %d statements without the planner (%.1f %%), the others: %v", taken, len(list), 100*float64(taken)/float64(len(list)), after.Left)
	if taken*100 < uint64(len(list))*90 {
		t.Errorf("less than 90 %% of WordPress's statements were answered without the planner")
	}
	for _, table := range []string{"wp_posts", "wp_options", "wp_postmeta", "wp_comments", "wp_terms", "wp_term_taxonomy", "wp_term_relationships", "wp_users", "wp_usermeta"} {
		if n := w.d.must("SELECT * FROM " + table + " WHERE 1 = 1").rows; len(n) == 0 {
			t.Errorf("%s is empty: the recording does nothing", table)
		}
		w.same("SELECT * FROM "+table, true)
	}
}

// BenchmarkWordPressHome are the statements of one home page in turn.
func BenchmarkWordPressHome(b *testing.B) {
	c := newServer(b).test()
	list := recorded(b)
	for _, q := range list {
		if _, err := c.query(context.Background(), q, false, discard{}); err != nil && !strings.Contains(err.Error(), "doesn't exist") {
			b.Fatalf("%s: %v", q, err)
		}
	}
	page := homePage(list)
	if len(page) < 20 {
		b.Fatalf("the recording has no home page: %d statements", len(page))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for _, q := range page {
			if _, err := c.query(context.Background(), q, false, discard{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(page)), "statements")
}

// homePage is the last connection that reads posts as the home page does.
func homePage(list []string) []string {
	var page, connection []string
	for _, q := range append(list, "SET NAMES utf8mb4") {
		if q == "SET NAMES utf8mb4" {
			text := strings.Join(connection, ";")
			if strings.Contains(text, "'home','index'") && !strings.Contains(text, "INSERT") {
				page = connection
			}
			connection = nil
		}
		connection = append(connection, q)
	}
	return page
}
