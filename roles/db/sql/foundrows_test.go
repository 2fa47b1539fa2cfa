package sql

import "testing"

// SQL_CALC_FOUND_ROWS counts what LIMIT leaves out on both sides, also where nothing is sorted.
func TestFoundRowsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn, "CREATE TABLE t (id INT PRIMARY KEY, k INT)", "INSERT INTO t VALUES (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4)")
	for _, from := range []string{"FROM t", "FROM t WHERE id + 0 > 2", "FROM t a JOIN t b ON a.id = b.k", "FROM (SELECT id FROM t LIMIT 5) d", "FROM t WHERE id > 100"} {
		for _, limit := range []string{"", "LIMIT 2", "LIMIT 2, 2", "LIMIT 6, 5", "LIMIT 20, 5", "LIMIT 3 OFFSET 18446744073709551615"} {
			for _, what := range []string{"1", "CONCAT('x', 1)", "DISTINCT 1"} {
				q := "SELECT SQL_CALC_FOUND_ROWS " + what + " " + from + " " + limit
				if what == "DISTINCT 1" {
					q = "SELECT DISTINCT SQL_CALC_FOUND_ROWS 1 " + from + " " + limit
				}
				asMariaDB(t, c, conn, q)
				asMariaDB(t, c, conn, "SELECT FOUND_ROWS()")
			}
		}
	}
}

// information_schema.ROUTINES has functions, and of each routine what it was made with.
func TestRoutinesInfo(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("SET sql_mode = 'ANSI_QUOTES'", "CREATE FUNCTION f(a INT) RETURNS VARCHAR(20) DETERMINISTIC READS SQL DATA COMMENT 'it''s' RETURN CONCAT('x', a)", "SET sql_mode = ''",
		"CREATE FUNCTION g() RETURNS DECIMAL(10,2) SQL SECURITY INVOKER BEGIN RETURN 1; END", "CREATE PROCEDURE p() COMMENT \"two\" SELECT 1")
	c.want("SELECT routine_name, routine_type, data_type, dtd_identifier, character_maximum_length, character_set_name, numeric_precision, numeric_scale, is_deterministic, sql_data_access, security_type, sql_mode, routine_comment FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1",
		"f|FUNCTION|varchar|varchar(20)|20|utf8mb4|NULL|NULL|YES|READS SQL DATA|DEFINER|ANSI_QUOTES|it's",
		"g|FUNCTION|decimal|decimal(10,2)|NULL|NULL|10|2|NO|CONTAINS SQL|INVOKER||",
		"p|PROCEDURE||NULL|NULL|NULL|NULL|NULL|NO|CONTAINS SQL|DEFINER||two")
	c.want("SELECT routine_definition FROM information_schema.ROUTINES WHERE routine_name IN ('f', 'g', 'p') ORDER BY routine_name", "RETURN CONCAT('x', a)", "BEGIN RETURN 1; END", "SELECT 1")
	c.must("CREATE USER low", "GRANT SELECT ON test.* TO low")
	s.login("low", "%", "test").want("SELECT COUNT(*) FROM information_schema.routines", "0")
	c.must("GRANT EXECUTE ON test.* TO low")
	s.login("low", "%", "test").want("SELECT COUNT(*) FROM information_schema.routines", "3")
}
