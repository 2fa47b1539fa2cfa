package sql

import (
	"strings"
	"testing"
)

// Integers do not wrap around, and BIGINT UNSIGNED is taken for what it is.
func TestIntegerArithmetic(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE a (i INT PRIMARY KEY, b BIGINT, u BIGINT UNSIGNED, t TINYINT UNSIGNED)",
		"INSERT INTO a VALUES (1, 9223372036854775807, 18446744073709551615, 200), (2, -5, 3, 1), (3, NULL, NULL, NULL)")
	for _, q := range []string{
		"SELECT b + 1 FROM a WHERE i = 1", "SELECT 9223372036854775807 + 1", "SELECT -b - 2 FROM a WHERE i = 1", "SELECT b * 2 FROM a WHERE i = 1",
		"SELECT u + 1 FROM a WHERE i = 1", "SELECT u * 2 FROM a WHERE i = 1", "SELECT u - 4 FROM a WHERE i = 2", "SELECT t - 2 FROM a WHERE i = 2",
		"SELECT b + u FROM a WHERE i = 2", "SELECT i FROM a WHERE b + i > 0", "UPDATE a SET b = b + 1 WHERE i = 1", "SELECT (SELECT u + 1) FROM a WHERE i = 1",
	} {
		c.fails(1690, q)
	}
	for query, rows := range map[string][]string{
		"SELECT 18446744073709551615 + 0":                                   {"18446744073709551615"},
		"SELECT u + 0, u - 1, u * 1 FROM a WHERE i = 1":                     {"18446744073709551615|18446744073709551614|18446744073709551615"},
		"SELECT b + 1, b - 1, b * 2, t + 1, i - 5 FROM a WHERE i = 2":       {"-4|-6|-10|2|-3"},
		"SELECT b + 1, u + 1 FROM a WHERE i = 3":                            {"NULL|NULL"},
		"SELECT x FROM (SELECT u + 0 AS x FROM a WHERE i = 2) q":            {"3"},
		"SELECT YEAR('2020-01-01') - 2030, LENGTH('a') - 3, (1 = 1) + 1":    {"-10|-2|2"},
		"SELECT i + 0.0 / i + 0.0, (i - 0.5 + 0.5) / 3 FROM a WHERE i = 1":  {"1.00000|0.33333"},
		"SELECT (0.0 * -i) * -1, 0.0 * -i FROM a WHERE i = 1":               {"0.0|0.0"},
		"SELECT (1 + 2) / 3, (i + 1) * 1.5, i + 1 + 0.5 FROM a WHERE i = 1": {"1.0000|3.0|2.5"},
	} {
		if rows != nil {
			c.want(query, rows...)
		}
	}
	// BIT is an integer without a sign.
	c.must("CREATE TABLE bits (b BIT(64), f BIT(1))", "INSERT INTO bits VALUES (b'"+strings.Repeat("1", 64)+"', b'1')")
	c.want("SELECT b + 0, b - 1, f * 2, 1 - f FROM bits", "18446744073709551615|18446744073709551614|2|0")
	c.fails(1690, "SELECT b + 1 FROM bits")
	c.must("UPDATE a SET u = u - 1 WHERE i = 1")
	c.want("SELECT u FROM a WHERE i = 1", "18446744073709551614")
	c.must("SET sql_mode = 'NO_UNSIGNED_SUBTRACTION'")
	c.want("SELECT t - 2 FROM a WHERE i = 2", "-1")
}
