package columntypes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Column is a column of a type.
type Column struct {
	Name, Type string // as in CREATE TABLE
	// Values are expressions of SQL: the ends of the range, what stands between them, and what is odd. None: the column is
	// generated, or has a default.
	Values []string
	// Large are more values, which Random has not: of those that take long a few do for a test, and a FLOAT with many digits
	// is another one in a dump of MariaDB.
	Large []string
	// Loose are values that are taken where sql_mode is empty.
	Loose []string
	// Show are expressions, % being the column, that servers of different kinds answer alike; empty: the column.
	Show string
}

// Table is a table of columns of one sort beside its id.
type Table struct {
	Name    string // without its database
	Columns []Column
	More    string // definitions behind the columns
	Keyless bool   // the id is no key: rows are found by all that is in them
}

// Tables are the types that both servers of this kind and MariaDB 10.11 have, or with ours all that these here have.
func Tables(ours bool) []Table {
	tables := []Table{integers, decimals, floats, dates, times, texts, bytes, members, charsets(), documents, shapes, generated}
	if ours {
		tables = append(tables, onlyOurs)
	}
	return tables
}

// WithoutKey is a table of the same columns whose rows have no key.
func (t Table) WithoutKey() Table {
	t.Name += "_keyless"
	t.Keyless = true
	return t
}

// Create is CREATE TABLE, in a database.
func (t Table) Create(database string) string {
	key := " PRIMARY KEY AUTO_INCREMENT"
	if t.Keyless {
		key = ""
	}
	list := []string{"id BIGINT" + key}
	for _, c := range t.Columns {
		list = append(list, c.Name+" "+c.Type)
	}
	if t.More != "" {
		list = append(list, t.More)
	}
	return fmt.Sprintf("CREATE TABLE %s.%s (%s) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci", database, t.Name, strings.Join(list, ", "))
}

// Insert is INSERT of one row, which gets the next id.
func (t Table) Insert(database, row string) string {
	return fmt.Sprintf("INSERT INTO %s.%s (%s) VALUES (%s)", database, t.Name, t.names(), row)
}

// InsertAll is INSERT of rows with ids from this one on.
func (t Table) InsertAll(database string, from int, rows []string) string {
	for i, row := range rows {
		rows[i] = fmt.Sprintf("(%d, %s)", from+i, row)
	}
	return fmt.Sprintf("INSERT INTO %s.%s (id, %s) VALUES %s", database, t.Name, t.names(), strings.Join(rows, ", "))
}

// names are those of the columns that get values.
func (t Table) names() string {
	var list []string
	for _, c := range t.written() {
		list = append(list, c.Name)
	}
	return strings.Join(list, ", ")
}

// Shown is the list of a SELECT.
func (t Table) Shown() string {
	list := []string{"id"}
	for _, c := range t.Columns {
		if c.Show == "" {
			list = append(list, c.Name)
			continue
		}
		list = append(list, strings.ReplaceAll(c.Show, "%", c.Name))
	}
	return strings.Join(list, ", ")
}

// written are the columns that get values.
func (t Table) written() (list []Column) {
	for _, c := range t.Columns {
		if len(c.Values) > 0 {
			list = append(list, c)
		}
	}
	return list
}

// row joins what value gives for each column that gets one.
func (t Table) row(value func(i int, c Column) string) string {
	var list []string
	for i, c := range t.written() {
		list = append(list, value(i, c))
	}
	return strings.Join(list, ", ")
}

const null = "NULL"

// Rows have each value of each column, and NULL nowhere, everywhere, in one column alone, in all but one, in every other.
func (t Table) Rows() (rows []string) {
	for n := range t.most() {
		rows = append(rows, t.row(func(_ int, c Column) string { return c.all()[n%len(c.all())] }))
	}
	rows = append(rows, t.row(func(int, Column) string { return null }))
	where := func(is func(i int) bool) {
		rows = append(rows, t.row(func(i int, c Column) string {
			if is(i) {
				return null
			}
			return c.Values[len(rows)%len(c.Values)]
		}))
	}
	where(func(i int) bool { return i%2 == 0 })
	where(func(i int) bool { return i%2 == 1 })
	for alone := range t.written() {
		where(func(i int) bool { return i == alone })
		where(func(i int) bool { return i != alone })
	}
	return rows
}

// LooseRows have each value that is taken where sql_mode is empty.
func (t Table) LooseRows() (rows []string) {
	for n := 0; ; n++ {
		some := false
		row := t.row(func(_ int, c Column) string {
			if n >= len(c.Loose) {
				return c.Values[n%len(c.Values)]
			}
			some = true
			return c.Loose[n]
		})
		if !some {
			return rows
		}
		rows = append(rows, row)
	}
}

// Changes are UPDATEs of each column to each value and of every other one to NULL, each of some rows, and a DELETE of some.
func (t Table) Changes(database string) (list []string) {
	set := func(n int, value func(i int, c Column) string) {
		var assignments []string
		for i, c := range t.written() {
			if v := value(i, c); v != "" {
				assignments = append(assignments, c.Name+" = "+v)
			}
		}
		if len(assignments) > 0 {
			list = append(list, fmt.Sprintf("UPDATE %s.%s SET %s WHERE id %% 5 = %d", database, t.Name, strings.Join(assignments, ", "), n%5))
		}
	}
	for n := range t.most() {
		set(n, func(i int, c Column) string { return c.all()[(n+i)%len(c.all())] })
	}
	for n := range 4 {
		set(n, func(i int, _ Column) string {
			if i%2 == n%2 {
				return null
			}
			return ""
		})
		set(n+1, func(i int, c Column) string {
			if i%3 == n%3 {
				return c.all()[(n+i)%len(c.all())]
			}
			return ""
		})
	}
	return append(list, fmt.Sprintf("DELETE FROM %s.%s WHERE id %% 3 = 1", database, t.Name))
}

// most is how many values the column with the most of them has.
func (t Table) most() (n int) {
	for _, c := range t.written() {
		n = max(n, len(c.all()))
	}
	return n
}

// Random is a row of random values.
func (t Table) Random(r *rand.Rand) string {
	return t.row(func(_ int, c Column) string { return c.random(r) })
}

// RandomChange sets one column of some rows.
func (t Table) RandomChange(r *rand.Rand, database string) string {
	list := t.written()
	c := list[r.IntN(len(list))]
	return fmt.Sprintf("UPDATE %s.%s SET %s = %s WHERE id %% 17 = %d", database, t.Name, c.Name, c.random(r), r.IntN(17))
}

// all are its values, the large ones too.
func (c Column) all() []string { return slices.Concat(c.Values, c.Large) }

func (c Column) random(r *rand.Rand) string {
	if r.IntN(5) == 0 {
		return null
	}
	return c.Values[r.IntN(len(c.Values))]
}
