package sql

import "testing"

// A column may be said to be UNIQUE again.
func TestUniqueColumnAgain(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, email VARCHAR(20) UNIQUE, n INT)",
		"ALTER TABLE t CHANGE email email VARCHAR(30) UNIQUE", "ALTER TABLE t MODIFY email VARCHAR(31) UNIQUE KEY, ADD f INT NOT NULL UNIQUE FIRST",
		"ALTER TABLE t ADD INDEX m (n)", "ALTER TABLE t ADD m INT UNIQUE")
	c.want("SELECT index_name, column_name, non_unique FROM information_schema.statistics WHERE table_schema = 'test' AND table_name = 't' ORDER BY 1",
		"email|email|0", "email_2|email|0", "email_3|email|0", "f|f|0", "m|n|1", "m_2|m|0", "PRIMARY|id|0")
	c.fails(1061, "ALTER TABLE t MODIFY n INT, ADD UNIQUE KEY email (n)")
	c.must("ALTER TABLE t CHANGE n o BIGINT UNIQUE", "ALTER TABLE t CHANGE o p BIGINT NOT NULL DEFAULT 3 AFTER id, ADD INDEX pair (p, id), DROP INDEX o")
	c.want("SELECT index_name, seq_in_index, column_name FROM information_schema.statistics WHERE table_schema = 'test' AND table_name = 't' AND (index_name = 'pair' OR column_name = 'p') ORDER BY 1, 2",
		"m|1|p", "pair|1|p", "pair|2|id")
	c.must("CREATE TABLE u (a INT)", "INSERT INTO u VALUES (1), (2)", "ALTER TABLE u ADD id INT NOT NULL AUTO_INCREMENT UNIQUE")
	c.want("SELECT * FROM u", "1|1", "2|2")
	c.fails(1062, "ALTER TABLE u ADD c INT NOT NULL DEFAULT 1 UNIQUE")
}
