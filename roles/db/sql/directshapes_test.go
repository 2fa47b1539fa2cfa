package sql

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// shape is a query of the forms that WordPress builds from parts, and whether its rows
// come in a certain order.
func (d *directCase) shape() (string, bool) {
	c := pick(d.rnd, d.cols)
	value := func() string { return pick(d.rnd, c.literals) }
	conditions := []string{
		fmt.Sprintf("%s = %s OR %s = %s", c.name, value(), c.name, value()),
		fmt.Sprintf("((t.%s = %s OR (%s IN (%s, %s))))", c.name, value(), c.name, value(), value()),
		fmt.Sprintf("%s NOT IN (%s, %s)", c.name, value(), value()),
		fmt.Sprintf("%s != %s", c.name, value()),
		"( \n 0 = 1\n)", "1=1", "(5 = 5) AND 01 = 1", "2 = 22",
	}
	where := pick(d.rnd, conditions)
	for range d.rnd.IntN(3) {
		other := pick(d.rnd, conditions)
		if d.rnd.IntN(2) == 0 {
			other = strings.TrimPrefix(d.where(), " WHERE ")
		}
		where = "(" + where + ") AND (" + other + ")"
	}
	by := pick(d.rnd, d.cols).name + pick(d.rnd, []string{"", " DESC"})
	if d.key == nil {
		switch d.rnd.IntN(3) {
		case 0:
			return "SELECT COUNT(*) FROM t WHERE " + where + " ORDER BY t." + by, true
		case 1:
			return "SELECT * FROM t WHERE " + where, false
		}
		return "SELECT SQL_CALC_FOUND_ROWS * FROM t WHERE " + where, false
	}
	order := " ORDER BY t." + by + ", " + strings.Join(d.key, ", ")
	list := pick(d.rnd, []string{"t.*", "*", c.name, strings.Join(d.key, ", ")})
	switch d.rnd.IntN(8) {
	case 0:
		return "SELECT COUNT(*) FROM t WHERE " + where + " ORDER BY t." + by, true
	case 1:
		return "SELECT FOUND_ROWS()", true
	case 2:
		return pick(d.rnd, []string{"SELECT @@SESSION.sql_mode", "SELECT @@sql_mode", "SET NAMES utf8mb4", "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_520_ci'",
			"SET SESSION sql_mode='ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES'", "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'"}), true
	case 3:
		return fmt.Sprintf("SELECT SQL_CALC_FOUND_ROWS %s FROM t WHERE %s%s LIMIT %d, %d", list, where, order, d.rnd.IntN(4), d.rnd.IntN(4)), true
	case 4:
		return fmt.Sprintf("SELECT SQL_CALC_FOUND_ROWS %s FROM t WHERE %s%s", list, where, order), true
	case 5, 6:
		group := slices.Clone(d.key)
		if d.rnd.IntN(3) == 0 {
			group = append(group, c.name)
		}
		q := fmt.Sprintf("SELECT %s FROM t WHERE %s GROUP BY t.%s%s", list, where, strings.Join(group, ", t."), order)
		if d.rnd.IntN(2) == 0 {
			q += fmt.Sprintf(" LIMIT %d, %d", d.rnd.IntN(3), d.rnd.IntN(4))
		}
		return q, true
	}
	return "SELECT " + list + " FROM t WHERE " + where + order, true
}

// The shapes answer as MariaDB does too, with rows in a certain order and FOUND_ROWS()
// behind them, also where the planner counts otherwise.
func TestDirectShapesAsMariaDB(t *testing.T) {
	peer := mariadb(t)
	s := newServer(t)
	c := s.test()
	both := func(q string) {
		t.Helper()
		c.must(q)
		if _, err := peer.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("MariaDB: %s: %v", q, err)
		}
	}
	mode := "SET sql_mode = 'STRICT_TRANS_TABLES'"
	both(mode)
	both("CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, type VARCHAR(20) NOT NULL, status VARCHAR(20), at DATETIME NOT NULL, n INT, KEY type_status (type, status, at, id), KEY n (n)) " +
		"DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci")
	rnd := rand.New(rand.NewPCG(7, 7))
	types, statuses := []string{"post", "page", "Post", "menü"}, []string{"'publish'", "'draft'", "NULL", "'PUBLISH'", "'trash'"}
	for i := range 60 {
		both(fmt.Sprintf("INSERT INTO t VALUES (%d, '%s', %s, '2024-01-%02d 00:00:00', %s)", i, pick(rnd, types), pick(rnd, statuses), 1+rnd.IntN(9), pick(rnd, []string{"NULL", "1", "2", "3"})))
	}
	d := &directCase{rnd: rnd, key: []string{"id"}, cols: []directColumn{
		{name: "id", literals: []string{"1", "5", "17", "40", "'3'"}}, {name: "type", literals: []string{"'post'", "'page'", "'menu'", "'POST'"}},
		{name: "status", literals: []string{"'publish'", "'Draft'", "'none'"}}, {name: "n", literals: []string{"1", "2", "-4"}},
	}}
	before := s.engine.Counters()
	n := 0
	for range 600 {
		q, ordered := d.shape()
		if strings.HasPrefix(q, "SET") || strings.Contains(q, "@@") || strings.Contains(q, "FOUND_ROWS()") {
			continue
		}
		n++
		got, err := c.run(q)
		want, wantErr := rowsOf(peer, q)
		if err != nil || wantErr != nil {
			t.Fatalf("%s: %v; MariaDB: %v", q, err, wantErr)
		}
		if !ordered {
			slices.Sort(got.rows)
			slices.Sort(want)
		}
		if !slices.Equal(got.rows, want) {
			t.Errorf("%s\n stack:  %q\nMariaDB: %q", q, got.rows, want)
		}
		if strings.Contains(q, "SQL_CALC") {
			found, err := rowsOf(peer, "SELECT FOUND_ROWS()")
			if err != nil {
				t.Fatal(err)
			}
			if got := c.must("SELECT FOUND_ROWS()").rows; !slices.Equal(got, found) {
				t.Errorf("%s: FOUND_ROWS() is %q, MariaDB's %q", q, got, found)
			}
		}
	}
	after := s.engine.Counters()
	if taken := after.Direct - before.Direct; taken*10 < uint64(n)*9 {
		t.Errorf("%d of %d taken: %v", taken, n, after.Left)
	}
}

// A SET that is known does to another session what it did to the first.
func TestDirectSet(t *testing.T) {
	s := newServer(t)
	sets := []string{"SET NAMES latin1", "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'", "set session sql_mode='STRICT_ALL_TABLES'", "SET sql_mode = \"\""}
	look := "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection, @@session.sql_mode, @@global.sql_mode"
	for _, set := range sets {
		first := s.test()
		first.must(set)
		want := first.must(look).rows
		before := s.engine.Counters().Direct
		second := s.test()
		second.must(set)
		if s.engine.Counters().Direct != before+1 {
			t.Errorf("%s: not known the second time: %v", set, s.engine.Counters().Left)
		}
		if got := second.must(look).rows; !slices.Equal(got, want) {
			t.Errorf("%s: %q, at first %q", set, got, want)
		}
	}
	c := s.test()
	before := s.engine.Counters().Direct
	for range 2 {
		for _, q := range []string{"SET NAMES DEFAULT", "SET sql_mode = DEFAULT", "SET sql_mode = CONCAT(@@sql_mode, '')"} {
			c.run(q)
		}
	}
	if s.engine.Counters().Direct != before {
		t.Error("a SET whose effect depends on more than its text was kept")
	}
	c.fails(1105, "SET NAMES nonsense")
	c.fails(1105, "SET NAMES nonsense")
}
