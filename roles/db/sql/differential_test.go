package sql

import (
	"context"
	gosql "database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

// mariadb starts a server of its own and returns one connection to it.
func mariadb(t *testing.T) *gosql.Conn {
	t.Helper()
	conn, err := mariadbServer(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "USE test"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// onBoth runs statements here and there.
func onBoth(t *testing.T, c *client, conn *gosql.Conn, statements ...string) {
	t.Helper()
	for _, q := range statements {
		c.must(q)
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("MariaDB: %v in %s", err, q)
		}
	}
}

// mariadbServer starts a server of its own with an empty database test.
func mariadbServer(t *testing.T) *gosql.DB {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mariadbd is run as root here")
	}
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	dir := t.TempDir()
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data, "--tmpdir="+dir,
		"--skip-test-db", "--auth-root-authentication-method=normal").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	server := exec.Command("mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--tmpdir="+dir, "--socket="+socket, "--skip-networking",
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_520_ci", "--innodb-buffer-pool-size=16M",
		"--sql-mode=STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	db, err := gosql.Open("mysql", "root@unix("+socket+")/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(time.Minute)
	for db.Ping() != nil {
		if time.Now().After(deadline) {
			t.Fatal("mariadbd did not come up within a minute")
		}
		<-tick.C
	}
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE test"); err != nil {
		t.Fatal(err)
	}
	return db
}

// rowsOf runs a query on the peer; rows are as collected has them.
func rowsOf(conn *gosql.Conn, query string) ([]string, error) {
	rows, err := conn.QueryContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var list []string
	for rows.Next() {
		values := make([]gosql.RawBytes, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		text := make([]string, len(names))
		for i, v := range values {
			if text[i] = string(v); v == nil {
				text[i] = "NULL"
			}
		}
		list = append(list, strings.Join(text, "|"))
	}
	return list, rows.Err()
}

// asMariaDB compares what a query answers.
func asMariaDB(t *testing.T, c *client, conn *gosql.Conn, q string) {
	t.Helper()
	theirs, err := rowsOf(conn, q)
	if err != nil {
		t.Fatal(q, err)
	}
	if out, err := c.run(q); err != nil || !slices.Equal(out.rows, theirs) {
		t.Errorf("%s\n  ours: %q %v\ntheirs: %q", q, out.rows, err, theirs)
	}
}

// schemaCase is a random table: some typed columns and indexes over them.
type schemaCase struct {
	rnd   *rand.Rand
	cols  []randomColumn
	keyed bool
}

type randomColumn struct {
	name   string
	kind   int
	values []string // literals, all of which the type holds
	probes []string // literals to compare with
}

// kinds of columns. The literals keep to what docs/db.md does not list as different:
// no blanks at the end, probes with no more decimals than the column (which MariaDB
// rounds where it looks up an integer).
var randomKinds = []struct {
	types          []string
	values, probes []string
	text           bool
}{
	{types: []string{"INT", "BIGINT", "MEDIUMINT"}, values: []string{"-3", "-1", "0", "1", "2", "3", "7", "8388607", "-8388608"}, probes: []string{"0", "-4", "7000", "'2'", "3e0"}},
	{types: []string{"TINYINT UNSIGNED", "SMALLINT UNSIGNED", "BIGINT UNSIGNED"}, values: []string{"0", "1", "2", "5", "200", "255"}, probes: []string{"-1", "256", "'5'"}},
	{types: []string{"VARCHAR(12)", "TEXT", "VARCHAR(30) COLLATE utf8mb4_bin"}, values: []string{"''", "'a'", "'A'", "'ab'", "'abc'", "'abcd'", "'ABCE'", "'b'", "'ñ'", "'n'", "'é'", "'E'", "'zz'", "'😀'", "'10'", "'9'"}, probes: []string{"'abce'", "'aa'", "'z'"}, text: true},
	{types: []string{"VARBINARY(12)", "BLOB"}, values: []string{"''", "'a'", "'A'", "'ab'", "x'00'", "x'00ff'", "x'ff'", "'abcd'", "'abce'"}, probes: []string{"x'61'", "'b'"}, text: true},
	{types: []string{"DECIMAL(8,2)", "DECIMAL(12,2)"}, values: []string{"-1.50", "0", "0.01", "1.10", "1.11", "999999.99"}, probes: []string{"1", "1.1", "2.5", "-9999"}},
	{types: []string{"DOUBLE"}, values: []string{"-2.5", "0", "0.5", "1", "3.25", "1e10"}, probes: []string{"0.25", "1", "-1e30"}},
	{types: []string{"DATE"}, values: []string{"'1999-12-31'", "'2024-01-01'", "'2024-02-29'", "'2030-05-05'"}, probes: []string{"'2024-01-02'", "'2000-01-01'"}},
	{types: []string{"DATETIME", "DATETIME(3)"}, values: []string{"'1999-12-31 23:59:59'", "'2024-01-01 00:00:00'", "'2024-02-29 10:20:30'"}, probes: []string{"'2024-01-01'", "'2010-01-01 01:02:03'"}},
	{types: []string{"BIT(6)"}, values: []string{"0", "1", "5", "63"}, probes: []string{"2", "4"}},
	{types: []string{"TIME", "TIME(3)", "TIME(6)"}, values: []string{"'10:11:12'", "'-10:11:12'", "'00:00:00'", "'838:59:59'"}, probes: []string{"'10:11:11'", "'00:00:01'"}},
	{types: []string{"DECIMAL(8,2) UNSIGNED"}, values: []string{"0", "0.01", "1.10", "999999.99"}, probes: []string{"1", "-1"}},
	{types: []string{"DOUBLE UNSIGNED"}, values: []string{"0", "0.5", "3.25", "1e10"}, probes: []string{"0.25", "-1"}},
	{types: []string{"TIMESTAMP", "TIMESTAMP(3)"}, values: []string{"'1999-12-31 23:59:59'", "'2024-01-01 00:00:00'", "'2024-02-29 10:20:30'"}, probes: []string{"'2024-01-01'", "'2010-01-01 01:02:03'"}},
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// create returns the statement that makes table t.
func (s *schemaCase) create() string {
	parts := []string{"id INT NOT NULL"}
	for i := range 2 + s.rnd.IntN(3) {
		k := s.rnd.IntN(len(randomKinds))
		c := randomColumn{name: fmt.Sprint("c", i), kind: k, values: randomKinds[k].values, probes: append(slices.Clone(randomKinds[k].values), randomKinds[k].probes...)}
		s.cols = append(s.cols, c)
		parts = append(parts, c.name+" "+pick(s.rnd, randomKinds[k].types))
	}
	if s.keyed = s.rnd.IntN(5) > 0; s.keyed {
		parts = append(parts, "PRIMARY KEY (id)")
	}
	for i := range 1 + s.rnd.IntN(3) {
		cols := slices.Clone(s.cols)
		s.rnd.Shuffle(len(cols), func(a, b int) { cols[a], cols[b] = cols[b], cols[a] })
		var names []string
		for _, c := range cols[:1+s.rnd.IntN(len(cols))] {
			name := c.name
			if randomKinds[c.kind].text {
				name += fmt.Sprintf("(%d)", 1+s.rnd.IntN(10))
			}
			names = append(names, name)
		}
		parts = append(parts, fmt.Sprintf("KEY k%d (%s)", i, strings.Join(names, ", ")))
	}
	return "CREATE TABLE t (" + strings.Join(parts, ", ") + ")"
}

func (s *schemaCase) value(c randomColumn) string {
	if s.rnd.IntN(6) == 0 {
		return "NULL"
	}
	return pick(s.rnd, c.values)
}

// condition is a random predicate; prefix qualifies the columns.
func (s *schemaCase) condition(prefix string, depth int) string {
	if depth > 0 && s.rnd.IntN(2) == 0 {
		return "(" + s.condition(prefix, depth-1) + pick(s.rnd, []string{" AND ", " AND ", " OR "}) + s.condition(prefix, depth-1) + ")"
	}
	c := pick(s.rnd, s.cols)
	name := prefix + c.name
	switch s.rnd.IntN(9) {
	case 0:
		return name + pick(s.rnd, []string{" IS NULL", " IS NOT NULL"})
	case 1:
		return fmt.Sprintf("%s BETWEEN %s AND %s", name, pick(s.rnd, c.probes), pick(s.rnd, c.probes))
	case 2:
		return fmt.Sprintf("%s %s (%s, %s, %s)", name, pick(s.rnd, []string{"IN", "IN", "NOT IN"}), pick(s.rnd, c.values), pick(s.rnd, c.values), pick(s.rnd, c.values))
	case 3:
		if randomKinds[c.kind].text && c.kind == 2 {
			return name + " LIKE " + pick(s.rnd, []string{"'a%'", "'AB%'", "'%b'", "'a_'", "'é%'", "''", "'abc%'"})
		}
		return fmt.Sprintf("NOT (%s < %s)", name, pick(s.rnd, c.probes))
	case 4:
		if c.kind == 3 { // the planner cannot merge two <=> of the same binary column
			return name + " IS NULL"
		}
		return fmt.Sprintf("%s <=> %s", name, s.value(c))
	}
	return fmt.Sprintf("%s %s %s", name, pick(s.rnd, []string{"=", "=", "<", "<=", ">", ">=", "<>"}), pick(s.rnd, c.probes))
}

func (s *schemaCase) names(prefix string) string {
	list := []string{prefix + "id"}
	for _, c := range s.cols {
		if c.kind == 8 {
			list = append(list, prefix+c.name+" + 0") // BIT as a number
		} else {
			list = append(list, prefix+c.name)
		}
	}
	return strings.Join(list, ", ")
}

// write is a random statement that changes rows.
func (s *schemaCase) write() string {
	var set []string
	for range 1 + s.rnd.IntN(2) {
		c := pick(s.rnd, s.cols)
		set = append(set, c.name+" = "+s.value(c))
	}
	switch n := s.rnd.IntN(10); {
	case n < 4:
		var rows []string
		for range 1 + s.rnd.IntN(4) {
			row := []string{fmt.Sprint(s.rnd.IntN(60))}
			for _, c := range s.cols {
				row = append(row, s.value(c))
			}
			rows = append(rows, "("+strings.Join(row, ", ")+")")
		}
		verb, tail := pick(s.rnd, []string{"INSERT", "INSERT IGNORE", "REPLACE", "INSERT"}), ""
		if verb == "INSERT" && s.rnd.IntN(2) == 0 {
			// Text that differs by case alone is not written here: docs/db.md.
			if !strings.Contains(strings.Join(set, ", "), "'") {
				tail = " ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
			}
		}
		return verb + " INTO t VALUES " + strings.Join(rows, ", ") + tail
	case n < 6:
		return "UPDATE t SET " + strings.Join(set, ", ") + " WHERE " + s.condition("", 1)
	case n < 7 && s.keyed:
		return fmt.Sprintf("UPDATE t SET id = id + 100 WHERE id < 60 AND %s ORDER BY id DESC LIMIT %d", s.condition("", 0), 1+s.rnd.IntN(4))
	case n < 8 && s.keyed:
		return fmt.Sprintf("DELETE FROM t WHERE %s ORDER BY id LIMIT %d", s.condition("", 1), 1+s.rnd.IntN(3))
	case n < 9:
		return "INSERT IGNORE INTO t SELECT id + 30, " + strings.TrimPrefix(s.columnList(), "id, ") + " FROM t WHERE " + s.condition("", 0)
	}
	return "DELETE FROM t WHERE id % 7 = " + fmt.Sprint(s.rnd.IntN(7)) + " AND " + s.condition("", 0)
}

func (s *schemaCase) columnList() string {
	list := []string{"id"}
	for _, c := range s.cols {
		list = append(list, c.name)
	}
	return strings.Join(list, ", ")
}

// read is a random query and whether the order of its rows is fixed.
func (s *schemaCase) read() (string, bool) {
	where := " WHERE " + s.condition("", 2)
	c := pick(s.rnd, s.cols)
	switch s.rnd.IntN(7) {
	case 0:
		return "SELECT COUNT(*), COUNT(" + c.name + "), MIN(id), MAX(id) FROM t" + where, true
	case 1:
		return "SELECT COUNT(*) n FROM t" + where + " GROUP BY " + c.name + " ORDER BY n", true
	case 2:
		return "SELECT x.id, y.id FROM t x JOIN t y ON x." + c.name + " = y." + c.name + " WHERE " + s.condition("x.", 1), false
	case 3:
		return "SELECT x.id, y.id FROM t x LEFT JOIN t y ON x." + c.name + " = y." + c.name + " AND y.id > x.id WHERE " + s.condition("x.", 1), false
	case 4:
		return "SELECT id FROM t" + where + " AND " + c.name + " IN (SELECT " + c.name + " FROM t WHERE " + s.condition("", 0) + ")", false
	case 5:
		if s.keyed {
			return fmt.Sprintf("SELECT %s FROM t%s ORDER BY id %s LIMIT %d OFFSET %d", s.names(""), where, pick(s.rnd, []string{"", "DESC"}), 1+s.rnd.IntN(9), s.rnd.IntN(4)), true
		}
	}
	return "SELECT " + s.names("") + " FROM t" + where, false
}

// Random tables, changes and queries must give what MariaDB gives, through whichever
// index the planner reads, and leave indexes that fit the rows. The seeds are
// fixed; STACK_DIFFERENTIAL_TABLES=n tries n new ones.
func TestDifferential(t *testing.T) {
	conn := mariadb(t)
	seed, tables := uint64(1), 12
	if n, err := strconv.Atoi(os.Getenv("STACK_DIFFERENTIAL_TABLES")); err == nil {
		seed, tables = uint64(time.Now().UnixNano()), n
	}
	for n := range tables {
		differ(t, conn, newServer(t), seed+uint64(n))
	}
}

func differ(t *testing.T, conn *gosql.Conn, server *server, seed uint64) {
	c := server.test()
	s := &schemaCase{rnd: rand.New(rand.NewPCG(seed, 1))}
	var script []string
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("seed %d\n%s;\n%s", seed, strings.Join(script, ";\n"), fmt.Sprintf(format, args...))
	}
	write := func(q string) bool {
		_, theirs := conn.ExecContext(t.Context(), q)
		_, ours := c.run(q)
		if theirs == nil {
			script = append(script, q)
		}
		if (theirs == nil) != (ours == nil) {
			fail("%s\n    ours: %v\n theirs: %v", q, ours, theirs)
			return false
		}
		return true
	}
	if _, err := conn.ExecContext(t.Context(), "DROP TABLE IF EXISTS t"); err != nil {
		t.Fatal(err)
	}
	if !write(s.create()) {
		return
	}
	for range 25 {
		if !write("SET time_zone = '"+pick(s.rnd, []string{"+00:00", "+05:30", "-07:00"})+"'") || !write(s.write()) {
			return
		}
		for range 6 {
			q, ordered := s.read()
			theirs, err := rowsOf(conn, q)
			if err != nil {
				fail("%s\n theirs: %v", q, err)
				return
			}
			out, err := c.run(q)
			if err != nil {
				fail("%s\n ours: %v", q, err)
				return
			}
			ours := out.rows
			if !ordered {
				slices.Sort(ours)
				slices.Sort(theirs)
			}
			if !slices.Equal(ours, theirs) {
				fail("%s\n    ours: %q\n theirs: %q", q, ours, theirs)
				return
			}
		}
	}
	if r, err := server.db.Check(t.Context(), nil); err != nil || !r.OK() {
		fail("check: %v %v", err, r)
	}
}
