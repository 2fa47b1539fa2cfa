package sql

import "testing"

// Definitions in forms that the parser does not know are those of the forms that it knows.
func TestDefinitionForms(t *testing.T) {
	for text, want := range map[string]string{
		"CREATE TABLE c (id INT PRIMARY KEY, `p` INT NOT NULL REFERENCES p (id) ON DELETE CASCADE COMMENT 'ON DELETE', INDEX USING BTREE (p))"://
		"CREATE TABLE c (id INT PRIMARY KEY, `p` INT NOT NULL  COMMENT 'ON DELETE', FOREIGN KEY (`p`) REFERENCES p (id) ON DELETE CASCADE, INDEX  (p))",
		"create temporary table if not exists d.c (a int references p(id) match full on update set null on delete no action) engine=InnoDB"://
		"create temporary table if not exists d.c (a int , FOREIGN KEY (a) references p(id) on update set null on delete no action) engine=InnoDB",
		"ALTER TABLE c ADD COLUMN IF NOT EXISTS x INT REFERENCES p(id) ON DELETE RESTRICT AFTER id, ADD UNIQUE KEY u USING HASH (x); SELECT 1"://
		"ALTER TABLE c ADD COLUMN IF NOT EXISTS x INT  AFTER id, ADD FOREIGN KEY (x) REFERENCES p(id) ON DELETE RESTRICT, ADD UNIQUE KEY u  (x); SELECT 1",
		"CREATE TABLE c (a TIMESTAMP REFERENCES p (a) ON DELETE CASCADE ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY USING HASH (a) USING BTREE)"://
		"CREATE TABLE c (a TIMESTAMP  ON UPDATE CURRENT_TIMESTAMP, FOREIGN KEY (a) REFERENCES p (a) ON DELETE CASCADE, PRIMARY KEY  (a) USING BTREE)",
		"CREATE TABLE c (a INT, CONSTRAINT f FOREIGN KEY (a) REFERENCES p (id) MATCH SIMPLE ON DELETE CASCADE, CHECK (a > 0))"://
		"CREATE TABLE c (a INT, CONSTRAINT f FOREIGN KEY (a) REFERENCES p (id)  ON DELETE CASCADE, CHECK (a > 0))",
		"ALTER TABLE `c`\r\nCOMMENT = 'cust\\'omers'\r\nDEFAULT  CHARSET=utf8mb4 COLLATE utf8mb4_general_ci\r\nauto_increment = 100 row_format=compact, ADD a INT"://
		"ALTER TABLE `c`\r\n COMMENT = 'cust\\'omers', CHARACTER SET = utf8mb4 COLLATE = utf8mb4_general_ci, auto_increment = 100, row_format = compact, ADD a INT",
		"CREATE TABLE c (a INT REFERENCES p (id), b INT DEFAULT (1, 2)": "",
		"CREATE TABLE c": "",
		"SELECT 1":       "",
	} {
		if got, ok := plainDefinitions(text); ok != (want != "") || ok && got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// Table options may stand one after the other in ALTER TABLE too.
func TestTableOptions(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT)",
		"ALTER TABLE t COMMENT = 'it''s' DEFAULT CHARSET=utf8mb4 COLLATE utf8mb4_general_ci auto_increment = 100 ROW_FORMAT = COMPACT, ADD a VARCHAR(3)",
		"ALTER TABLE t ENGINE=InnoDB ROW_FORMAT=DYNAMIC", "INSERT INTO t (a) VALUES ('x')")
	c.want("SELECT table_comment, table_collation FROM information_schema.tables WHERE table_name = 't'", "it's|utf8mb4_general_ci")
	c.want("SELECT * FROM t", "100|x")
	c.must("ALTER TABLE t DEFAULT CHARSET latin1")
	c.want("SELECT table_collation FROM information_schema.tables WHERE table_name = 't'", "latin1_swedish_ci")
}

// A column's REFERENCES keeps its actions, and indexes may name their kind before their columns.
func TestColumnReferences(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1), (2), (3)",
		"CREATE TABLE c (id INT, p INT REFERENCES p (id) ON DELETE CASCADE, q INT REFERENCES p (id) ON DELETE SET NULL ON UPDATE CASCADE, PRIMARY KEY USING BTREE (id), KEY k USING BTREE (p, q))",
		"INSERT INTO c VALUES (1, 1, 2), (2, 1, 3), (3, 3, 3)")
	c.fails(1452, "INSERT INTO c VALUES (4, 9, 1)")
	c.must("DELETE FROM p WHERE id = 3", "UPDATE p SET id = 20 WHERE id = 2")
	c.fails(1451, "UPDATE p SET id = 10 WHERE id = 1")
	c.want("SELECT * FROM c", "1|1|20", "2|1|NULL")
}
