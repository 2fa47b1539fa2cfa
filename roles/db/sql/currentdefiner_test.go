package sql

import "testing"

// DEFINER=CURRENT_USER is the account that runs the statement.
func TestCurrentDefiner(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE USER maker", "GRANT ALL ON test.* TO maker")
	maker := s.login("maker", "%", "test")
	maker.must("CREATE DEFINER=CURRENT_USER VIEW v AS SELECT id FROM t", "CREATE OR REPLACE ALGORITHM = MERGE DEFINER = CURRENT_USER ( ) SQL SECURITY INVOKER VIEW v AS SELECT n FROM t",
		"CREATE DEFINER=current_user() TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1", "CREATE DEFINER=CURRENT_USER PROCEDURE p() SELECT CURRENT_USER",
		"CREATE DEFINER=CURRENT_USER FUNCTION f() RETURNS VARCHAR(50) DETERMINISTIC RETURN CURRENT_USER()", "CREATE DEFINER=CURRENT_USER EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
		"INSERT INTO t (id) VALUES (1)")
	maker.want("SELECT * FROM v", "1")
	c.want("SELECT trigger_name, definer FROM information_schema.triggers", "tr|maker@%")
	c.want("SELECT event_name, REPLACE(definer, '`', '') FROM information_schema.events", "e|maker@%")
	c.want("SELECT definer, security_type FROM information_schema.views WHERE table_schema = 'test'", "maker@%|INVOKER")
	c.want("CALL p()", "maker@%", "--")
	c.want("SELECT f()", "maker@%")
}
