package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dolthub/vitess/go/mysql"

	"stack/appliance/config"
	"stack/roles/db/binlog/event"
	"stack/roles/db/group"
	"stack/roles/db/relay"
	"stack/roles/db/rewind"
	"stack/roles/db/store"
)

// siteNode is a node of a site of two.
func siteNode(t *testing.T) *config.Node {
	node := testNode(t)
	node.Members = []config.Member{{Name: "db1", Roles: []string{"db"}}, {Name: "db2", Roles: []string{"db"}, DB: netip.MustParseAddrPort("127.0.0.1:1")}}
	return node
}

func memberOf(t *testing.T, node *config.Node, d *data) *member {
	t.Helper()
	m, err := newMember(node, d, slog.New(slog.DiscardHandler), "")
	if err != nil {
		t.Fatal(err)
	}
	m.opened, m.demoted = func() {}, func() {}
	return m
}

// transactionsOf are the transactions of a server's log, as a replica receives them.
func transactionsOf(t *testing.T, d *data) (list []relay.Record) {
	t.Helper()
	r, err := d.db.Binlog().OpenGTID(mysql.Mysql56GTIDSet{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		ev, _, _, err := r.Read(false)
		if err != nil {
			t.Fatal(err)
		}
		if ev == nil {
			return list
		}
		raw := append([]byte(nil), ev.Bytes[:len(ev.Bytes)-event.ChecksumSize]...)
		switch event.Type(raw[4]) {
		case event.TypeFormatDescription, event.TypePreviousGTIDs, event.TypeRotate:
			continue
		case event.TypeGTID:
			g, err := event.ParseGTID(raw)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, relay.Record{First: true, Last: true, ID: g.ID(), File: "binlog.000001", Offset: ev.Position.Offset})
		}
		last := &list[len(list)-1]
		last.Events = append(last.Events, raw)
	}
}

// receive puts transactions into a relay log.
func receive(t *testing.T, d *data, list []relay.Record) {
	t.Helper()
	for i := range list {
		if err := d.relay.Append(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.relay.Sync(); err != nil {
		t.Fatal(err)
	}
}

// A server that has received and not applied counts as having it, after a restart too, and applies it before it takes writes as the
// primary. What another primary lacks is cut off first, and kept in a file.
func TestWhatIsReceivedCounts(t *testing.T) {
	ctx := context.Background()
	source := openTest(t, testNode(t))
	defer source.close()
	err := source.engine.Do(ctx, "CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)", "INSERT INTO shop.t VALUES (2)", "INSERT INTO shop.t VALUES (3)")
	if err != nil {
		t.Fatal(err)
	}
	list := transactionsOf(t, source)
	all := source.db.ExecutedSet()
	short := strings.TrimSuffix(all, fmt.Sprint(len(list))) + fmt.Sprint(len(list)-1)
	for name, errant := range map[string]bool{"promoted": false, "follows a primary that lacks the last": true} {
		t.Run(name, func(t *testing.T) {
			node := siteNode(t)
			d := openTest(t, node)
			receive(t, d, list)
			for range 2 {
				if err := d.close(); err != nil {
					t.Fatal(err)
				}
				d = openTest(t, node)
			}
			defer func() {
				if err := d.close(); err != nil {
					t.Error(err)
				}
			}()
			m := memberOf(t, node, d)
			if s, err := m.State(ctx); err != nil || s.Executed != "" || s.Received != all || s.Known().Executed != all {
				t.Fatalf("%+v, %v, want %s received", s, err, all)
			}
			has, err := m.Accept(ctx, 64, "")
			if err != nil || has != all {
				t.Fatalf("it answers that it has %q, %v, want %s", has, err, all)
			}
			want := fmt.Sprint(3)
			if errant {
				if _, err := m.Accept(ctx, 64, "db2"); err != nil {
					t.Fatal(err)
				}
				primary := &group.State{Name: "db2", Epoch: 64, Primary: "db2", Open: true, Executed: short, Server: takenBackServer}
				if err := m.follow([]*group.State{primary}); err != nil {
					t.Fatal(err)
				}
				if d.replica.Holds() != short {
					t.Errorf("%s is left, want %s", d.replica.Holds(), short)
				}
				files, err := rewind.Files(d.store)
				if err != nil || len(files) != 1 || !strings.HasSuffix(files[0], fmt.Sprintf("-from-%d.binlog", len(list))) {
					t.Errorf("files of what was cut off: %v, %v", files, err)
				}
				want = fmt.Sprint(2) // applied, though the primary does not answer
			} else if err := m.Open(ctx, 64); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(time.Minute); d.replica.Pending() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d transactions are not applied", d.replica.Pending())
				}
			}
			if s, err := m.State(ctx); err != nil || s.Open == errant {
				t.Errorf("%+v, %v", s, err)
			}
			// The engine tells nothing but errors.
			if err := d.engine.Do(ctx, "SELECT IF((SELECT COUNT(*) FROM shop.t) = "+want+", 1, (SELECT 1 UNION SELECT 2))"); err != nil {
				t.Errorf("not %s rows: %v", want, err)
			}
			if err := d.engine.Do(ctx, "SELECT IF((SELECT COUNT(*) FROM shop.t) = 7, 1, (SELECT 1 UNION SELECT 2))"); err == nil {
				t.Error("any number of rows is right")
			}
			if errant { // @@read_only is the process's: the next test's server is no follower
				if err := errors.Join(m.stopFollowing(), d.replica.Reset(true)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// What a server has received and cannot apply keeps it from becoming the primary, and does not count from then on: the next promotion
// that takes it all the same takes it without, and what it could not apply is kept in a file.
func TestWhatCannotBeAppliedDoesNotCount(t *testing.T) {
	ctx := context.Background()
	source := openTest(t, testNode(t))
	defer source.close()
	if err := source.engine.Do(ctx, "CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	node := siteNode(t)
	d := openTest(t, node)
	defer d.close()
	receive(t, d, transactionsOf(t, source)[1:]) // for a table in a database that is not there
	m := memberOf(t, node, d)
	if has, err := m.Accept(ctx, 64, ""); err != nil || has == "" {
		t.Fatalf("before it has tried it has %q, %v", has, err)
	}
	if err := m.Open(ctx, 64); err == nil || !strings.Contains(err.Error(), "cannot be applied") {
		t.Fatalf("it becomes the primary: %v", err)
	}
	for range 2 { // it stays so, whatever is tried
		if s, err := m.State(ctx); err != nil || !s.Blank || s.Received != "" || s.Open {
			t.Fatalf("%+v, %v", s, err)
		}
		if err := m.Open(ctx, 64); err == nil {
			t.Fatal("it becomes the primary of the epoch that has counted what it received")
		}
	}
	if has, err := m.Accept(ctx, 128, ""); err != nil || has != "" {
		t.Fatalf("it says that it has %q, %v", has, err)
	}
	if err := m.Open(ctx, 128); err != nil {
		t.Fatal(err)
	}
	files, err := rewind.Files(d.store)
	if s, _ := m.State(ctx); !s.Open || s.Blank || d.replica.Holds() != "" || len(files) != 1 || err != nil {
		t.Errorf("%+v, %v, %v", s, files, err)
	}
}

// A relay log that is damaged is put aside, and what it acknowledged is not counted on until the primary's data is here.
func TestDamagedRelayLog(t *testing.T) {
	node := siteNode(t)
	d := openTest(t, node)
	var list []relay.Record
	for n := range 20 {
		list = append(list, relay.Record{First: true, Last: true, ID: event.ID{UUID: [16]byte{1}, Number: int64(n + 1)}, Events: [][]byte{make([]byte, 1<<20)}})
	}
	receive(t, d, list)
	m := memberOf(t, node, d)
	if _, err := m.Accept(t.Context(), 64, "db2"); err != nil {
		t.Fatal(err)
	}
	if err := m.filled(&group.State{Name: "db2", Epoch: 64, Primary: "db2", Open: true}); err != nil {
		t.Fatal(err)
	}
	if s, _ := m.State(t.Context()); s.Blank || s.Received == "" {
		t.Fatalf("%+v", s)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(node.DB.DataDir, "relay", "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 5<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for start := range 2 {
		d = openTest(t, node)
		m = memberOf(t, node, d)
		if s, _ := m.State(t.Context()); !s.Blank || s.Received != "" {
			t.Errorf("start %d: %+v", start, s)
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(node.DB.DataDir, "relay-damaged", "*")); len(aside) != len(files) {
		t.Errorf("put aside: %v", aside)
	}
	d = openTest(t, node)
	defer d.close()
	if b, err := store.Get(d.store.DB, store.MetaRelayLostKey()); b != nil || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}
