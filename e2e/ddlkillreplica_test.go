package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestKillReplicaDuringDDL kills a replica while it applies such statements. In the end it has what the primary has.
func TestKillReplicaDuringDDL(t *testing.T) {
	r, kills := newDDLRun(t)
	primary := r.primary
	openDDLTables(primary)
	r.books.open(primary)
	r.books.fill(primary)
	primary.exec("CREATE USER copier IDENTIFIED BY 'secret'", "GRANT REPLICATION SLAVE ON *.* TO copier")
	backup := primary.site.path("backup")
	must(t, primary.site.dir, "db", "backup", backup, "--socket", primary.socket())
	replica := newDDLServer(t, primary.site, 1)
	must(t, primary.site.dir, "db", "restore", backup, "--config", replica.file())
	replica.start()
	replica.exec(fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = %d, SOURCE_USER = 'copier', SOURCE_PASSWORD = 'secret', SOURCE_SSL = 1, SOURCE_SSL_CA = '%s', SOURCE_AUTO_POSITION = 1",
		primary.site.base, primary.site.path("secrets/ca.crt")), "START REPLICA")
	r.books.start(primary.db)
	for kill := 0; kill < (kills+1)/2; {
		s := r.deck.next()
		primary.exec(s.before...)
		r.follows(replica)
		file, offset := replica.position()
		r.run(primary, s)
		killed := r.random.IntN(3) > 0
		if killed {
			kill++
			m := r.moment(s)
			// The replica's part begins when the primary's ends, and takes as long.
			part, end := context.WithTimeout(context.Background(), 50*time.Millisecond+3*r.took[s.kind]/2)
			m.wait(replica.db, part.Done())
			end()
			replica.kill()
			replica.start()
			replica.check()
			t.Logf("killed %v behind %s", m, s.text)
		}
		r.follows(replica)
		if got, want := replica.schema(), primary.schema(); got != want {
			t.Errorf("%s: the replica has\n%s\nthe primary\n%s", s.text, got, want)
		}
		if n := replica.logged(s.logged, file, offset); n != 1 {
			t.Errorf("%s is %d times in the binary log of the replica", s.text, n)
		}
		if t.Failed() {
			t.Fatalf("kill %d: %s", kill, s.text)
		}
	}
	r.books.stop()
	r.follows(replica)
	r.books.judge(primary, r.deck.table)
	r.books.judge(replica, r.deck.table)
	for _, text := range []string{"SELECT @@gtid_executed", "CHECKSUM TABLE " + strings.Join(primary.tables(false), ", ")} {
		if got, want := fmt.Sprint(replica.rows(text)), fmt.Sprint(primary.rows(text)); got != want {
			t.Errorf("%s: the replica has %s, the primary %s", text, got, want)
		}
	}
	replica.check()
	if left := replica.scratch(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// follows awaits that the replica has what the primary has by now.
func (r *ddlRun) follows(replica *ddlServer) {
	r.t.Helper()
	position := r.primary.rows("SELECT @@gtid_executed")[0][0]
	if got := replica.rows("SELECT WAIT_FOR_EXECUTED_GTID_SET('" + position + "', 60)"); got[0][0] != "0" {
		r.t.Fatalf("the replica does not follow: %q", replica.rows("SHOW REPLICA STATUS"))
	}
}
