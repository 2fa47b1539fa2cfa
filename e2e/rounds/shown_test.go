package rounds

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Where commits wait for two replicas, the one that alone has received a commit shows it to nobody until another one has it too, and
// never where the others decide without it.
func TestReplicasShowWhatStays(t *testing.T) {
	t.Parallel()
	s := newSite(t, setting{replicas: 3, ack: "majority", policy: "strict", timeout: time.Minute, replicasShowWhatStays: true})
	s.await("db1 is the primary and the others follow it", func() bool { return s.primary() == "db1" })
	insert := func(id int) <-chan error {
		told := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, err := s.pools["db1"].ExecContext(ctx, fmt.Sprintf("INSERT INTO shop.seen VALUES (%d)", id))
			told <- err
		}()
		return told
	}
	apart := func(server string) {
		for _, other := range []string{"db3", "db4"} {
			s.must(s.lan.Cut(server, other))
			s.must(s.lan.Cut(other, server))
		}
	}
	received := func() (set string) {
		s.must(s.pools["db2"].QueryRow("SELECT @@global.stack_received").Scan(&set))
		return set
	}
	shows := func(name string, id int) bool {
		var n int
		return s.pools[name].QueryRow("SELECT 1 FROM shop.seen WHERE id = ?", id).Scan(&n) == nil
	}
	// hidden inserts a row of which only db2 hears.
	hidden := func(id int) <-chan error {
		apart("db1")
		before := received()
		told := insert(id)
		s.await("db2 has received it", func() bool { return received() != before })
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if shows("db2", id) {
				t.Fatalf("db2 shows %d, which no other replica has", id)
			}
		}
		return told
	}
	_, err := s.pools["db1"].Exec("CREATE TABLE shop.seen (id INT PRIMARY KEY)")
	s.must(err)
	told := hidden(1)
	s.must(s.lan.Heal())
	s.must(<-told)
	for _, name := range s.names {
		s.await(name+" shows what is answered", func() bool { return shows(name, 1) })
	}

	told = hidden(2)
	s.nodes["db1"].Kill()
	if <-told == nil {
		t.Error("a commit was answered that one replica has acknowledged")
	}
	s.must(s.lan.Heal())
	apart("db2")
	if out, err := s.on("db3", "db", "promote"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if shows("db2", 2) {
		t.Error("db2 shows what is lost")
	}
	s.must(s.lan.Heal())
	s.start("db1")
	s.await("all follow the new primary", func() bool { return s.primary() == "db3" || s.primary() == "db4" })
	for _, name := range s.names {
		s.await(name+" serves", func() bool { return shows(name, 1) })
		if shows(name, 2) {
			t.Errorf("%s shows what is lost", name)
		}
	}
}
