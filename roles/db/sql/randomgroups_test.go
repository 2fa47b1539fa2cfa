package sql

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// groupQueries makes random queries that group, count, choose among and combine the values of
// two tables with columns of all sorts.
type groupQueries struct{ rnd *rand.Rand }

var groupTables = []string{"g", "h"}

func (j *groupQueries) create() []string {
	values := [][]string{
		{"NULL", "0", "1", "2", "3", "-4"}, {"NULL", "0", "0.50", "1.25", "-3.00", "2.00"}, {"NULL", "0", "0.5", "-2", "3"},
		{"NULL", "''", "'a'", "'b'", "'Ca'", "'zz'", "'10'", "'9'"}, {"NULL", "''", "'a'", "'B'", "x'00ff'"},
		{"NULL", "'1999-12-31'", "'2024-01-01'", "'2024-02-29'"}, {"NULL", "'1999-12-31 23:59:59'", "'2024-01-01 00:00:00'", "'2024-02-29 10:20:30'"},
		{"NULL", "'x'", "'y'", "'k'"}, {"NULL", "'00:00:00'", "'10:20:30'", "'-01:00:00'"},
	}
	var list []string
	for _, t := range groupTables {
		list = append(list, "DROP TABLE IF EXISTS "+t, "CREATE TABLE "+t+" (id INT PRIMARY KEY, i INT, n DECIMAL(8,2), f DOUBLE, s VARCHAR(8) COLLATE utf8mb4_general_ci, b VARBINARY(8), d DATE, dt DATETIME, e ENUM('x','y','k') COLLATE utf8mb4_general_ci, t TIME"+
			pick(j.rnd, []string{"", ", KEY (i)", ", KEY (s, i)", ", KEY (n), KEY (d)"})+")")
		for id := range 1 + j.rnd.IntN(9) {
			row := []string{fmt.Sprint(id)}
			for _, of := range values {
				row = append(row, pick(j.rnd, of))
			}
			list = append(list, "INSERT INTO "+t+" VALUES ("+strings.Join(row, ", ")+")")
		}
	}
	return list
}

// or is a piece in whose place simpler ones may stand.
func or(p *piece, smaller ...*piece) *piece {
	p.smaller = append(p.smaller, smaller...)
	return p
}

func (j *groupQueries) number(depth int) *piece {
	if depth == 0 || j.rnd.IntN(3) == 0 {
		return say(pick(j.rnd, []string{"g.i", "g.i", "g.id", "g.n", "g.n", "g.f", "1", "0", "2"}))
	}
	a, b := j.number(depth-1), j.number(depth-1)
	switch j.rnd.IntN(16) {
	case 0:
		return or(say("(%s "+pick(j.rnd, []string{"+", "-"})+" %s)", a, b), a, b)
	case 1:
		return or(say("IF(%s, %s, %s)", j.condition(depth-1), a, b), a, b)
	case 2:
		return or(say("CASE WHEN %s THEN %s ELSE %s END", j.condition(depth-1), a, b), a, b)
	case 3:
		return or(say("CASE g.i WHEN 1 THEN %s WHEN 2 THEN %s END", a, b), a, b)
	case 4:
		return or(say(pick(j.rnd, []string{"COALESCE(%s, %s)", "IFNULL(%s, %s)", "NULLIF(%s, %s)", "GREATEST(%s, %s)", "LEAST(%s, %s)"}), a, b), a, b)
	case 5:
		return or(say(pick(j.rnd, []string{"ABS(%s)", "FLOOR(%s)", "CEIL(%s)", "SIGN(%s)", "-%s", "ROUND(%s)", "ROUND(%s, 1)"}), a), a)
	case 6:
		return or(say(pick(j.rnd, []string{"CHAR_LENGTH(%s)", "LENGTH(%s)"}), j.text(depth-1)), a)
	case 7:
		return say(pick(j.rnd, []string{"YEAR(g.d)", "MONTH(g.dt)", "HOUR(g.dt)", "DATEDIFF(g.d, g.dt)", "TO_DAYS(g.d)"}))
	case 8:
		return or(say("(%s)", j.condition(depth-1)), a)
	case 9:
		return or(say("%s DIV 2", a), a)
	case 10:
		return say("g.i %% 3")
	case 12:
		return or(say("CAST(%s AS "+pick(j.rnd, []string{"SIGNED", "DECIMAL(10,1)"})+")", a), a)
	case 13:
		return or(say("(SELECT "+pick(j.rnd, []string{"MAX(h.i)", "COUNT(*)", "SUM(h.n)", "MIN(h.id)"})+" FROM h WHERE "+pick(j.rnd, []string{"h.id >= %s", "h.i < %s", "h.n >= %s"})+")", a), a)
	}
	return a
}

func (j *groupQueries) text(depth int) *piece {
	if depth == 0 || j.rnd.IntN(3) == 0 {
		return say(pick(j.rnd, []string{"g.s", "g.s", "g.s", "g.e", "'q'", "''"}))
	}
	a, b := j.text(depth-1), j.text(depth-1)
	switch j.rnd.IntN(10) {
	case 0:
		return or(say("CONCAT(%s, %s)", a, b), a, b)
	case 1:
		return or(say("IF(%s, %s, %s)", j.condition(depth-1), a, b), a, b)
	case 2:
		return or(say("CASE WHEN %s THEN %s ELSE %s END", j.condition(depth-1), a, b), a, b)
	case 3:
		return or(say(pick(j.rnd, []string{"COALESCE(%s, %s)", "IFNULL(%s, %s)", "NULLIF(%s, %s)"}), a, b), a, b)
	case 4:
		return or(say(pick(j.rnd, []string{"UPPER(%s)", "LOWER(%s)", "LEFT(%s, 1)", "REVERSE(%s)", "TRIM(%s)", "HEX(%s)", "SUBSTRING(%s, 2)", "REPEAT(%s, 2)", "REPLACE(%s, 'a', '-')", "LPAD(%s, 3, '.')"}), a), a)
	case 5:
		return or(say("CONCAT(%s, '')", pick(j.rnd, []*piece{say("g.i"), say("g.n"), say("g.d"), say("g.dt"), say("g.t")})), a)
	case 6:
		return or(say("CAST(%s AS CHAR)", pick(j.rnd, []*piece{say("g.i"), say("g.n"), say("g.d"), say("g.dt"), say("g.t")})), a)
	case 7:
		return say(pick(j.rnd, []string{"DATE_FORMAT(g.d, '%%Y-%%m')", "DATE_FORMAT(g.dt, '%%H:%%i')", "HEX(g.b)", "MONTHNAME(g.d)"}))
	case 8:
		return or(say("CONCAT_WS('-', %s, %s, g.i)", a, b), a, b)
	}
	return a
}

func (j *groupQueries) moment() *piece {
	return say(pick(j.rnd, []string{"g.d", "g.dt", "DATE(g.dt)", "g.d + INTERVAL 1 DAY", "g.dt - INTERVAL 1 HOUR", "LAST_DAY(g.d)", "g.t", "COALESCE(g.d, g.dt)", "IFNULL(g.dt, '2000-01-01')", "IF(g.i > 0, g.d, NULL)", "TIMESTAMP(g.d)"}))
}

func (j *groupQueries) condition(depth int) *piece {
	if depth > 0 && j.rnd.IntN(4) == 0 {
		a, b := j.condition(depth-1), j.condition(depth-1)
		return or(say(pick(j.rnd, []string{"(%s AND %s)", "(%s OR %s)", "(NOT %s OR %s)"}), a, b), a, b)
	}
	d := max(depth-1, 0)
	easy := []*piece{say("TRUE"), say("FALSE")}
	switch j.rnd.IntN(8) {
	case 0:
		return or(say("%s IS "+pick(j.rnd, []string{"", "NOT "})+"NULL", pick(j.rnd, []*piece{j.number(d), j.text(d), j.moment()})), easy...)
	case 1:
		return or(say("%s "+pick(j.rnd, []string{"=", "<>", "<", ">=", "<=>"})+" %s", j.text(d), j.text(d)), easy...)
	case 2:
		return or(say("%s LIKE "+pick(j.rnd, []string{"'a%%'", "'%%'", "'_'", "'%%b'"}), j.text(d)), easy...)
	case 3:
		return or(say("%s BETWEEN %s AND %s", j.number(d), j.number(0), j.number(0)), easy...)
	case 4:
		return or(say("%s "+pick(j.rnd, []string{"IN", "NOT IN"})+" (1, %s, 3)", j.number(0), j.number(0)), easy...)
	case 5:
		return or(say("%s "+pick(j.rnd, []string{"<", ">=", "="})+" '2024-01-01'", say(pick(j.rnd, []string{"g.d", "g.dt", "DATE(g.dt)"}))), easy...)
	}
	return or(say("%s "+pick(j.rnd, []string{"=", "<>", "<", ">=", "<=>"})+" %s", j.number(d), j.number(d)), easy...)
}

func (j *groupQueries) any(depth int) *piece {
	switch j.rnd.IntN(5) {
	case 0, 1:
		return j.number(depth)
	case 2, 3:
		return j.text(depth)
	}
	return j.moment()
}

// key is what rows are grouped by: no query.
func (j *groupQueries) key() *piece {
	for {
		if p := j.any(1); !strings.Contains(p.String(), "SELECT") {
			return p
		}
	}
}

// plainAggregate is one for HAVING: without a query in it, which it may not have here (docs/db.md), and
// without an ENUM and GROUP_CONCAT, which are integers for MariaDB there.
func (j *groupQueries) plainAggregate() *piece {
	for {
		p := j.aggregate(1)
		if text := p.String(); !strings.Contains(text, "SELECT") && !strings.Contains(text, "g.e") && !strings.Contains(text, "GROUP_CONCAT") {
			return p
		}
	}
}

func (j *groupQueries) aggregate(depth int) *piece {
	one := say("COUNT(*)")
	switch j.rnd.IntN(14) {
	case 0:
		return one
	case 1:
		return or(say("COUNT(%s)", j.any(depth)), one)
	case 2:
		return or(say("COUNT(DISTINCT %s)", j.any(depth)), one)
	case 3:
		return or(say("COUNT(DISTINCT %s, %s)", j.any(depth), j.any(depth)), one)
	case 4, 5:
		return or(say("SUM(%s)", j.number(depth)), one)
	case 6:
		return or(say("AVG(%s + 0.0)", j.number(depth)), one) // of some integers MariaDB cuts it to 0.9999
	case 7, 8:
		return or(say(pick(j.rnd, []string{"MIN", "MAX"})+"(%s)", j.any(depth)), one)
	case 9:
		return or(say("GROUP_CONCAT(%s ORDER BY g.id SEPARATOR '|')", j.any(depth)), one)
	case 10:
		return or(say("GROUP_CONCAT(%s, %s ORDER BY g.id DESC)", j.any(depth), j.any(depth)), one)
	case 11:
		return or(say("SUM(DISTINCT %s)", j.number(depth)), one)
	case 12:
		return or(say(pick(j.rnd, []string{"BIT_OR", "BIT_AND", "BIT_XOR"})+"(ABS(g.i))"), one)
	}
	a := j.aggregate(depth)
	switch j.rnd.IntN(4) {
	case 0:
		return or(say("IFNULL(%s, 0)", a), a)
	case 1:
		return or(say("CONCAT(%s, '')", a), a)
	case 2:
		return or(say("IF(COUNT(*) > 1, %s, NULL)", a), a)
	}
	return or(say("COALESCE(%s, %s)", a, j.aggregate(0)), a)
}

func (j *groupQueries) from() *piece {
	g := say("g")
	switch j.rnd.IntN(6) {
	case 0:
		return or(say("g JOIN h ON "+pick(j.rnd, []string{"h.i = g.i", "h.id = g.id", "h.s = g.s", "h.n > g.n"})), g)
	case 1:
		return or(say("g LEFT JOIN h ON "+pick(j.rnd, []string{"h.i = g.i", "h.id = g.id", "h.s = g.s"})), g)
	case 2:
		return or(say("(SELECT * FROM g WHERE %s) g", j.condition(1)), g)
	case 3:
		return or(say("(SELECT * FROM g UNION ALL SELECT id + 100, i, n, f, s, b, d, dt, e, t FROM h WHERE h.id > 2) g"), g)
	}
	return g
}

// query is a query whose rows are the same in any order.
func (j *groupQueries) query() *piece {
	from, where := j.from(), j.condition(2)
	where.smaller = append(where.smaller, say("TRUE"))
	switch j.rnd.IntN(10) {
	case 0:
		return say("SELECT %s, COUNT(*) * 2 FROM %s WHERE %s", j.aggregate(2), from, where)
	case 1:
		return say("SELECT DISTINCT %s, %s FROM %s WHERE %s", j.any(2), j.any(1), from, where)
	case 2:
		a, b := j.number(2), j.number(1) // MariaDB has other texts of numbers and times
		if j.rnd.IntN(2) == 0 {
			a, b = j.text(2), j.text(1)
		}
		return say("SELECT %s AS x FROM g WHERE %s UNION "+pick(j.rnd, []string{"", "ALL "})+"SELECT %s FROM g WHERE %s", a, where, b, j.condition(1))
	case 3:
		key := j.key()
		return say("SELECT x.k, COUNT(*), SUM(x.c), MAX(x.m) FROM (SELECT %s AS k, COUNT(*) AS c, %s AS m FROM %s WHERE %s GROUP BY g.i, k) x GROUP BY x.k", key, j.aggregate(1), from, where)
	case 4:
		return say("SELECT g.id, "+pick(j.rnd, []string{"ROW_NUMBER()", "RANK()", "DENSE_RANK()", "COUNT(*)"})+" OVER (PARTITION BY %s ORDER BY g.id), SUM(%s) OVER (PARTITION BY %s ORDER BY g.id), "+
			pick(j.rnd, []string{"LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE", "MAX", "MIN"})+"(%s) OVER (ORDER BY g.id) FROM g WHERE %s", j.key(), j.number(1), j.key(), j.any(1), where)
	case 5:
		return say("WITH c AS (SELECT %s AS k, %s AS v FROM %s WHERE %s) SELECT k, COUNT(*), MIN(v) FROM c GROUP BY k", j.any(1), j.any(1), from, where)
	case 6:
		return say("SELECT g.id, %s, %s FROM g WHERE %s ORDER BY %s, g.id LIMIT 3", j.any(2), j.any(2), where, j.any(1))
	}
	keys := []*piece{j.key()}
	list, form := []*piece{keys[0]}, "SELECT %s"
	if j.rnd.IntN(2) == 0 {
		keys = append(keys, j.key())
		list, form = append(list, keys[1]), form+", %s"
	}
	list, form = append(list, j.aggregate(2)), form+", %s"
	if j.rnd.IntN(2) == 0 { // the same column twice is an error beside HAVING
		list, form = append(list, say("COUNT(*) * 2")), form+", %s"
	}
	form += " FROM %s WHERE %s GROUP BY %s"
	list = append(list, from, where)
	list = append(list, keys...)
	if len(keys) == 2 {
		form += ", %s"
	}
	if j.rnd.IntN(3) == 0 {
		having := say("%s > %s", j.plainAggregate(), say(pick(j.rnd, []string{"0", "1"})))
		list, form = append(list, or(having, say("TRUE"))), form+" HAVING %s"
	}
	return say(form, list...)
}

var groupSets = flag.Int("group-tables", 0, "sets of tables of TestRandomGroupsAsMariaDB, of new seeds; 0: the fixed ones")

// Queries that group and aggregate give MariaDB's rows. The seeds are fixed; -group-tables n
// tries n new sets of tables.
func TestRandomGroupsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	seed, sets, each := uint64(1), 4, 80
	if !testing.Short() {
		sets = 40
	}
	if *groupSets > 0 {
		seed, sets = uint64(time.Now().UnixNano()), *groupSets
	}
	c := newServer(t).test()
	for n := range sets {
		j := &groupQueries{rnd: rand.New(rand.NewPCG(seed+uint64(n), 3))}
		script := j.create()
		onBoth(t, c, conn, script...)
		queriesDiffer(t, conn, c, seed+uint64(n), script, each, j.query)
	}
}
