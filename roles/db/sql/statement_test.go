package sql

import (
	"testing"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

func TestClassify(t *testing.T) {
	s := &Session{BaseSession: gms.NewBaseSession()}
	for query, want := range map[string]kind{
		"SELECT 1": kindRead, "SELECT 1 UNION SELECT 2": kindRead,
		"SELECT * FROM t FOR UPDATE": kindLockingRead, "SELECT * FROM t LOCK IN SHARE MODE": kindLockingRead,
		"SELECT * FROM t WHERE id IN (SELECT id FROM u LOCK IN SHARE MODE)": kindLockingRead,
		"INSERT INTO t VALUES (1)": kindWrite, "REPLACE INTO t VALUES (1)": kindWrite, "UPDATE t SET a = 1": kindWrite, "DELETE FROM t": kindWrite,
		"CREATE TABLE t (a INT)": kindDDL, "ALTER TABLE t ADD b INT": kindDDL, "DROP TABLE t": kindDDL, "CREATE VIEW v AS SELECT 1": kindDDL,
		"CREATE DATABASE d": kindDDL, "CREATE INDEX i ON t (a)": kindDDL, "RENAME TABLE a TO b": kindDDL, "TRUNCATE t": kindTruncate,
		"CREATE TEMPORARY TABLE t (a INT)": kindTemporary, "DROP TEMPORARY TABLE t": kindTemporary,
		"CREATE USER a": kindAccount, "GRANT ALL ON *.* TO a": kindAccount, "ALTER USER a IDENTIFIED BY 'x'": kindAccount,
		"BEGIN": kindControl, "COMMIT": kindControl, "SAVEPOINT s": kindControl, "LOCK TABLES t READ": kindTables, "UNLOCK TABLES": kindTables,
		"SET @a = 1": kindOther, "SHOW TABLES": kindOther, "USE d": kindOther, "EXPLAIN SELECT 1": kindRead, "KILL 5": kindOther,
	} {
		st, err := sqlparser.Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got, err := s.classify(st); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", query, kindNames[got], err, kindNames[want])
		}
	}
}

// What is asked of a statement before it is planned holds for every text.
func FuzzStatement(f *testing.F) {
	for _, q := range []string{
		"SELECT * FROM a.t x WHERE id = ? FOR UPDATE", "INSERT INTO t VALUES (?, ?) ON DUPLICATE KEY UPDATE a = VALUES(a)",
		"CREATE TABLE t (a INT AS (b + 1), KEY ((a + 1)), FULLTEXT (a)) CHARSET=utf8mb4 PARTITION BY HASH (a)",
		"LOCK TABLES t READ, u AS x WRITE", "KILL QUERY 7", "SET TRANSACTION READ ONLY", "XA START 'x'", "RENAME TABLE a.b TO c.d",
		"GRANT SELECT ON t TO 'a'@'%'", "DROP USER a, 'b'@'c'", "EXPLAIN ANALYZE UPDATE t SET a = 1", "WITH x AS (SELECT 1) SELECT * FROM x",
		"EXECUTE p USING @a", "FLUSH TABLES", "COMMIT AND CHAIN", ":v", "SELECT :vx",
	} {
		f.Add(q)
	}
	srv, err := newMemServer()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := srv.close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, query string) {
		st, err := sqlparser.Parse(query)
		if err != nil {
			refuseUnparsed(query, err)
			return
		}
		s := &Session{BaseSession: gms.NewBaseSession(), engine: srv.engine}
		if _, err := s.classify(st); err != nil {
			return
		}
		s.tablesOf(st)
		if set, ok := setsNext(st); ok {
			_ = s.setNext(set)
		}
		_, _ = chainOf(query, st)
		p := &statement{session: s, text: query, parsed: st}
		if err := p.placeholders(); err == nil && len(p.names) > len(query) {
			t.Errorf("%d placeholders in %q", len(p.names), query)
		}
	})
}
