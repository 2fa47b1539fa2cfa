package sql

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"stack/roles/db/apply"
	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// However long statements of clients may take: those of a log are repeated to their end, and so are its rows.
func TestStatementTimeIsOfClients(t *testing.T) {
	a := newServer(t)
	c := a.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)")
	b := blankServer(t, nil)
	b.mustFollow(a)
	from := a.db.Binlog().Position()
	c.must("UPDATE t SET n = 2", "SET STATEMENT max_statement_time = 100 FOR ALTER TABLE t ADD COLUMN m INT DEFAULT 5", "CREATE TABLE copied SELECT * FROM t", "UPDATE t SET n = 3")
	if list := a.loggedStatements(from); len(list) == 0 || list[0] != "use `test`; ALTER TABLE t ADD COLUMN m INT DEFAULT 5" {
		t.Errorf("logged is %q", list)
	}
	holder, root := b.test(), b.root()                                 // for whom the time is as it was
	reset := func() { root.must("SET GLOBAL max_statement_time = 0") } // it is the process's
	defer reset()
	root.must("SET GLOBAL max_statement_time = 0.001")
	b.login("root", "%", "test").fails(1969, "SELECT SLEEP(10)")
	// followsLate follows while a client on the replica holds what the log changes next.
	followsLate := func(what, held string) {
		t.Helper()
		holder.must("BEGIN", held)
		followed := make(chan error, 1)
		go func() {
			_, err := b.follow(a)
			followed <- err
		}()
		waitFor(t, func() bool { return b.db.Stats().LockWaiting > 0 || len(followed) > 0 })
		time.Sleep(50 * time.Millisecond) // much longer than a statement may take
		if len(followed) > 0 {
			t.Fatalf("%s did not wait: %v", what, <-followed)
		}
		holder.must("COMMIT")
		if err := <-followed; err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	followsLate("rows", "SELECT * FROM t FOR UPDATE")
	c.must("ALTER TABLE t ADD KEY (n)")
	followsLate("a statement", "SELECT * FROM t FOR UPDATE")
	reset()
	b.sameAs(a)
}

// MariaDB logs SET STATEMENT whole. Variables that are not here, and a time that is over, are nothing to a replica.
func TestReplaySetStatement(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)")
	text := "SET STATEMENT max_statement_time=0.000001, alter_algorithm='COPY' FOR ALTER TABLE t ADD COLUMN n INT"
	origin := binlog.Origin{Server: 7, Committed: time.Now().UnixMicro()}
	if err := s.engine.Replay(context.Background(), &event.Query{Text: text, Database: "test"}, origin, nil); err != nil {
		t.Fatal(err)
	}
	c.want("SELECT column_name FROM information_schema.columns WHERE table_name = 't' ORDER BY 1", "id", "n")
}

// MySQL 5.7 says when a transaction was committed in the headers of its events alone, and a source may have set its clock to 0: the
// log here is whole, and as good as any other.
func TestReplayWithoutTimes(t *testing.T) {
	a := newServer(t)
	c := a.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "CREATE TABLE u SELECT * FROM t", "INSERT INTO u VALUES (3)")
	list := eventsOf(t, a)
	stamps := map[string]uint32{}
	for i, ev := range list {
		if event.Type(ev[4]) != event.TypeGTID {
			continue
		}
		ev = ev[:event.HeaderSize+42]
		binary.LittleEndian.PutUint32(ev[9:], uint32(len(ev)+event.ChecksumSize))
		binary.LittleEndian.PutUint32(ev, uint32(len(stamps)%3)*1_500_000_000)
		g, err := event.ParseGTID(ev)
		if err != nil || g.Committed != 0 {
			t.Fatalf("%+v, %v", g, err)
		}
		list[i], stamps[g.String()] = ev, binary.LittleEndian.Uint32(ev)
	}
	b := blankServer(t, nil)
	applier := apply.New(b.db, b.engine)
	if n, err := applyAll(applier, &list); err != nil || n != len(stamps) {
		t.Fatalf("%d transactions of %d: %v", n, len(stamps), err)
	}
	applier.Close()
	b.test().must("INSERT INTO u VALUES (4)")
	b.restart()
	last := blankServer(t, nil)
	last.mustFollow(b)
	last.sameAs(b)
	for _, ev := range eventsOf(t, b) {
		if event.Type(ev[4]) != event.TypeGTID {
			continue
		}
		g, err := event.ParseGTID(ev)
		if stamp, of := stamps[g.String()]; err != nil || of && g.Original != int64(stamp)*1e6 {
			t.Errorf("%s was committed at %d, not at %d, %v", g, g.Original, stamp, err)
		}
	}
}
