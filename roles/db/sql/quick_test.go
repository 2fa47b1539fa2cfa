package sql

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Comparisons and LIKE of columns with literals, which do not take the planner's way,
// find the rows that MariaDB finds.
func TestQuickAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	c.must("SET direct = 0") // the planner's plans are meant
	script := []string{"DROP TABLE IF EXISTS q", `CREATE TABLE q (id INT PRIMARY KEY, i SMALLINT, u BIGINT UNSIGNED, s VARCHAR(30), b VARCHAR(30) COLLATE utf8mb4_bin,
		x TEXT, d DATETIME, KEY (i))`, `INSERT INTO q VALUES (1, -5, 0, 'Apple', 'Apple', 'one two three', '2024-01-01 00:00:00'),
		(2, 0, 18446744073709551615, 'apple pie', 'apple', 'ONE', '2024-02-29 10:20:30'), (3, 5, 9223372036854775808, 'Äpfel', 'Äpfel', 'ünö', '1999-12-31 23:59:59'),
		(4, 32767, 5, '', '', '', '2024-02-29 00:00:00'), (5, NULL, NULL, NULL, NULL, NULL, NULL), (6, 1, 1, '100%', '100%', 'a_b', '2030-05-05 05:05:05'),
		(7, 2, 2, '😀 smile', '😀 smile', 'back\\slash', '2024-02-28 23:59:59')`}
	for _, q := range script {
		c.must(q)
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	numbers := []string{"-6", "-5", "0", "1", "5", "32767", "40000", "9223372036854775808", "18446744073709551615"}
	texts := []string{"'apple'", "'APPLE'", "'Apfel'", "''", "'100%'", "'b'", "'😀 smile'", "'ONE'", "'unö'"}
	days := []string{"'2024-02-29'", "'2024-02-29 10:20:30'", "'1999-12-31 23:59:59'", "'2031-01-01'"}
	likes := []string{"'%'", "''", "'a%'", "'%E'", "'%p%e%'", "'_pple'", "'%\\%'", "'100|%' ESCAPE '|'", "'A_B'", "'a\\_b'", "'%😀%'", "'_ smile'", "'%ü%'", "'%one%'", "'o%o%e'", `'%\\\\%'`}
	var conditions []string
	for column, literals := range map[string][]string{"i": numbers, "u": numbers, "s": texts, "b": texts, "x": texts, "d": days} {
		for _, l := range literals {
			for _, op := range []string{"=", "<>", "<", "<=", ">", ">="} {
				conditions = append(conditions, fmt.Sprintf("%s %s %s", column, op, l))
			}
		}
	}
	for _, column := range []string{"s", "b", "x"} {
		for _, l := range likes {
			conditions = append(conditions, column+" LIKE "+l, "NOT ("+column+" LIKE "+l+")", fmt.Sprintf("i > 0 OR %s LIKE %s", column, l))
		}
	}
	slices.Sort(conditions)
	for _, condition := range conditions {
		for _, q := range []string{"SELECT id FROM q WHERE " + condition, "SELECT id, " + condition + " FROM q"} {
			theirs, err := rowsOf(conn, q)
			if err != nil {
				t.Fatalf("%s: %v", q, err)
			}
			ours := c.must(q).rows
			slices.Sort(theirs)
			slices.Sort(ours)
			for i := range ours { // a boolean
				ours[i] = oneOrZero.Replace(ours[i])
			}
			if !slices.Equal(ours, theirs) {
				t.Errorf("%s:\n   ours %q\n theirs %q", q, ours, theirs)
			}
		}
	}
}

var oneOrZero = strings.NewReplacer("|true", "|1", "|false", "|0")
