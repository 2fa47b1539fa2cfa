package sql

import (
	"fmt"
	"testing"
	"time"

	"stack/roles/db/group"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
	"stack/roles/internal/dbcheck"
)

// A balancer may ask for the role and nothing else; any other client may ask for it too, where there is a site.
func TestBalancersAskForTheRoleOnly(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	root.fails(1227, dbcheck.Statement)
	state := dbcheck.State{Name: "db2", Epoch: 1 << 63, Primary: "db1", Follows: true, Lag: 1500 * time.Millisecond, LagKnown: true}
	s.engine.SetSite("one", "two", nil, func() dbcheck.State { return state }, func() error { return nil }, func() uint64 { return 0 })
	b := s.login(dbcheck.Account, "%", "")
	b.want(dbcheck.Statement, "db2|9223372036854775808|db1|0|1|1500")
	state.LagKnown, state.Open, state.Follows = false, true, false
	b.want(dbcheck.Statement, "db2|9223372036854775808|db1|1|0|NULL")
	accounts, err := s.engine.Accounts(t.Context(), dbcheck.Account)
	if err != nil || len(accounts) != 1 || !accounts[0].Require.SSL {
		t.Errorf("the account is %+v %v", accounts, err)
	}
	for _, query := range []string{
		"SHOW STACK STATE", "SHOW STACK STATE FULL", "STACK ACCEPT 64 'db2'", "STACK OPEN 64",
		"SELECT * FROM test.t", "DELETE FROM test.t", "CREATE DATABASE d", "SHOW BINARY LOGS", "SET GLOBAL max_connections = 1",
		"SELECT * FROM mysql.user", "CREATE USER x", "SHUTDOWN", "KILL 1",
	} {
		if got, err := b.run(query); err == nil {
			t.Errorf("%s: allowed: %v", query, got.rows)
		}
	}
	root.want(dbcheck.Statement, "db2|9223372036854775808|db1|1|0|NULL")
	root.want("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'stack.%'", "0")
	root.must("DELETE FROM t")
}

// A replica whose old connection ends after it has come back on another one is still there.
func TestReplicaThatHasComeBackIsConnected(t *testing.T) {
	s := newServer(t)
	nothing := func() error { return nil }
	s.engine.SetSite("one", "two", nil, func() dbcheck.State { return dbcheck.State{} }, nothing, func() uint64 { return 0 })
	if err := s.engine.db.SetAckPolicy(txn.AckPolicy{Members: []string{"db2"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.db.Acknowledge("db2", 0, 0); err != nil {
		t.Fatal(err)
	}
	var dumps []wire.Dump
	for range 2 {
		c := s.login(group.Account, "%", "")
		c.must("SET @stack_replica = 'db2', @replica_uuid = '11111111-2222-3333-4444-555555555555'")
		d, err := c.Dump(t.Context(), wire.DumpFrom{Server: 5, ByGTID: true})
		if err != nil {
			t.Fatal(err)
		}
		dumps = append(dumps, d)
	}
	for i, want := range []string{"[false]", "[true]"} {
		dumps[i].Close()
		var gone []bool
		for _, m := range s.engine.db.AckStatus().States {
			gone = append(gone, m.Gone)
		}
		if fmt.Sprint(gone) != want {
			t.Errorf("after connection %d gone is %v, want %s", i+1, gone, want)
		}
	}
}
