package sql

import (
	"context"
	"strings"
	"testing"
	"time"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// MariaDB has collations under ids that are none here: they are the nearest that is, or the statement is refused by the id.
func TestReplayUnderCollationsOfMariaDB(t *testing.T) {
	s := newServer(t)
	c := s.test()
	for _, k := range []struct {
		client, server uint16
		want           string // collation of the database, or a part of the error
	}{
		{45, 246, "utf8mb4_unicode_520_ci"},
		{1270, 1270, "utf8mb4_unicode_520_ci"}, // utf8mb4_unicode_520_nopad_ci
		{1069, 1070, "utf8mb4_bin"},            // utf8mb4_general_nopad_ci, utf8mb4_nopad_bin
		{1032, 1032, "latin1_swedish_ci"},      // latin1_swedish_nopad_ci
		{2304, 2304, "utf8mb4_unicode_520_ci"}, // utf8mb4_uca1400_ai_ci
		{2048, 2310, "utf8mb4_bin"},            // utf8mb3_uca1400_ai_ci, utf8mb4_uca1400_nopad_as_ci
		{2304, 2560, "collation of id 2560"},   // ucs2_uca1400_ai_ci
		{323, 324, "collation of id 324"},
		{65535, 45, "collation of id 65535"},
		{45, 17, "collation of id 17"}, // a gap
	} {
		q := event.Query{Text: "CREATE DATABASE made", Client: k.client, Connection: k.server, Server: k.server}
		err := s.engine.Replay(context.Background(), &q, binlog.Origin{Server: 7, Committed: time.Now().UnixMicro()}, nil)
		if strings.HasPrefix(k.want, "collation") {
			if err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("%d, %d: %v, want %s", k.client, k.server, err, k.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d, %d: %v", k.client, k.server, err)
			continue
		}
		c.want("SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'made'", k.want)
		c.must("DROP DATABASE made")
	}
}
