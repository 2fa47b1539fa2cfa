package sql

import (
	"context"
	"os"
	"strings"
	"testing"
)

// script runs the statements of a file as a client sends them: several at once.
func (c *client) script(text string) {
	c.t.Helper()
	for rest := text; strings.TrimSpace(rest) != ""; {
		var err error
		before := rest
		if rest, err = c.query(context.Background(), rest, true, &collected{}); err != nil {
			line := strings.SplitN(strings.TrimSpace(before), "\n", 4)
			c.t.Fatalf("%s\n%v", strings.Join(line[:min(3, len(line))], "\n"), err)
		}
	}
}

func (c *client) file(name string) {
	c.t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		c.t.Fatal(err)
	}
	c.script(string(text))
}

// The kind of schema and the kind of statements that a blog application uses.
func TestBlogSchema(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("SET NAMES utf8mb4", "SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION'")
	c.file("blog.sql")
	c.must("INSERT INTO wp_options (option_name, option_value, autoload) VALUES ('siteurl', 'https://www.example.com', 'yes') ON DUPLICATE KEY UPDATE option_name = VALUES(option_name), option_value = VALUES(option_value), autoload = VALUES(autoload)")
	c.must("INSERT INTO wp_posts (post_author, post_date, post_content, post_title, post_name) VALUES (1, NOW(), 'Hello', 'Hello world', 'hello-world')")
	c.want("SELECT ID, post_status, post_date_gmt, post_type FROM wp_posts WHERE post_name = 'HELLO-world'", "1|publish|0000-00-00 00:00:00|post")
	c.must("INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (1, '_edit_lock', '1:1'), (1, 'views', '10')")
	c.must("UPDATE wp_postmeta SET meta_value = meta_value + 1 WHERE post_id = 1 AND meta_key = 'views'")
	c.want("SELECT p.post_title, m.meta_value FROM wp_posts p INNER JOIN wp_postmeta m ON p.ID = m.post_id WHERE m.meta_key = 'views'", "Hello world|11")
	c.want("SELECT SQL_CALC_FOUND_ROWS ID FROM wp_posts WHERE 1=1 AND post_type = 'post' AND (post_status = 'publish') ORDER BY post_date DESC LIMIT 0, 10", "1")
	c.want("SELECT FOUND_ROWS()", "1")
	c.want("SELECT option_value FROM wp_options WHERE option_name = 'siteurl' LIMIT 1", "https://www.example.com")
	c.fails(1062, "INSERT INTO wp_options (option_name, option_value) VALUES ('siteurl', 'x')", "wp_options.option_name")
	c.must("DELETE a, b FROM wp_options a, wp_options b WHERE a.option_name = 'x' AND b.option_name = 'y'")
	c.want("SHOW TABLES LIKE 'wp\\_post%'", "wp_postmeta", "wp_posts")
	c.want("SHOW INDEX FROM wp_postmeta WHERE Key_name = 'meta_key'", c.must("SHOW INDEX FROM wp_postmeta WHERE Key_name = 'meta_key'").rows...)
	if create := c.must("SHOW CREATE TABLE wp_postmeta").rows[0]; !strings.Contains(create, "KEY `meta_key` (`meta_key`(191))") {
		t.Error(create)
	}
	c.want("DESCRIBE wp_terms", "term_id|bigint unsigned|NO|PRI|NULL|auto_increment", "name|varchar(200)|NO|MUL||", "slug|varchar(200)|NO|MUL||", "term_group|bigint|NO||0|")
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}
}

// What mysqldump writes can be read back.
func TestImportOfADump(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.file("dump.sql")
	c.want("SELECT id, name, price, made, note FROM item ORDER BY id", "1|chair|19.90|2026-01-01 10:00:00|it's \"good\"\nreally", "2|táble|100.00|2026-02-02 20:00:00|NULL")
	c.want("SELECT item, amount FROM stock ORDER BY item", "1|5", "2|7")
	c.want("SELECT name, amount FROM supply ORDER BY name", "chair|5", "táble|7")
	c.fails(1452, "INSERT INTO stock VALUES (99, 1)")
	c.want("SELECT @@foreign_key_checks, @@unique_checks", "1|1")
	c.must("INSERT INTO item (name) VALUES ('lamp')")
	c.want("SELECT LAST_INSERT_ID()", "8")
}

func TestLockTables(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)", "LOCK TABLES t WRITE")
	a.must("INSERT INTO t VALUES (1)")
	a.fails(1100, "SELECT * FROM u", "was not locked with LOCK TABLES")
	b.must("INSERT INTO u VALUES (1)", "SET lock_wait_timeout = 1")
	b.fails(1205, "SELECT * FROM t")
	b.fails(1205, "INSERT INTO t VALUES (2)")
	b.must("SET lock_wait_timeout = 60")
	done := make(chan error, 1)
	go func() {
		_, err := b.run("INSERT INTO t VALUES (2)")
		done <- err
	}()
	a.must("INSERT INTO t VALUES (3)", "UNLOCK TABLES")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.must("LOCK TABLES t READ, u AS x WRITE")
	a.fails(1099, "INSERT INTO t VALUES (9)")
	b.want("SELECT id FROM t ORDER BY id", "1", "2", "3")
	a.want("SELECT x.id FROM u AS x", "1")
}

// What drivers and tools ask when they connect.
func TestQueriesOfClients(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10) NOT NULL DEFAULT 'x' COMMENT 'of note', KEY ka (a))", "CREATE VIEW v AS SELECT * FROM t")
	for _, q := range []string{
		"SELECT @@version_comment LIMIT 1", "SELECT DATABASE()", "SHOW VARIABLES LIKE 'character_set%'", "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
		"SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci", "SET SESSION sql_mode='STRICT_TRANS_TABLES'",
		"SELECT @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, @@character_set_connection AS character_set_connection, @@character_set_results AS character_set_results, @@collation_server AS collation_server, @@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, @@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, @@net_write_timeout AS net_write_timeout, @@performance_schema AS performance_schema, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@transaction_isolation AS transaction_isolation, @@wait_timeout AS wait_timeout",
		"SHOW WARNINGS", "SHOW FULL TABLES", "SHOW TABLE STATUS", "SHOW FULL COLUMNS FROM t", "SHOW KEYS FROM t", "SHOW ENGINES", "SHOW COLLATION WHERE Charset = 'utf8mb4'", "SHOW CHARACTER SET",
		"SHOW PROCESSLIST", "SHOW CREATE DATABASE test", "SHOW CREATE VIEW v", "SHOW PRIVILEGES", "SHOW GRANTS", "SHOW DATABASES",
		"SELECT * FROM information_schema.schemata", "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, TABLE_COLLATION FROM information_schema.tables WHERE TABLE_SCHEMA = 'test'",
		"SELECT * FROM information_schema.columns WHERE TABLE_SCHEMA = DATABASE()", "SELECT * FROM information_schema.statistics WHERE TABLE_SCHEMA = 'test'",
		"SELECT * FROM information_schema.key_column_usage WHERE TABLE_SCHEMA = 'test'", "SELECT * FROM information_schema.table_constraints WHERE TABLE_SCHEMA = 'test'",
		"SELECT * FROM information_schema.referential_constraints", "SELECT * FROM information_schema.views", "SELECT * FROM information_schema.triggers", "SELECT * FROM information_schema.routines", "SHOW PROCEDURE STATUS", "SHOW EVENTS", "SELECT * FROM information_schema.events",
		"SELECT * FROM information_schema.check_constraints", "SELECT * FROM information_schema.processlist", "SELECT * FROM information_schema.engines", "SELECT * FROM information_schema.collations",
		"SELECT CONNECTION_ID()", "SELECT 1", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION", "COMMIT", "ROLLBACK", "SET SESSION TRANSACTION READ WRITE",
		"SET @a = 1", "SELECT @a", "SET time_zone = '+00:00'", "SET SQL_SAFE_UPDATES = 1", "ANALYZE TABLE t", "START TRANSACTION WITH CONSISTENT SNAPSHOT", "COMMIT", "FLUSH PRIVILEGES",
	} {
		if _, err := c.run(q); err != nil {
			t.Errorf("%s\n%v", q, err)
		}
	}
	c.want("SELECT @@version, @@lower_case_table_names, @@collation_server, @@global.sql_mode", Version+"|0|utf8mb4_unicode_520_ci|"+sortedMode)
	c.want("SELECT COLUMN_NAME, COLUMN_KEY, COLUMN_DEFAULT, COLUMN_COMMENT FROM information_schema.columns WHERE TABLE_NAME = 't' ORDER BY ORDINAL_POSITION", "id|PRI|NULL|", "a|MUL|x|of note")
	c.want("SELECT COLUMN_TYPE, COLLATION_NAME FROM information_schema.columns WHERE TABLE_NAME = 't' AND COLUMN_NAME = 'a'", "varchar(10)|utf8mb4_unicode_520_ci")
	c.must("SET GLOBAL max_allowed_packet = 1048576")
	if n := s.test().State().MaxAllowedPacket; n != 1<<20 {
		t.Errorf("max_allowed_packet of a new session is %d", n)
	}
	c.must("SET GLOBAL max_allowed_packet = 67108864")
	c.want("SELECT 'a' = 'A', 'é' = 'E' COLLATE utf8mb4_unicode_520_ci", "1|1")
}

// sortedMode is defaultMode in the order in which the planner shows it.
const sortedMode = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
