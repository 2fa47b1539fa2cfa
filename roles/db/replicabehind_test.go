package db

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stack/roles/db/replica"
)

// patientNode is an empty node whose applier waits for locks as long as it takes.
func patientNode(t *testing.T) *running {
	t.Helper()
	node := testNode(t)
	node.DB.Databases, node.DB.LockWaitTimeout = nil, time.Hour
	return &running{t: t, node: node}
}

// hold locks a row of a replica, so that nothing that changes it is applied, until release.
func hold(t *testing.T, replica *sql.DB, query string) (release func()) {
	t.Helper()
	tx, err := replica.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// metric is the value of a metric of a role in this process.
func (r *running) metric(name string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

// startFollower starts a follower in this process. Afterwards it is none: @@read_only is the process's.
func startFollower(t *testing.T, node *running, change string) (*running, *sql.DB) {
	t.Helper()
	f := start(t, node.node)
	db := f.rootDB("")
	mustExec(t, db.Exec, change, "START REPLICA")
	t.Cleanup(func() { mustExec(t, f.rootDB("").Exec, "STOP REPLICA", "RESET REPLICA ALL") })
	return f, db
}

// The transactions are counted that are not durable here: those that have come, and those of which the source has
// told when it was connected.
func TestReplicaCountsWhatIsBehind(t *testing.T) {
	source, db := startSource(t)
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY, n INT)", "INSERT INTO shop.t VALUES (1, 0)")
	f, follower := startFollower(t, patientNode(t), changeTo("SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1")+fmt.Sprint(source.addr.Port()))
	inStep(t, db, follower, stackPosition(t, db, follower))
	behind := func(when string, want uint64, states ...replica.State) {
		t.Helper()
		var st replica.Status
		until(t, time.Minute, fmt.Sprintf("%s %d transactions are behind", when, want), func() bool {
			st, _ = f.role.data.replica.Status()
			return st.Behind == want && st.State == states[0]
		})
		if got := f.metric("stack_db_replica_behind_transactions"); got != float64(want) {
			t.Errorf("%s the metric says %v, want %d", when, got, want)
		}
		if s := f.role.source(); s.Behind != want {
			t.Errorf("%s the status says %d, want %d", when, s.Behind, want)
		}
	}
	behind("in step", 0, replica.StateStreaming)
	release := hold(t, follower, "SELECT n FROM shop.t WHERE id = 1 FOR UPDATE")
	mustExec(t, db.Exec, "UPDATE shop.t SET n = 1 WHERE id = 1")
	behind("with one that waits", 1, replica.StateStreaming)
	for i := range 5 {
		mustExec(t, db.Exec, "INSERT INTO shop.t VALUES ("+strconv.Itoa(i+2)+", 0)")
	}
	behind("with five behind it", 6, replica.StateStreaming)
	mustExec(t, follower.Exec, "STOP REPLICA", "START REPLICA")
	behind("connected anew", 6, replica.StateStreaming)
	mustExec(t, follower.Exec, "STOP REPLICA")
	behind("stopped", 6, replica.StateStopped)
	release()
	mustExec(t, follower.Exec, "START REPLICA")
	inStep(t, db, follower, stackPosition(t, db, follower))
	behind("at the end", 0, replica.StateStreaming)
}

// Where the applier is held the source waits, and not all that it has is taken into memory.
func TestASlowReplicaHoldsItsSourceBack(t *testing.T) {
	const rows, size = 200, 1 << 20 // each row is a transaction
	source, db := startSource(t)
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY, b LONGBLOB)", "INSERT INTO shop.t VALUES (1, 'a')")
	p := startProcess(t, patientNode(t).node)
	follower := p.rootDB("")
	mustExec(t, follower.Exec, changeTo("SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1")+fmt.Sprint(source.addr.Port()), "START REPLICA")
	inStep(t, db, follower, stackPosition(t, db, follower))
	release := hold(t, follower, "SELECT id FROM shop.t WHERE id = 1 FOR UPDATE")
	mustExec(t, db.Exec, "UPDATE shop.t SET b = 'b' WHERE id = 1")
	at := func() int { // transactions that have come
		set := replicaStatus(t, follower)["Retrieved_Gtid_Set"]
		n, err := strconv.Atoi(set[strings.LastIndexAny(set, ":-")+1:])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	begun, before := at(), highWater(t, p.cmd.Process.Pid)
	for i := range rows {
		if _, err := db.Exec("INSERT INTO shop.t VALUES (?, REPEAT(?, ?))", i+2, string(rune('a'+i%26)), size); err != nil {
			t.Fatal(err)
		}
	}
	last := 0
	until(t, 3*time.Minute, "the receiver waits", func() bool {
		time.Sleep(time.Second)
		was := last
		last = at()
		return last == was && last > begun+8
	})
	if came := last - begun; came > rows/2 {
		t.Errorf("%d of %d MB have come while nothing is applied", came, rows)
	}
	grown := highWater(t, p.cmd.Process.Pid) - before
	t.Logf("%d MB have come, the replica has %d MB more memory", last-begun, grown>>20)
	if grown > rows*size*3/4 && !raceDetector {
		t.Errorf("the replica has taken %d MB of memory for %d MB", grown>>20, rows)
	}
	release()
	until(t, 3*time.Minute, "all of it is there", stackPosition(t, db, follower))
	const sums = "SELECT id, LENGTH(b), MD5(b) FROM shop.t"
	a, err := answers(db, sums)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := answers(follower, sums); err != nil || !slices.Equal(a, b) || len(a) != rows+1 {
		t.Errorf("%d rows on the source, %d on the replica, or others: %v", len(a), len(b), err)
	}
}

// That the data is not the source's is remembered over restarts, and forgotten once something fits again.
func TestReplicaThatFitsAgain(t *testing.T) {
	source, db := startSource(t)
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY, s VARCHAR(20))", "INSERT INTO shop.t VALUES (1, 'a'), (2, 'b')")
	change := changeTo("SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1") + fmt.Sprint(source.addr.Port())
	f, follower := startFollower(t, patientNode(t), change)
	inStep(t, db, follower, stackPosition(t, db, follower))
	mustExec(t, follower.Exec, "STOP REPLICA", "RESET REPLICA ALL", "UPDATE shop.t SET s = 'other' WHERE id = 2")
	mustExec(t, follower.Exec, changeTo("GET_SOURCE_PUBLIC_KEY = 1, "+hereOn(t, db))+fmt.Sprint(source.addr.Port()), "START REPLICA")
	mustExec(t, db.Exec, "UPDATE shop.t SET s = 'y' WHERE id = 2")
	again := func() {
		t.Helper()
		f.close()
		f.open()
		follower = f.rootDB("")
	}
	for range 2 {
		if st := stopped(t, follower); st["Last_SQL_Errno"] != "1032" {
			t.Fatalf("another row: %v", st)
		}
		again()
	}
	mustExec(t, follower.Exec, "CHANGE REPLICATION SOURCE TO "+hereOn(t, db), "START REPLICA")
	if st, _ := f.role.data.replica.Status(); st.Diverged == "" || f.metric("stack_db_replica_diverged") != 1 {
		t.Error("it is forgotten before anything was applied")
	}
	there := func(id string) func() bool {
		return func() bool {
			return columns(t, follower, "SELECT COUNT(*) AS n FROM shop.t WHERE id = "+id)["n"] == "1"
		}
	}
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (3, 'c')")
	until(t, time.Minute, "what fits is applied", there("3"))
	until(t, time.Minute, "it is forgotten", func() bool {
		st, _ := f.role.data.replica.Status()
		return st.Diverged == "" && f.metric("stack_db_replica_diverged") == 0
	})
	again()
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (4, 'd')")
	until(t, time.Minute, "the source is followed after a restart", there("4"))
}
