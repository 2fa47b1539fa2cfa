package db

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A row of 64 MiB, whose events are several frames of the protocol each, is written, changed and removed.
func TestReplicaOfAWideRow(t *testing.T) {
	// The source says nothing while it reads an event of 128 MiB.
	_, _, db, replica, _ := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1, SOURCE_HEARTBEAT_PERIOD = 20")
	mustExec(t, db.Exec, "CREATE TABLE shop.wide (id INT PRIMARY KEY, n INT, b LONGBLOB)")
	at := stackPosition(t, db, replica)
	const sums = "SELECT id, n, LENGTH(b) AS l, MD5(b) AS m FROM shop.wide ORDER BY id"
	for _, q := range []string{
		"INSERT INTO shop.wide VALUES (1, 0, REPEAT(SHA2('a', 256), 1048576)), (2, 0, 'short')",
		"UPDATE shop.wide SET n = 1 WHERE id = 1",
		"UPDATE shop.wide SET b = REPEAT(SHA2('b', 256), 1048576) WHERE id = 1",
		"DELETE FROM shop.wide WHERE id = 1",
	} {
		begun := time.Now()
		mustExec(t, db.Exec, q)
		wrote := time.Since(begun)
		until(t, 3*time.Minute, q, func() bool {
			if st := replicaStatus(t, replica); st["Last_SQL_Error"] != "" || st["Last_IO_Error"] != "" {
				t.Fatalf("%s: %s; %s", q, st["Last_SQL_Error"], st["Last_IO_Error"])
			}
			return at()
		})
		t.Logf("%.40s: written in %v, there %v later", q, wrote, time.Since(begun)-wrote)
		a, err := answers(db, sums)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := answers(replica, sums); err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: source %v, replica %v, %v", q, a, b, err)
		}
	}
}

// What mariadb-dump has written is restored into the primary, and then is on the replica.
func TestReplicaOfARestoredDump(t *testing.T) {
	m := startMariaSource(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 7))
	mustExec(t, m.db.Exec, shopTables...)
	mustExec(t, m.db.Exec, "CREATE VIEW shop.v AS SELECT id, name FROM shop.parent", "CREATE PROCEDURE shop.p() SELECT COUNT(*) FROM shop.counter")
	for range 300 {
		step(m.db, r)
	}
	source, _, db, replica, _ := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	// The account of this kind of server.
	dump := strings.ReplaceAll(m.dump("--databases", "shop"), "DEFINER=`root`@`localhost`", "DEFINER=`root`@`%`")
	if out, err := source.mariadb("root", source.secret("db-root"), "", dump); err != nil {
		t.Fatalf("the dump is not taken: %v\n%s", err, out[max(0, len(out)-300):])
	}
	inStep(t, db, replica, stackPosition(t, db, replica))
	if d := difference(m.db, replica, "shop", allSelects); d != "" {
		t.Errorf("what was dumped and the replica differ: %s", d)
	}
	for _, q := range []string{"SELECT COUNT(*) FROM shop.v", "CALL shop.p()"} {
		a, err := answers(db, q)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := answers(replica, q); err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: source %v, replica %v, %v", q, a, b, err)
		}
	}
	// The trigger came too.
	const count = "SELECT n FROM shop.counter WHERE id = 1"
	before := columns(t, replica, count)["n"]
	mustExec(t, db.Exec, "INSERT INTO shop.parent (name) VALUES ('more')")
	inStep(t, db, replica, stackPosition(t, db, replica))
	if after := columns(t, replica, count)["n"]; after == before {
		t.Errorf("the trigger was not restored: %s before and after", after)
	}
}
