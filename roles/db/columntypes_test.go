package db

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stack/roles/db/columntypes"
)

// Every type of column that the server takes, with the ends of its range and every pattern of NULLs, is the same on a replica:
// what is inserted, what is changed to it and from it, and rows that are found by all that is in them.
func TestReplicaHasEveryColumnType(t *testing.T) {
	_, _, db, replica, _ := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	sets, err := answers(db, "SHOW CHARACTER SET WHERE Charset <> 'binary'")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		if !slices.ContainsFunc(columntypes.Charsets, func(c columntypes.Charset) bool { return strings.HasPrefix(set, strconv.Quote(c.Name)+"|") }) {
			t.Errorf("there is no column in %s", set)
		}
	}
	everyColumnType(t, db, columntypes.Tables(true), func() { inStep(t, db, replica, stackPosition(t, db, replica)) })
}

// And so it is on a replica of MariaDB.
func TestReplicaOfMariaDBHasEveryColumnType(t *testing.T) {
	m := startMariaSource(t)
	replica := follow(t, emptyNode(t), m.port, "SOURCE_LOG_FILE = 'source.000001', SOURCE_LOG_POS = 4")
	everyColumnType(t, m.db, columntypes.Tables(false), func() { inStep(t, m.db, replica, mariaPosition(t, m.db, replica)) })
}

// everyColumnType fills, changes and thins out the tables, each once with a key and once without.
func everyColumnType(t *testing.T, source *sql.DB, tables []columntypes.Table, inStep func()) {
	t.Helper()
	conn, err := source.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(query string, args ...any) (sql.Result, error) {
		return conn.ExecContext(context.Background(), query, args...)
	}
	strict := "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES'"
	for _, of := range tables {
		for _, table := range []columntypes.Table{of, of.WithoutKey()} {
			rows, loose := table.Rows(), table.LooseRows()
			mustExec(t, exec, strict, table.Create("shop"), table.InsertAll("shop", 1, rows))
			if len(loose) > 0 {
				mustExec(t, exec, "SET sql_mode = ''", table.InsertAll("shop", 1+len(rows), loose))
			}
		}
	}
	inStep()
	mustExec(t, exec, strict)
	for _, of := range tables {
		for _, table := range []columntypes.Table{of, of.WithoutKey()} {
			mustExec(t, exec, table.Changes("shop")...)
		}
	}
	inStep()
}
