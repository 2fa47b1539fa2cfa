package sql

import "testing"

// CONVERT TO CHARACTER SET converts however the statement comes, and the words do nothing in the text around it.
func TestConvertToByEveryWay(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (a VARCHAR(10) COLLATE utf8mb4_general_ci) COLLATE utf8mb4_general_ci", "CREATE TABLE u (a VARCHAR(10) COLLATE utf8mb4_general_ci) COLLATE utf8mb4_general_ci")
	const list = "SELECT table_name, collation_name FROM information_schema.columns WHERE table_schema = 'test' ORDER BY 1"
	c.must("PREPARE q FROM 'ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin'", "EXECUTE q")
	c.want(list, "t|utf8mb4_bin", "u|utf8mb4_general_ci")
	c.must("CREATE PROCEDURE p() BEGIN ALTER TABLE u COLLATE utf8mb4_bin; ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; END", "CALL p()")
	c.want(list, "t|utf8mb4_unicode_ci", "u|utf8mb4_general_ci")
	c.must("CREATE PROCEDURE dynamic() BEGIN PREPARE r FROM 'ALTER TABLE u CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci'; EXECUTE r; END", "CALL dynamic()")
	c.want(list, "t|utf8mb4_unicode_ci", "u|utf8mb4_unicode_ci")
}
