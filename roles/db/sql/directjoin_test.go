package sql

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// joinCase makes random tables that have the same columns, and random joins of them.
type joinCase struct {
	rnd *rand.Rand
}

// joinColumns have values in common, across their types too.
var joinColumns = []string{"id", "n", "u", "s", "b"}

func (j *joinCase) create(table string) []string {
	types := map[string]string{
		"id": pick(j.rnd, []string{"INT", "BIGINT UNSIGNED", "SMALLINT"}) + " NOT NULL", "n": pick(j.rnd, []string{"INT", "TINYINT", "BIGINT"}),
		"u": pick(j.rnd, []string{"INT UNSIGNED", "BIGINT UNSIGNED"}) + " NOT NULL", "s": "VARCHAR(10)", "b": "VARCHAR(10) COLLATE utf8mb4_bin NOT NULL",
	}
	var parts []string
	for _, c := range joinColumns {
		parts = append(parts, c+" "+types[c])
	}
	parts = append(parts, pick(j.rnd, []string{"PRIMARY KEY (id)", "PRIMARY KEY (id, u)", "PRIMARY KEY (u, id)", "UNIQUE KEY one (id)"}))
	for i := range j.rnd.IntN(4) {
		columns := slices.Clone(joinColumns)
		j.rnd.Shuffle(len(columns), func(a, b int) { columns[a], columns[b] = columns[b], columns[a] })
		columns = columns[:1+j.rnd.IntN(2)]
		if j.rnd.IntN(6) == 0 && columns[0] == "s" {
			columns[0] = "s(1)"
		}
		parts = append(parts, fmt.Sprintf("KEY k%d (%s)", i, strings.Join(columns, ", ")))
	}
	script := []string{"CREATE TABLE " + table + " (" + strings.Join(parts, ", ") + ")"}
	var rows []string
	for id := range j.rnd.IntN(40) {
		rows = append(rows, fmt.Sprintf("(%d, %s, %d, %s, %s)", id, pick(j.rnd, []string{"NULL", "-1", "0", "1", "2", "3", "100"}), j.rnd.IntN(6),
			pick(j.rnd, []string{"NULL", "''", "'a'", "'A'", "'é'", "'ab'", "'z'"}), pick(j.rnd, []string{"'a'", "'A'", "'b'", "''"})))
	}
	if len(rows) > 0 {
		script = append(script, "INSERT INTO "+table+" VALUES "+strings.Join(rows, ", "))
	}
	return script
}

func (j *joinCase) condition(alias string) string {
	c := alias + "." + pick(j.rnd, joinColumns)
	text := strings.HasSuffix(c, "s") || strings.HasSuffix(c, "b")
	literal := func() string {
		if text {
			return pick(j.rnd, []string{"'a'", "'A'", "'ab'", "''"})
		}
		return fmt.Sprint(j.rnd.IntN(8) - 1)
	}
	switch j.rnd.IntN(7) {
	case 0:
		return fmt.Sprintf("%s IN (%s, %s)", c, literal(), literal())
	case 1:
		return c + pick(j.rnd, []string{" < ", " >= ", " <> "}) + literal()
	case 2:
		return c + pick(j.rnd, []string{" IS NULL", " IS NOT NULL"})
	case 3:
		return fmt.Sprintf("(%s = %s OR %s = %s)", c, literal(), c, literal())
	}
	return c + " = " + literal()
}

// read is a join, and whether its rows come in a certain order.
func (j *joinCase) read() (q string, ordered bool) {
	n := 2 + j.rnd.IntN(2)
	aliases := []string{"x", "y", "z"}[:n]
	from := "t0 AS x"
	var where []string
	for i := 1; i < n; i++ {
		other := aliases[j.rnd.IntN(i)]
		on := fmt.Sprintf("%s.%s = %s.%s", aliases[i], pick(j.rnd, []string{"id", "id", "id", "id", "n", "u", "s", "b"}), other, pick(j.rnd, []string{"id", "n", "u", "s", "b"}))
		if last := on[len(on)-1]; strings.ContainsRune("sb", rune(last)) != strings.ContainsRune("sb", rune(on[2])) {
			on = fmt.Sprintf("%s.u = %s.id", aliases[i], other)
		}
		table := fmt.Sprintf("t%d AS %s", i, aliases[i])
		if j.rnd.IntN(6) == 0 {
			from, where = from+", "+table, append(where, on)
			continue
		}
		if j.rnd.IntN(4) == 0 {
			on += " AND " + j.condition(aliases[i])
		}
		from += pick(j.rnd, []string{" JOIN ", " INNER JOIN ", " LEFT JOIN ", " LEFT OUTER JOIN "}) + table + " ON " + pick(j.rnd, []string{on, "(" + on + ")"})
	}
	if j.rnd.IntN(4) > 0 { // most tables have a key that this leads through
		where = append(where, pick(j.rnd, aliases)+pick(j.rnd, []string{".id < 20", ".id IN (3, 1, 7)", ".id = 2", ".u >= 3"}))
	}
	if j.rnd.IntN(5) == 0 {
		where = append(where, pick(j.rnd, aliases)+pick(j.rnd, []string{".id IS NULL", ".u IS NULL"}))
	}
	for range j.rnd.IntN(3) {
		where = append(where, j.condition(pick(j.rnd, aliases)))
	}
	list := pick(j.rnd, []string{"*", "x.*, y.s", "x.id, y.id", "y.n, x.b", "COUNT(*)", "DISTINCT y.id, y.u", "DISTINCT x.b", "SUM(y.n)"})
	q = "SELECT " + list + " FROM " + from
	if len(where) > 0 {
		q += " WHERE " + strings.Join(where, " AND ")
	}
	if j.rnd.IntN(2) == 0 && list != "COUNT(*)" && list != "SUM(y.n)" {
		switch {
		case list == "DISTINCT x.b":
			return q, false
		case strings.HasPrefix(list, "DISTINCT"):
			return q + " ORDER BY y.u DESC, y.id", true
		}
		keys := ""
		for _, a := range aliases {
			keys += fmt.Sprintf(", %s.id, %s.u", a, a)
		}
		q += " ORDER BY " + pick(j.rnd, []string{"x.n", "y.s DESC", "x.u"}) + keys
		if j.rnd.IntN(2) == 0 {
			q += fmt.Sprintf(" LIMIT %d, %d", j.rnd.IntN(3), j.rnd.IntN(9))
		}
		return q, true
	}
	return q, false
}

// Joins without the planner answer as it does, and find the rows that MariaDB finds.
func TestDirectJoins(t *testing.T) {
	rounds := 12
	if !testing.Short() {
		rounds = 150
	}
	conn := mariadb(t)
	statements, taken := 0, uint64(0)
	for seed := range uint64(rounds) {
		j := &joinCase{rnd: rand.New(rand.NewPCG(seed, 47))}
		w := newTwin(t, seed)
		for i := range 3 {
			for _, q := range append([]string{fmt.Sprintf("DROP TABLE IF EXISTS t%d", i)}, j.create(fmt.Sprintf("t%d", i))...) {
				w.d.must(q)
				w.p.must(q)
				w.script = append(w.script, q)
				if _, err := conn.ExecContext(t.Context(), q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
		}
		for range 60 {
			q, ordered := j.read()
			before := w.direct.engine.Counters().Direct
			if !w.same(q, ordered) {
				return
			}
			statements++
			if w.direct.engine.Counters().Direct == before {
				continue // the planner answered both
			}
			taken++
			ours := w.d.must(q).rows
			theirs, err := rowsOf(conn, q)
			if err != nil {
				t.Fatalf("%s: %v", q, err)
			}
			if !ordered {
				slices.Sort(ours)
				slices.Sort(theirs)
			}
			if !slices.Equal(ours, theirs) {
				t.Fatalf("seed %d: %s;\n   ours %q\n theirs %q\n%s", seed, q, ours, theirs, strings.Join(w.script, ";\n"))
			}
		}
		w.direct.stop()
		w.planner.stop()
	}
	t.Logf("%d of %d joins without the planner", taken, statements)
	if int(taken) < statements/4 {
		t.Errorf("only %d of %d joins were answered without the planner", taken, statements)
	}
}

// A FULLTEXT index finds words, not values: no join is led by it, within a transaction or
// outside of one, and it keeps no join from being answered without the planner.
func TestDirectJoinBesideFullText(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE a (id INT PRIMARY KEY, s VARCHAR(40), FULLTEXT (s))", "CREATE TABLE b (id INT PRIMARY KEY, s VARCHAR(40), KEY (s))",
		"INSERT INTO a VALUES (1, 'one two'), (2, 'three'), (3, 'two')", "INSERT INTO b VALUES (1, 'one two'), (2, 'two'), (3, 'three'), (4, NULL)")
	read := func() {
		t.Helper()
		c.want("SELECT b.id, a.id FROM b JOIN a ON a.s = b.s WHERE b.id = 1", "1|1")
		c.want("SELECT b.id, a.id FROM b JOIN a ON a.s = b.s WHERE b.id IN (1, 2, 3) ORDER BY b.id", "1|1", "2|3", "3|2")
		before := s.engine.Counters().Direct
		c.want("SELECT b.id, a.id FROM a JOIN b ON a.s = b.s WHERE a.id IN (1, 3) ORDER BY b.id", "1|1", "2|3")
		if s.engine.Counters().Direct == before {
			t.Errorf("the planner answered a join that leads through an index: %v", s.engine.Counters().Left)
		}
	}
	read()
	c.must("BEGIN", "SELECT 1")
	read()
}

// The planner's merge join misses rows where the key of an index begins with a column
// that may be NULL.
func TestPlannedJoinOverNullableKeys(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0", "CREATE TABLE t0 (id INT NOT NULL, n INT, u INT NOT NULL, PRIMARY KEY (u, id), KEY a (n, id))",
		"CREATE TABLE t1 (id INT PRIMARY KEY, n INT, s VARCHAR(9), KEY (n, s))")
	var t0, t1 []string
	for id := range 39 {
		n := fmt.Sprint(id % 5)
		if id%7 == 6 {
			n = "NULL"
		}
		t0, t1 = append(t0, fmt.Sprintf("(%d, %s, %d)", id, n, id%6)), append(t1, fmt.Sprintf("(%d, %s, 'a')", id, n))
	}
	c.must("INSERT INTO t0 VALUES "+strings.Join(t0, ","), "INSERT INTO t1 VALUES "+strings.Join(t1, ","))
	c.want("SELECT COUNT(*) FROM t1 x, t0 y WHERE y.n = x.n AND y.id = x.n AND x.id < 20", "18")
}
