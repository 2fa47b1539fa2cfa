package sql

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

var exactTable = []string{
	"CREATE TABLE e (id INT PRIMARY KEY, d DECIMAL(8,2), k DECIMAL(8,2), f DECIMAL(10,4), da DATE, dk DATE, KEY ik (k), KEY idk (dk), KEY jf (f))",
	"INSERT INTO e VALUES (1, 1.10, 1.10, 1.1000, '2024-01-01', '2024-01-01'), (2, 1.09, 1.09, 1.1049, '2024-01-02', '2024-01-02'), " +
		"(3, -1.10, -1.10, -1.1000, '2023-12-31', '2023-12-31'), (4, 999999.99, 999999.99, 999999.9900, '9999-12-31', '9999-12-31'), " +
		"(5, -999999.99, -999999.99, -1.1049, '2020-02-02', '2020-02-02'), (6, 0, 0, 0, NULL, NULL), (7, NULL, NULL, NULL, NULL, NULL)",
}

func exactQueries() []string {
	var list []string
	ops := []string{"=", "<", "<=", ">", ">=", "<>", "<=>"}
	compare := func(columns, values []string) {
		for _, c := range columns {
			for _, v := range values {
				for _, op := range ops {
					list = append(list, fmt.Sprintf("SELECT id FROM e WHERE %s %s %s ORDER BY id", c, op, v),
						fmt.Sprintf("SELECT id, %s %s %s FROM e ORDER BY id", v, op, c))
				}
				list = append(list, fmt.Sprintf("SELECT id FROM e WHERE %s IN (%s, %s) ORDER BY id", c, v, values[0]),
					fmt.Sprintf("SELECT id FROM e WHERE %s NOT IN (%s) ORDER BY id", c, v),
					fmt.Sprintf("SELECT id FROM e WHERE %s BETWEEN %s AND %s ORDER BY id", c, v, values[1]),
					fmt.Sprintf("SELECT id FROM e WHERE %s NOT BETWEEN %s AND %s ORDER BY id", c, values[0], v))
			}
		}
	}
	compare([]string{"d", "k", "f"}, []string{"1.10", "1.101", "1.099", "-1.101", "-1.099", "1.1", "1.1000", "99999999999", "-99999999999", "1000000", "0.001", "7"})
	compare([]string{"da", "dk"}, []string{"'2024-01-01'", "'2024-01-01 10:00:00'", "'2024-01-01 00:00:00'", "'2023-12-31 23:59:59'", "CAST('2024-01-01 10:00:00' AS DATETIME)", "'2024-01-02'"})
	for _, op := range ops[:6] { // <=> of columns: docs/db.md
		list = append(list, fmt.Sprintf("SELECT a.id, b.id FROM e a JOIN e b ON a.d %s b.f ORDER BY 1, 2", op),
			fmt.Sprintf("SELECT a.id, b.id FROM e a JOIN e b ON a.f %s b.k ORDER BY 1, 2", op),
			fmt.Sprintf("SELECT id, d %s f FROM e ORDER BY id", op))
	}
	return list
}

// A DECIMAL is compared with all digits of a number or of another column, and a DATE with the
// time of day of a date, whether an index is read or not: as by MariaDB.
func TestExactComparisonsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	ours, theirs := ourSide(newServer(t).test()), peerSide(t, conn)
	for _, q := range exactTable {
		if err := errors.Join(ours.exec(q), theirs.exec(q)); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range exactQueries() {
		a, err := ours.query(q)
		b, other := theirs.query(q)
		if err != nil || other != nil || !slices.Equal(a, b) {
			t.Errorf("%s\n  ours: %q %v\ntheirs: %q %v", q, a, err, b, other)
		}
	}
}

func TestExactComparisons(t *testing.T) {
	c := newServer(t).test()
	c.must(exactTable...)
	for _, column := range []string{"d", "k"} {
		c.want("SELECT id FROM e WHERE " + column + " = 1.101")
		c.want("SELECT id FROM e WHERE "+column+" > 1.099 ORDER BY id", "1", "4")
		c.want("SELECT id FROM e WHERE "+column+" >= -1.101 AND "+column+" < 1.095 ORDER BY id", "2", "3", "6")
		c.want("SELECT COUNT(*) FROM e WHERE "+column+" < 99999999999", "6")
		c.want("SELECT id FROM e WHERE "+column+" IN (1.101, 1.09)", "2")
		c.must("PREPARE s FROM 'SELECT id FROM e WHERE "+column+" > ? ORDER BY id'", "SET @x = 1.099")
		c.want("EXECUTE s USING @x", "1", "4")
	}
	c.must("CREATE VIEW v AS SELECT id FROM e WHERE k > 1.099", "CREATE PROCEDURE p(x DECIMAL(10,4)) SELECT id FROM e WHERE k > x AND d > 1.099")
	c.want("SELECT id FROM v ORDER BY id", "1", "4")
	c.want("CALL p(1.099)", "1", "4", "--")
	c.want("SELECT a.id, b.id FROM e a JOIN e b ON a.k = b.f WHERE a.id < 4 ORDER BY 1", "1|1", "3|3")
	for _, column := range []string{"da", "dk"} {
		c.want("SELECT id FROM e WHERE "+column+" < '2024-01-01 10:00:00' ORDER BY id", "1", "3", "5")
		c.want("SELECT id FROM e WHERE " + column + " = '2024-01-01 10:00:00'")
	}
}
