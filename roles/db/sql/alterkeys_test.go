package sql

import "testing"

// ALTER TABLE takes nothing from foreign keys, of either end, and refuses nothing else for them.
func TestAlterTableKeepsForeignKeys(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE p (id INT PRIMARY KEY, code VARCHAR(10), pcode INT, n INT, UNIQUE KEY code (code))",
		"CREATE TABLE c (id INT PRIMARY KEY, label VARCHAR(10), pcode VARCHAR(10), pid INT, CONSTRAINT by_code FOREIGN KEY (pcode) REFERENCES p (code) ON DELETE SET NULL, CONSTRAINT by_id FOREIGN KEY (pid) REFERENCES p (id))",
		"INSERT INTO p VALUES (1, 'a', 1, 1)", "INSERT INTO c VALUES (1, 'n', 'a', 1)")
	c.fails(1829, "ALTER TABLE p DROP COLUMN code", "Cannot drop column 'code': needed in a foreign key constraint 'by_code' of table 'c'")
	c.fails(1828, "ALTER TABLE c DROP COLUMN pcode", "Cannot drop column 'pcode': needed in a foreign key constraint 'by_code'")
	c.fails(1553, "ALTER TABLE p DROP PRIMARY KEY", "Cannot drop index 'PRIMARY': needed in a foreign key constraint")
	c.fails(1553, "ALTER TABLE p DROP PRIMARY KEY, ADD PRIMARY KEY (n)")
	c.fails(1832, "ALTER TABLE c MODIFY pid BIGINT AFTER id", "Cannot change column 'pid': used in a foreign key constraint 'by_id'")
	c.fails(1832, "ALTER TABLE c MODIFY pid VARCHAR(10) AFTER label")
	c.fails(1832, "ALTER TABLE c MODIFY pcode VARCHAR(5)")
	c.fails(1833, "ALTER TABLE p MODIFY code INT AFTER pcode")
	c.fails(1830, "ALTER TABLE c MODIFY pcode VARCHAR(10) NOT NULL")
	c.fails(1452, "INSERT INTO c VALUES (2, 'n', 'b', 1)")
	c.must("ALTER TABLE c MODIFY pid INT AFTER label", "ALTER TABLE p DROP COLUMN pcode", "ALTER TABLE c MODIFY pcode VARCHAR(20), MODIFY pid INT NOT NULL", "ALTER TABLE p DROP PRIMARY KEY, ADD PRIMARY KEY (id, n)",
		"ALTER TABLE p CHANGE code Code VARCHAR(20), RENAME COLUMN id TO number", "ALTER TABLE c CHANGE pcode kind VARCHAR(20)")
	c.fails(1452, "INSERT INTO c VALUES (2, 'n', 1, 'b')")
	c.fails(1451, "DELETE FROM p")
	c.must("ALTER TABLE c DROP FOREIGN KEY by_code, DROP COLUMN kind", "ALTER TABLE p DROP COLUMN code", "SET foreign_key_checks = 0", "ALTER TABLE p DROP PRIMARY KEY")
	c.fails(1829, "ALTER TABLE p DROP COLUMN number")
	c.must("ALTER TABLE p ADD PRIMARY KEY (number)", "SET foreign_key_checks = 1")
	c.fails(1451, "DELETE FROM p")
	s.isWhole()
}

// TRUNCATE looks for foreign keys in all databases, by both names of the table.
func TestTruncateOfReferencedTables(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE DATABASE other", "CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE other.p (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES other.p (id))",
		"CREATE TABLE c (id INT, CONSTRAINT fk FOREIGN KEY (id) REFERENCES other.p (id))", "CREATE TABLE other.c (id INT, CONSTRAINT fk2 FOREIGN KEY (id) REFERENCES test.p (id))",
		"INSERT INTO p VALUES (1)", "INSERT INTO other.c VALUES (1)", "INSERT INTO other.p VALUES (1, NULL)")
	c.fails(1701, "TRUNCATE p", "Cannot truncate a table referenced in a foreign key constraint (`other`.`c`, CONSTRAINT `fk2`)")
	c.fails(1701, "TRUNCATE other.p", "(`test`.`c`, CONSTRAINT `fk`)")
	own := s.test()
	own.must("CREATE TEMPORARY TABLE p (id INT)", "INSERT INTO p VALUES (1)", "TRUNCATE p")
	own.want("SELECT COUNT(*) FROM p", "0")
	c.must("DROP TABLE c", "TRUNCATE other.p")
	c.want("SELECT COUNT(*) FROM other.p", "0")
	c.want("SELECT COUNT(*) FROM p", "1")
	c.must("DROP TABLE other.c", "TRUNCATE p")
	c.want("SELECT COUNT(*) FROM p", "0")
	c.must("CREATE TABLE self (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES self (id))", "INSERT INTO self VALUES (1, 1)", "TRUNCATE self", "CREATE TABLE kid (id INT, FOREIGN KEY (id) REFERENCES p (id))",
		"SET foreign_key_checks = 0", "TRUNCATE p")
	c.want("SELECT COUNT(*) FROM self", "0")
}
