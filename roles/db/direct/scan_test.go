package direct

import (
	"fmt"
	"strings"
	"testing"
)

// text shows what Scan makes of a statement.
func (t *Text) text() string {
	var values []string
	for _, v := range t.Values {
		switch v.Kind {
		case Null:
			values = append(values, "NULL")
		case Int:
			values = append(values, fmt.Sprint(v.Int))
		case Uint:
			values = append(values, fmt.Sprint(uint64(v.Int)))
		case Param:
			values = append(values, fmt.Sprint("$", v.Int))
		default:
			values = append(values, fmt.Sprintf("%q", v.Text))
		}
	}
	out := fmt.Sprintf("%s | %s | %v", t.Template, strings.Join(values, " "), t.Spans)
	if t.Rows > 0 {
		out += fmt.Sprintf(" | %d rows of %d from %d", t.Rows, t.Width, t.FirstRow)
	}
	return out
}

func TestScan(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{"SELECT c FROM sbtest1 WHERE id=5", "SELECT c FROM sbtest1 WHERE id=? | 5 | [{0 1}]"},
		{"select * from `t 1` where a = -1 and b >= 'x''y\\n\\'' limit 3, 4", `select * from ` + "`t 1`" + ` where a = ? and b >= ? limit ?, ? | -1 "x'y\n'" 3 4 | [{0 1} {1 1} {2 1} {3 1}]`},
		{"SELECT a FROM t WHERE a IN ( 1,2 , 3) AND b=4", "SELECT a FROM t WHERE a IN ( ?) AND b=? | 1 2 3 4 | [{0 3} {3 1}]"},
		{"SELECT a FROM t WHERE a IN (SELECT 1)", "SELECT a FROM t WHERE a IN (SELECT ?) | 1 | [{0 1}]"},
		{"SELECT a FROM t WHERE a IN (1, b)", "SELECT a FROM t WHERE a IN (?, b) | 1 | [{0 1}]"},
		{"INSERT INTO t VALUES (1,'a'), (2, NULL),(3,'c')", `INSERT INTO t VALUES (?,?) | 1 "a" 2 NULL 3 "c" | [{0 1} {1 1}] | 3 rows of 2 from 0`},
		{"INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a), b = b - 1", "INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES(a), b = b - ? | 1 1 | [{0 1} {1 1}] | 1 rows of 1 from 0"},
		{"UPDATE t SET k=k+1 WHERE id=2", "UPDATE t SET k=k+? WHERE id=? | 1 2 | [{0 1} {1 1}]"},
		{"UPDATE t SET k=k-1", "UPDATE t SET k=k-? | 1 | [{0 1}]"},
		{"SELECT 18446744073709551615, 1.50, -7", `SELECT ?, ?, ? | 18446744073709551615 "1.50" -7 | [{0 1} {1 1} {2 1}]`},
		{"SELECT c FROM t WHERE id BETWEEN ? AND ?", "SELECT c FROM t WHERE id BETWEEN ? AND ? | $0 $1 | [{0 1} {1 1}]"},
		{"SELECT t.c2 FROM d.t", "SELECT t.c2 FROM d.t |  | []"},
	} {
		var got Text
		if !got.Scan(c.statement) {
			t.Errorf("%s: refused", c.statement)
		} else if got.text() != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.statement, got.text(), c.want)
		}
	}
	for _, refused := range []string{
		"SELECT 1 -- x", "SELECT 1 # x", "SELECT /* x */ 1", "SELECT 0x1f", "SELECT x'1f'", "SELECT b'1'", "SELECT _utf8'a'", "SELECT N'a'",
		"SELECT @a", "SELECT 1e5", "SELECT .5", "SELECT 1; SELECT 2", "SELECT 'a' 'b'", "SELECT 'a", "SELECT `a", "SELECT 'a\\", "SELECT '\xff'",
		"INSERT INTO t VALUES (1), (2, 3)", "INSERT INTO t VALUES (NOW())", "INSERT INTO t VALUES (1", "SELECT 123456789012345678901", "SELECT a = -9223372036854775809", "SELECT 18446744073709551616", "SELECT 5a", "SELECT a FROM t WHERE b = :v1",
	} {
		var got Text
		if got.Scan(refused) {
			t.Errorf("%s: taken for %s", refused, got.text())
		}
	}
}

// What is put back into a template must be the statement again, as far as it is one
// literal for each question mark.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"SELECT c FROM t WHERE id=1", "INSERT INTO t VALUES (1,'a''b'),(-2,NULL) ON DUPLICATE KEY UPDATE a=VALUES(a)", "SELECT a FROM t WHERE b IN ('x', ?, 3) LIMIT 1",
		"UPDATE `t` SET a=\"\\n\" WHERE 1=1", "SELECT a IN (b, (1))",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got Text
		if !got.Scan(s) {
			return
		}
		marks := 0
		quoted := false
		for _, c := range got.Template {
			switch {
			case c == '`':
				quoted = !quoted
			case c == '?' && !quoted:
				marks++
			}
		}
		if marks != len(got.Spans) {
			t.Errorf("%q: %d question marks in %q, %d spans", s, marks, got.Template, len(got.Spans))
		}
		for _, span := range got.Spans {
			if span.From < 0 || span.Len < 1 || span.From+span.Len > len(got.Values) {
				t.Errorf("%q: span %v of %d values", s, span, len(got.Values))
			}
		}
		if got.Rows > 0 && got.FirstRow+got.Rows*got.Width > len(got.Values) {
			t.Errorf("%q: %d rows of %d values from %d, there are %d", s, got.Rows, got.Width, got.FirstRow, len(got.Values))
		}
		first := got.text()
		if !got.Scan(s) || got.text() != first {
			t.Errorf("%q: taken apart differently in used memory", s)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	var t Text
	b.ReportAllocs()
	for b.Loop() {
		if !t.Scan("SELECT c FROM sbtest1 WHERE id=49951") {
			b.Fatal("refused")
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c Cache
	for i := range 10 * generationEntries {
		c.Put(fmt.Append(nil, i), "s", &Entry{Reason: Shape})
		if c.Get(fmt.Append(nil, i), "s") == nil || c.Get(fmt.Append(nil, 0), "s") == nil {
			t.Fatalf("after %d: what was just used is forgotten", i)
		}
		if c.Len() > 2*generationEntries {
			t.Fatalf("%d entries", c.Len())
		}
	}
	if c.Get([]byte("1"), "s") != nil {
		t.Error("what was used long ago is still there")
	}
	if c.Get([]byte("0"), "other") != nil {
		t.Error("an entry of other settings was found")
	}
}

// A Text that has been forgotten holds nothing of the statement, not even of a list that
// was none.
func TestForget(t *testing.T) {
	var text Text
	if !text.Scan("SELECT * FROM t WHERE a IN ('x', 'y', NULL) AND b = 'z'") {
		t.Fatal("not taken apart")
	}
	text.Forget(100)
	for i, v := range text.Values[:cap(text.Values)] {
		if v != (Value{}) {
			t.Errorf("value %d is still %v", i, v)
		}
	}
	if !text.Scan("INSERT INTO t VALUES " + strings.Repeat("(1), ", 200) + "(1)") {
		t.Fatal("not taken apart")
	}
	if text.Forget(100); cap(text.Values) > 100 {
		t.Errorf("memory for %d values is kept", cap(text.Values))
	}
}
