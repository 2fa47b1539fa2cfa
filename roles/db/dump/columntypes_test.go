package dump_test

import (
	"context"
	"testing"

	"stack/roles/db/binlog"
	"stack/roles/db/columntypes"
)

// Every type of column that both servers have is the same on a MariaDB replica: from one end of its range to the other, with
// every pattern of NULLs, in tables with a key and without.
func TestMariaDBHasEveryColumnType(t *testing.T) {
	p := newPeer(t)
	s := newServer(t, binlog.Options{})
	p.follow(s)
	conn, err := s.db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	must := func(statements ...string) {
		t.Helper()
		for _, q := range statements {
			if _, err := conn.ExecContext(context.Background(), q); err != nil {
				t.Fatalf("%.300s: %v", q, err)
			}
		}
	}
	var tables []columntypes.Table
	for _, table := range columntypes.Tables(false) {
		tables = append(tables, table, table.WithoutKey())
	}
	compare := func() {
		t.Helper()
		p.caughtUp(s)
		for _, table := range tables {
			same(t, s.db, p.db, "SELECT "+table.Shown()+" FROM test."+table.Name+" ORDER BY id")
		}
	}
	for _, table := range tables {
		rows, loose := table.Rows(), table.LooseRows()
		must("SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES'", table.Create("test"), table.InsertAll("test", 1, rows))
		if len(loose) > 0 {
			must("SET sql_mode = ''", table.InsertAll("test", 1+len(rows), loose))
		}
	}
	compare()
	must("SET sql_mode = 'STRICT_ALL_TABLES'")
	for _, table := range tables {
		must(table.Changes("test")...)
	}
	compare()
}
