package sql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// status reads SHOW GLOBAL STATUS, or that of the session.
func (c *client) status(scope string) map[string]uint64 {
	c.t.Helper()
	values := map[string]uint64{}
	for _, row := range c.must("SHOW " + scope + " STATUS").rows {
		name, text, _ := strings.Cut(row, "|")
		if strings.HasPrefix(name, "Ssl_") {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			c.t.Errorf("%s is %q", name, text)
		}
		values[name] = n
	}
	return values
}

// What SHOW STATUS says is what was done, through the planner and without it alike.
func TestStatusCounts(t *testing.T) {
	s := newServer(t)
	c, watcher := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, v INT, KEY (v))")
	for _, direct := range []string{"1", "0"} {
		c.must("TRUNCATE t", "SET direct = "+direct)
		c.must("SELECT id FROM t WHERE id = 5") // the direct path knows the text from here on
		before, own := watcher.status("GLOBAL"), c.status("SESSION")
		c.must("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)", "UPDATE t SET v = 21 WHERE id = 2", "DELETE FROM t WHERE id = 3",
			"SELECT id FROM t WHERE id = 1", "SELECT id FROM t WHERE v > 5 AND v < 100", "SELECT id, v FROM t", "BEGIN", "INSERT INTO t VALUES (4, 4)", "ROLLBACK")
		c.fails(1062, "INSERT INTO t VALUES (1, 1)")
		after, ownAfter := watcher.status("GLOBAL"), c.status("SESSION")
		for name, want := range map[string]uint64{
			"Com_insert": 3, "Com_update": 1, "Com_delete": 1, "Com_select": 3, "Com_begin": 1, "Com_rollback": 1, "Com_commit": 0, "Com_create_table": 0,
			"Handler_write": 4, "Handler_update": 1, "Handler_delete": 1, "Select_scan": 1, "Handler_read_rnd_next": 2, "Handler_read_next": 2,
		} {
			if got := after[name] - before[name]; got != want {
				t.Errorf("direct=%s: %s grew by %d, want %d", direct, name, got, want)
			}
			if got := ownAfter[name] - own[name]; got != want {
				t.Errorf("direct=%s: the session's %s grew by %d, want %d", direct, name, got, want)
			}
		}
		if got := after["Innodb_rows_inserted"] - before["Innodb_rows_inserted"]; got != 4 {
			t.Errorf("direct=%s: Innodb_rows_inserted grew by %d", direct, got)
		}
		// The session's SHOW STATUS and the watcher's are statements too.
		if got := after["Questions"] - before["Questions"]; got != 12 {
			t.Errorf("direct=%s: Questions grew by %d", direct, got)
		}
	}
	c.Close()
	if n := watcher.status("GLOBAL")["Com_update"]; n < 2 {
		t.Errorf("what a session did that has ended is forgotten: Com_update %d", n)
	}
	if rows := watcher.must("SHOW GLOBAL STATUS LIKE 'com_sel%'").rows; len(rows) != 1 {
		t.Errorf("LIKE finds %q", rows)
	}
	if rows := watcher.must("SHOW STATUS WHERE Variable_name = 'Uptime'").rows; len(rows) != 1 {
		t.Errorf("WHERE finds %q", rows)
	}
}

// slowOnes collects the slow log.
type slowOnes struct {
	mu   sync.Mutex
	list []SlowStatement
}

func (l *slowOnes) take(s SlowStatement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
}

func (l *slowOnes) taken() []SlowStatement {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

func TestSlowStatements(t *testing.T) {
	s := newServer(t)
	log := &slowOnes{}
	s.engine.SetSlowLog(log.take)
	c := s.test()
	defer func() {
		if err := SetSlow(false, 10*time.Second, false); err != nil {
			t.Error(err)
		}
		c.must("SET GLOBAL log_slow_admin_statements = 0")
	}()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
	c.must("SET long_query_time = 0", "SELECT id FROM t WHERE id = 1")
	if got := log.taken(); len(got) != 0 {
		t.Errorf("the log is off and gets %+v", got)
	}
	slow := c.status("SESSION")["Slow_queries"]
	c.must("SET GLOBAL slow_query_log = 1")
	log.taken()
	for _, direct := range []string{"1", "0"} {
		c.must("SET direct = " + direct)
		log.taken()
		c.must("SELECT id FROM t WHERE v < 3")
		got := log.taken()
		if len(got) != 1 || got[0].Sent != 2 || got[0].Examined != 3 || got[0].Text != "SELECT id FROM t WHERE v < 3" ||
			got[0].Database != "test" || got[0].User != "root" || got[0].Took <= 0 || got[0].Connection != c.ID() {
			t.Errorf("direct=%s: %+v", direct, got)
		}
	}
	if n := c.status("SESSION")["Slow_queries"] - slow; n < 4 {
		t.Errorf("Slow_queries grew by %d", n)
	}
	c.must("SET min_examined_row_limit = 2")
	log.taken()
	c.must("SELECT v FROM t WHERE id = 2", "SELECT v FROM t")
	if got := log.taken(); len(got) != 1 || got[0].Examined != 3 {
		t.Errorf("min_examined_row_limit: %+v", got)
	}
	c.must("SET min_examined_row_limit = 0", "SET long_query_time = 100")
	log.taken()
	c.must("SELECT v FROM t")
	if got := log.taken(); len(got) != 0 {
		t.Errorf("nothing took 100 s: %+v", got)
	}
	c.must("SET GLOBAL log_queries_not_using_indexes = 1", "SELECT v FROM t", "SELECT v FROM t WHERE id = 1")
	if got := log.taken(); len(got) != 1 || got[0].Text != "SELECT v FROM t" {
		t.Errorf("log_queries_not_using_indexes: %+v", got)
	}
	c.must("SET long_query_time = 0", "ALTER TABLE t ADD COLUMN w INT")
	for _, e := range log.taken() {
		if strings.HasPrefix(e.Text, "ALTER") {
			t.Errorf("without log_slow_admin_statements: %+v", e)
		}
	}
	c.must("SET GLOBAL log_slow_admin_statements = 1", "ALTER TABLE t DROP COLUMN w")
	found := false
	for _, e := range log.taken() {
		found = found || e.Text == "ALTER TABLE t DROP COLUMN w"
	}
	if !found {
		t.Error("ALTER TABLE is not in the log with log_slow_admin_statements")
	}
}

// A wait for a row's lock is in the figures of the waiting statement.
func TestSlowStatementThatWaits(t *testing.T) {
	s := newServer(t)
	log := &slowOnes{}
	s.engine.SetSlowLog(log.take)
	a, b := s.test(), s.test()
	defer func() {
		if err := SetSlow(false, 10*time.Second, false); err != nil {
			t.Error(err)
		}
	}()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)", "SET GLOBAL slow_query_log = 1")
	b.must("SET long_query_time = 0")
	a.must("BEGIN", "UPDATE t SET v = 2 WHERE id = 1")
	done := make(chan error, 1)
	go func() {
		_, err := b.query(context.Background(), "UPDATE t SET v = v + 1 WHERE id = 1", false, &collected{})
		done <- err
	}()
	for s.db.Stats().LockWaiting == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	a.must("COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var waited time.Duration
	for _, e := range log.taken() {
		if strings.HasPrefix(e.Text, "UPDATE") {
			waited = e.LockWait
		}
		if e.LockWait > e.Took {
			t.Errorf("waited longer than it took: %+v", e)
		}
	}
	if waited < 20*time.Millisecond {
		t.Errorf("Lock_time is %v", waited)
	}
	if st := a.status("GLOBAL"); st["Innodb_row_lock_waits"] != 1 || st["Innodb_row_lock_time"] < 20 || st["Innodb_row_lock_time_max"] < 20 {
		t.Errorf("%d waits, %d ms, at most %d ms", st["Innodb_row_lock_waits"], st["Innodb_row_lock_time"], st["Innodb_row_lock_time_max"])
	}
}

func TestNoPasswordIsShown(t *testing.T) {
	s := newServer(t)
	log := &slowOnes{}
	s.engine.SetSlowLog(log.take)
	c := s.test()
	defer func() {
		if err := SetSlow(false, 10*time.Second, false); err != nil {
			t.Error(err)
		}
	}()
	c.must("SET GLOBAL slow_query_log = 1", "SET long_query_time = 0")
	for _, q := range []string{
		"CREATE USER u@'%' IDENTIFIED BY 'hunter2'", "ALTER USER u@'%' IDENTIFIED BY 'hunter2'", "/* x */ create user v identified by \"hunter2\"",
		"CREATE USER w IDENTIFIED WITH mysql_native_password BY 'hunter2'", "CREAT USER w IDENTIFIED BY 'hunter2'", "PREPARE p FROM 'CREATE USER z IDENTIFIED BY ''hunter2'''",
		"CREATE PROCEDURE pr() CREATE USER z IDENTIFIED BY 'hunter2'", "SET PASSWORD = 'hunter2'", "SET PASSWORD FOR u@'%' = 0x68756e74657232",
	} {
		_, _ = c.query(context.Background(), q, false, &collected{})
		for _, e := range log.taken() {
			if strings.Contains(e.Text, "hunter2") || strings.Contains(e.Text, "68756e74657232") {
				t.Errorf("logged: %s", e.Text)
			}
		}
	}
	for text, want := range map[string]string{
		"CREATE USER 'u'@'%' IDENTIFIED BY 'pw', v IDENTIFIED BY 'it''s'": "CREATE USER 'u'@'%' IDENTIFIED BY '<secret>', v IDENTIFIED BY '<secret>'",
		"SELECT password FROM users WHERE password = 'x'":                 "SELECT password FROM users WHERE password = 'x'",
		"SET PASSWORD = /* old */ 'x'":                                    "SET PASSWORD = '<secret>'",
	} {
		if got := withoutSecrets(text); got != want {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add("SELECT 1.5e-3, -4 FROM t WHERE a IN (1,2,3) AND b = 'x'", "CREATE USER u IDENTIFIED BY 'x'")
	f.Add("insert into t values (1,'a'),(2,'b') -- end", "`")
	f.Fuzz(func(t *testing.T, text, account string) {
		form := string(appendForm(nil, text))
		if again := string(appendForm(nil, form)); len(again) > len(form) {
			t.Errorf("the form of %q is %q, and its form longer: %q", text, form, again)
		}
		blankSecrets(account)
	})
}

func TestForm(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT  *\nFROM t WHERE id=5 /* c */ AND x<-3.5e-7;":    "SELECT * FROM t WHERE id = ? AND x < ?",
		"select a from t where a in ( 1, 2 ,3) and b='x' or c=?": "select a from t where a in ( ? ) and b = ? or c = ?",
		"INSERT INTO t VALUES (1,'a'),(2,'b'), (3,0x41)":         "INSERT INTO t VALUES ( ? )",
		"SELECT a-1, t1.c FROM t1":                               "SELECT a - ? , t1 . c FROM t1",
	} {
		if got := string(appendForm(nil, text)); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	var d digests
	for i := range digestsKept + 10 {
		d.of("db", fmt.Sprintf("SELECT c%d_ FROM t", i))
	}
	if n := len(d.known); n != digestsKept {
		t.Errorf("%d forms are kept", n)
	}
	if d.of("db", "SELECT one_more") != &d.rest {
		t.Error("one more form is kept")
	}
}
