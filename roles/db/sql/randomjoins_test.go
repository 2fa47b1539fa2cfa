package sql

import (
	gosql "database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nullJoins makes random queries over a few small tables full of NULLs.
type nullJoins struct {
	rnd   *rand.Rand
	alias int
}

// piece is a part of a query: a text with a %s for each piece in it. A query that fails is
// made smaller by leaving its pieces out.
type piece struct {
	form  string
	parts []*piece
	// smaller are pieces that may stand for this one.
	smaller []*piece
}

func say(form string, parts ...*piece) *piece { return &piece{form: form, parts: parts} }

func (p *piece) String() string {
	parts := make([]any, len(p.parts))
	for i, part := range p.parts {
		parts[i] = part
	}
	return fmt.Sprintf(p.form, parts...)
}

// shrunk is the smallest query found by leaving out pieces for which bad still holds.
func shrunk(root *piece, bad func(q string) bool) string {
	for again := true; again; {
		again = false
		var visit func(p *piece)
		visit = func(p *piece) {
			for _, s := range p.smaller {
				old := *p
				*p = *s
				if bad(root.String()) {
					again = true
					break
				}
				*p = old
			}
			for _, part := range p.parts {
				visit(part)
			}
		}
		visit(root)
	}
	return root.String()
}

var nullTables = []string{"a", "b", "c", "d"}

func (j *nullJoins) create() []string {
	var list []string
	for i, t := range nullTables {
		keys := []string{"", ", KEY (x)", ", KEY (y, x)", ", KEY (x), KEY (n)"}
		list = append(list, "DROP TABLE IF EXISTS "+t,
			fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, x INT, y INT%s, n DECIMAL(6,1), s VARCHAR(5)%s)", t, pick(j.rnd, []string{"", "", " NOT NULL"}), pick(j.rnd, keys)))
		var rows []string
		for id := range j.rnd.IntN(6) {
			y := j.number()
			if y == "NULL" {
				y = "0"
			}
			rows = append(rows, fmt.Sprintf("(%d, %s, %s, %s, %s)", id+i%2, j.number(), y, pick(j.rnd, []string{"NULL", "0", "1", "2", "1.5"}), pick(j.rnd, []string{"NULL", "''", "'a'", "'A'", "'2'"})))
		}
		if rows != nil {
			list = append(list, fmt.Sprintf("INSERT INTO %s VALUES %s", t, strings.Join(rows, ", ")))
		}
	}
	return list
}

func (j *nullJoins) number() string { return pick(j.rnd, []string{"NULL", "0", "1", "1", "2", "3"}) }

// value is a number that depends on one of the tables named.
func (j *nullJoins) value(names []string) *piece {
	column := say(pick(j.rnd, names) + "." + pick(j.rnd, []string{"x", "x", "y", "id", "n"}))
	if j.rnd.IntN(3) > 0 {
		return column
	}
	other := say(pick(j.rnd, names) + "." + pick(j.rnd, []string{"x", "y"}))
	var p *piece
	switch j.rnd.IntN(8) {
	case 0:
		p = say("COALESCE(%s, "+j.literal()+")", column)
	case 1:
		p = say("IFNULL(%s, %s)", column, other)
	case 2:
		p = say("CASE WHEN %s IS NULL THEN "+j.literal()+" ELSE %s END", column, other)
	case 3:
		p = say("IF(%s, %s, "+j.literal()+")", column, other)
	case 4:
		p = say("(%s + %s)", column, other)
	case 5:
		p = say("NULLIF(%s, %s)", column, other)
	case 6:
		p = say("ISNULL(%s)", column)
	default:
		p = say("(%s IS NOT NULL)", column)
	}
	p.smaller = []*piece{column}
	return p
}

func (j *nullJoins) literal() string { return pick(j.rnd, []string{"0", "1", "2", "3"}) }

// condition is one over tables, of which the last is new.
func (j *nullJoins) condition(names []string, depth int) *piece {
	if depth > 0 && j.rnd.IntN(2) == 0 {
		p := say(pick(j.rnd, []string{"(%s AND %s)", "(%s AND %s)", "(%s OR %s)"}), j.condition(names, depth-1), j.condition(names, depth-1))
		p.smaller = []*piece{p.parts[0], p.parts[1]}
		return p
	}
	a, b := j.value(names), j.value(names)
	var p *piece
	switch j.rnd.IntN(17) {
	default:
		p = say("%s = %s", a, b)
	case 0, 1:
		p = say("%s "+pick(j.rnd, []string{"<", ">", "<=", ">=", "<>"})+" %s", a, b)
	case 2:
		p = say("%s <=> %s", a, b)
	case 3:
		p = say("%s IS NULL", a)
	case 4:
		p = say("%s IS NOT NULL", a)
	case 5:
		p = j.condition(names, depth)
		p = &piece{"NOT (%s)", []*piece{p}, []*piece{p}}
		return p
	case 6:
		p = say("%s IN ("+j.literal()+", %s)", a, b)
	case 7:
		p = say("%s BETWEEN "+j.literal()+" AND %s", a, b)
	case 8:
		p = say("%s "+pick(j.rnd, []string{"=", "<>", "<", "<=>"})+" "+j.literal(), a)
	case 9, 10:
		if depth > 0 {
			return j.subquery(names, depth)
		}
		if a.String() == b.String() {
			return say("%s IS NULL", a) // MariaDB has NOT (x = x IS TRUE) wrong
		}
		p = say("(%s = %s) IS "+pick(j.rnd, []string{"TRUE", "FALSE", "NOT TRUE", "NOT FALSE", "NULL"}), a, b)
	case 11:
		p = say(pick(j.rnd, names) + ".s = " + pick(j.rnd, append([]string{"'a'", "''"}, names[0]+".s")))
	}
	p.smaller = append(p.smaller, say("TRUE"), say("FALSE"))
	return p
}

// subquery is a condition with a query of its own in it.
func (j *nullJoins) subquery(names []string, depth int) *piece {
	from, inner := j.from(1+j.rnd.IntN(2), names[:0:0], depth-1)
	where := j.condition(append(slices.Clone(names), inner...), depth-1)
	if j.rnd.IntN(3) == 0 {
		where = j.condition(inner, depth-1)
	}
	where.smaller = append(where.smaller, say("TRUE"))
	out := j.value(inner)
	var p *piece
	switch j.rnd.IntN(7) {
	case 0:
		p = say("EXISTS (SELECT %s FROM %s WHERE %s)", out, from, where)
	case 1:
		p = say("NOT EXISTS (SELECT %s FROM %s WHERE %s)", out, from, where)
	case 2:
		p = say("%s IN (SELECT %s FROM %s WHERE %s)", j.value(names), out, from, where)
	case 3:
		p = say("%s NOT IN (SELECT %s FROM %s WHERE %s)", j.value(names), out, from, where)
	case 4:
		p = say(pick(j.rnd, []string{"EXISTS", "NOT EXISTS"})+" (SELECT "+j.aggregate()+" FROM %s WHERE %s"+j.having()+")", out, from, where)
	case 5:
		p = say("%s "+pick(j.rnd, []string{"IN", "NOT IN"})+" (SELECT "+j.aggregate()+" FROM %s WHERE %s"+j.having()+")", j.value(names), out, from, where)
	default:
		p = say("%s "+pick(j.rnd, []string{"=", "<", "<=>", "<>"})+" (SELECT "+j.aggregate()+" FROM %s WHERE %s)", j.value(names), out, from, where)
	}
	p.smaller = []*piece{say("TRUE"), say("FALSE")}
	return p
}

// aggregate is one over a value.
func (j *nullJoins) aggregate() string {
	return pick(j.rnd, []string{"MAX(%s)", "MIN(%s)", "COUNT(%s)", "COUNT(DISTINCT %s)", "SUM(%s) + 1"})
}

func (j *nullJoins) having() string {
	return pick(j.rnd, []string{"", "", "", " HAVING COUNT(*) > 1", " HAVING COUNT(*) = 0"})
}

// table is one to read from, or a derived one, under a new name.
func (j *nullJoins) table(depth int) (*piece, string) {
	j.alias++
	name := fmt.Sprintf("t%d", j.alias)
	plain := say(pick(j.rnd, nullTables) + " " + name)
	if depth <= 0 || j.rnd.IntN(6) > 0 {
		return plain, name
	}
	from, inner := j.from(1+j.rnd.IntN(2), nil, depth-1)
	one := pick(j.rnd, inner)
	columns := fmt.Sprintf("%s.id, %s.x, %s.y, %s.n, %s.s", one, pick(j.rnd, inner), pick(j.rnd, inner), one, one)
	if j.rnd.IntN(3) == 0 {
		columns = fmt.Sprintf("MIN(%s.id) id, %s.x, MAX(%s.y) y, SUM(%s.n) n, MIN(%s.s) s", one, pick(j.rnd, inner), pick(j.rnd, inner), one, one)
		group := columns[strings.Index(columns, " id, ")+5:]
		p := say("(SELECT "+columns+" FROM %s WHERE %s GROUP BY "+group[:strings.Index(group, ",")]+") "+name, from, j.condition(inner, depth-1))
		p.smaller = []*piece{plain}
		return p, name
	}
	p := say("(SELECT "+columns+" FROM %s WHERE %s) "+name, from, j.condition(inner, depth-1))
	p.smaller = []*piece{plain}
	return p, name
}

// join is a tree of so many tables joined by words.
func (j *nullJoins) join(tables, depth int) (*piece, []string) {
	if tables == 1 {
		p, name := j.table(depth)
		return p, []string{name}
	}
	right := 1
	if tables > 2 && j.rnd.IntN(4) == 0 {
		right = 2
	}
	l, names := j.join(tables-right, depth)
	r, more := j.join(right, depth)
	if right > 1 {
		r = &piece{"(%s)", []*piece{r}, nil}
	}
	names = append(names, more...)
	word := pick(j.rnd, []string{"LEFT JOIN", "LEFT JOIN", "JOIN", "RIGHT JOIN"})
	return say("%s "+word+" %s ON %s", l, r, j.condition(names, depth)), names
}

// from is what stands behind FROM: joins with commas between them.
func (j *nullJoins) from(tables int, outer []string, depth int) (*piece, []string) {
	var p *piece
	var names []string
	for tables > 0 {
		n := 1 + j.rnd.IntN(tables)
		q, more := j.join(n, depth)
		if p == nil {
			p = q
		} else {
			p = say("%s"+pick(j.rnd, []string{", ", ", ", " CROSS JOIN "})+"%s", p, q)
		}
		if n > 1 && strings.Contains(p.form, "CROSS") {
			p = say("%s, %s", p.parts[0], q)
		}
		names, tables = append(names, more...), tables-n
	}
	return p, names
}

func (j *nullJoins) query() *piece {
	j.alias = 0
	from, names := j.from(2+j.rnd.IntN(3), nil, 2)
	where := j.condition(names, 2)
	var ids []string
	for _, n := range names {
		ids = append(ids, n+".id")
	}
	list := strings.Join(ids, ", ")
	end := ""
	switch j.rnd.IntN(8) {
	case 0:
		list = "COUNT(*), SUM(" + names[0] + ".x)"
	case 1:
		list, end = ids[0]+", COUNT("+names[len(names)-1]+".id)", " GROUP BY "+ids[0]
	case 2:
		list = "DISTINCT " + names[len(names)-1] + ".x"
	case 3, 4: // a query in the list
		inner, own := j.from(1+j.rnd.IntN(2), nil, 1)
		asked := j.condition(append(slices.Clone(names), own...), 1)
		one := say("(SELECT "+j.aggregate()+" FROM %s WHERE %s)", j.value(own), inner, asked)
		if j.rnd.IntN(3) == 0 {
			one = say("%s "+pick(j.rnd, []string{"IN", "NOT IN"})+" (SELECT %s FROM %s WHERE %s)", j.value(names), j.value(own), inner, asked)
		}
		one.smaller = []*piece{say("1")}
		return say("SELECT "+list+", %s FROM %s WHERE %s", one, from, where)
	case 5:
		return say("SELECT "+list+", "+names[0]+".x FROM %s WHERE %s HAVING "+names[0]+".id > "+j.literal()+" OR "+names[0]+".x IS NULL", from, where)
	}
	return say("SELECT "+list+" FROM %s WHERE %s"+end, from, where)
}

var joinTables = flag.Int("join-tables", 0, "sets of tables of TestRandomJoinsAsMariaDB, of new seeds; 0: the fixed ones")

// Joins over tables full of NULLs, with conditions that are true of NULL and subqueries in
// them, find the rows that MariaDB finds. The seeds are fixed; -join-tables n tries n
// new sets of tables.
func TestRandomJoinsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	seed, sets, each := uint64(1), 6, 60
	if !testing.Short() {
		sets = 40
	}
	if *joinTables > 0 {
		seed, sets = uint64(time.Now().UnixNano()), *joinTables
	}
	c := newServer(t).test()
	for n := range sets {
		joinsDiffer(t, conn, c, seed+uint64(n), each)
	}
}

func joinsDiffer(t *testing.T, conn *gosql.Conn, c *client, seed uint64, queries int) {
	j := &nullJoins{rnd: rand.New(rand.NewPCG(seed, 2))}
	script := j.create()
	onBoth(t, c, conn, script...)
	c.must("SET direct = " + strconv.Itoa(int(seed%2)))
	if seed%3 == 0 { // with statistics other joins are chosen
		c.must("ANALYZE TABLE " + strings.Join(nullTables, ", "))
	}
	queriesDiffer(t, conn, c, seed, script, queries, j.query)
}

// queriesDiffer asks so many queries here and in MariaDB, and shows those that are answered otherwise, made
// as small as can be.
func queriesDiffer(t *testing.T, conn *gosql.Conn, c *client, seed uint64, script []string, queries int, next func() *piece) {
	for range queries {
		q := next()
		if ours, theirs := bothAnswers(conn, c, q.String()); ours != theirs {
			small := shrunk(q, func(q string) bool {
				ours, theirs := bothAnswers(conn, c, q)
				return ours != theirs
			})
			ours, theirs := bothAnswers(conn, c, small)
			t.Errorf("seed %d\n%s;\n%s;\n  ours: %.300s\ntheirs: %.300s", seed, strings.Join(script, ";\n"), small, ours, theirs)
		}
	}
}

// bothAnswers are the sorted rows of a query here and in MariaDB; both are empty where MariaDB
// fails.
func bothAnswers(conn *gosql.Conn, c *client, q string) (ours, theirs string) {
	rows, err := rowsOf(conn, q)
	if err != nil {
		return "", ""
	}
	slices.Sort(rows)
	out, err := c.run(q)
	if err != nil {
		return err.Error(), fmt.Sprint(rows)
	}
	slices.Sort(out.rows)
	return plainZeros(out.rows), plainZeros(rows)
}

// negativeZero is a DOUBLE that is -0 in a text. The planner's texts have 0 there.
var negativeZero = regexp.MustCompile(`(^|[ |,\[])-0([ |,\]]|$)`)

func plainZeros(rows []string) string {
	text := fmt.Sprint(rows)
	for range 2 { // those side by side share a separator
		text = negativeZero.ReplaceAllString(text, "${1}0$2")
	}
	return text
}
