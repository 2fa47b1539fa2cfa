package sql

import "testing"

// A subquery that stands for one value may have one row.
func TestScalarSubqueryOfSeveralRows(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE a (i INT PRIMARY KEY, v INT, KEY (v))", "CREATE TABLE b (i INT PRIMARY KEY, v INT)",
		"INSERT INTO a VALUES (1,10), (2,20), (3,30), (4,NULL)", "INSERT INTO b VALUES (1,10), (2,20), (3,NULL)")
	for _, where := range []string{
		"i = (SELECT i FROM b)", "v = (SELECT v FROM b WHERE i < 3)", "i > (SELECT i FROM b)", "NOT (i = (SELECT i FROM b))", "(SELECT i FROM b) = i",
		"i <=> (SELECT i FROM b)", "v = 10 AND i = (SELECT i FROM b)", "i = (SELECT b.i FROM b JOIN b x ON b.i = x.i)",
		"i = (SELECT i FROM b UNION SELECT 7)", "i IN (SELECT i FROM b WHERE v <> (SELECT v FROM b WHERE i < 3))", "i = (SELECT i FROM b WHERE b.i >= a.i)",
		"(SELECT i FROM b WHERE i = 1) = (SELECT i FROM b)", "i < (SELECT i FROM b LIMIT 2)", "(i, v) = (SELECT i, v FROM b)",
	} {
		c.fails(1242, "SELECT i FROM a WHERE "+where)
	}
	c.fails(1242, "DELETE FROM a WHERE i = (SELECT i FROM b)")
	c.fails(1242, "UPDATE a SET v = 1 WHERE i = (SELECT i FROM b)")
	for where, rows := range map[string][]string{
		"i = (SELECT i FROM b WHERE v = 20)":                                            {"2"},
		"i = (SELECT MAX(i) FROM b)":                                                    {"3"},
		"i = (SELECT i FROM b WHERE v = 99)":                                            {},
		"NOT (i = (SELECT i FROM b WHERE v = 99))":                                      {},
		"NOT (i = (SELECT i FROM b WHERE v = 20)) ORDER BY i":                           {"1", "3", "4"},
		"i = (SELECT i FROM b ORDER BY i DESC LIMIT 1)":                                 {"3"},
		"i > (SELECT i FROM b WHERE v = 20) ORDER BY i":                                 {"3", "4"},
		"v = (SELECT v FROM b WHERE i = 2) AND i = (SELECT i FROM b WHERE i = 2)":       {"2"},
		"i = (SELECT i FROM b WHERE b.i = a.i) ORDER BY i":                              {"1", "2", "3"},
		"i IN (SELECT i FROM b WHERE v = (SELECT v FROM b WHERE i = 2)) ORDER BY i":     {"2"},
		"(i, v) = (SELECT i, v FROM b WHERE v = 20)":                                    {"2"},
		"3 = (SELECT i FROM b WHERE v IS NULL) AND i <= (SELECT i FROM b WHERE v = 10)": {"1"},
		"i = (SELECT i FROM a WHERE v = 20)":                                            {"2"},
	} {
		c.want("SELECT i FROM a WHERE "+where, rows...)
	}
	c.must("UPDATE a SET v = 5 WHERE i = (SELECT MIN(i) FROM b)", "DELETE FROM a WHERE i = (SELECT MAX(i) FROM b)")
	c.want("SELECT i, v FROM a ORDER BY i", "1|5", "2|20", "4|NULL")
}
