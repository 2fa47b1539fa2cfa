package sql

import "testing"

// Clients read the constraint's name and definition from these texts, as MariaDB and MySQL write them.
func TestForeignKeyErrors(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE p (id INT PRIMARY KEY, a INT, b INT, KEY (a, b))", "CREATE DATABASE elsewhere",
		"CREATE TABLE c (id INT PRIMARY KEY, p INT, CONSTRAINT one FOREIGN KEY (p) REFERENCES p (id))",
		"CREATE TABLE d (a INT, b INT, CONSTRAINT two FOREIGN KEY (a, b) REFERENCES p (a, b) ON DELETE CASCADE ON UPDATE SET NULL)",
		"CREATE TABLE elsewhere.c (p INT, CONSTRAINT three FOREIGN KEY (p) REFERENCES test.p (id) ON DELETE NO ACTION)",
		"INSERT INTO p VALUES (1, 2, 3), (7, 8, 9)", "INSERT INTO c VALUES (1, 1)", "INSERT INTO elsewhere.c VALUES (7)")
	one := "a foreign key constraint fails (`test`.`c`, CONSTRAINT `one` FOREIGN KEY (`p`) REFERENCES `p` (`id`))"
	c.fails(1452, "INSERT INTO c VALUES (5, 5)", "Cannot add or update a child row: "+one)
	c.fails(1452, "UPDATE c SET p = 5", "Cannot add or update a child row: "+one)
	c.fails(1451, "DELETE FROM p WHERE id = 1", "Cannot delete or update a parent row: "+one)
	c.fails(1451, "UPDATE p SET id = 9 WHERE id = 1", "Cannot delete or update a parent row: "+one)
	c.fails(1452, "INSERT INTO d VALUES (5, 5)",
		"(`test`.`d`, CONSTRAINT `two` FOREIGN KEY (`a`, `b`) REFERENCES `p` (`a`, `b`) ON DELETE CASCADE ON UPDATE SET NULL)")
	c.fails(1451, "DELETE FROM p WHERE id = 7",
		"(`elsewhere`.`c`, CONSTRAINT `three` FOREIGN KEY (`p`) REFERENCES `test`.`p` (`id`) ON DELETE NO ACTION)")
	c.fails(1701, "TRUNCATE p", "Cannot truncate a table referenced in a foreign key constraint (`test`.`c`, CONSTRAINT `one`)")
	c.fails(3730, "DROP TABLE p", "Cannot drop table 'p' referenced by a foreign key constraint")
}
