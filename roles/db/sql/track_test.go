package sql

import (
	"fmt"
	"strings"
	"testing"

	"stack/roles/db/wire"
)

// A session says what has changed to a client that tracks it, and refuses to be asked for
// what it does not say.
func TestSessionTracksItsState(t *testing.T) {
	s := newServer(t)
	c := s.test()
	changes := func() string { return fmt.Sprint(c.State().Changes) }
	c.must("SET autocommit = 0", "SET time_zone = '+02:00'")
	if got := changes(); got != "[]" {
		t.Errorf("a client that does not track is told %s", got)
	}
	c.client.Capabilities |= clientSessionTrack
	c.must("SET autocommit = 1", "SET time_zone = '+03:00'", "SET sql_mode = ''")
	if got := changes(); got != "[{0 autocommit ON} {0 time_zone +03:00}]" {
		t.Errorf("told %s", got)
	}
	if got := changes(); got != "[]" {
		t.Errorf("told twice: %s", got)
	}
	c.must("SET session_track_system_variables = 'sql_mode'", "SET sql_mode = 'ANSI_QUOTES'", "SET time_zone = '+04:00'")
	if got := changes(); got != "[{0 sql_mode ANSI_QUOTES}]" {
		t.Errorf("told %s", got)
	}
	c.must("SET session_track_schema = 0")
	if !c.State().QuietDatabase {
		t.Error("session_track_schema has no effect")
	}
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "SET session_track_gtids = 'OWN_GTID'", "INSERT INTO t VALUES (1)", "SELECT * FROM t")
	got := c.State().Changes
	if len(got) != 1 || got[0].Kind != wire.ChangeGTID || !strings.HasPrefix(got[0].Value, s.store.Server+":") || strings.Contains(got[0].Value, "-1-") {
		t.Errorf("a commit is told as %v", got)
	}
	c.fails(1235, "SET session_track_state_change = 1", "")
	c.fails(1235, "SET session_track_transaction_info = 'STATE'", "")
	c.must("SET session_track_transaction_info = 'OFF'", "SET session_track_state_change = 0")
}

// require_secure_transport turns away clients without TLS, but those of the Unix socket.
func TestRequireSecureTransport(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("SET GLOBAL require_secure_transport = 1")
	defer c.must("SET GLOBAL require_secure_transport = 0")
	for name, client := range map[string]wire.Client{
		"plain": {ID: 901, Account: wire.Account{User: "root", Host: "%"}},
		"unix":  {ID: 902, Account: wire.Account{User: "root", Host: "%"}, Unix: true},
	} {
		session, err := s.engine.Open(t.Context(), client)
		if session != nil {
			session.Close()
		}
		if name == "plain" && (err == nil || !strings.Contains(err.Error(), "3159")) || name == "unix" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
