package event

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"stack/roles/db/store"
)

const testServer = 7

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// table makes a table whose columns are c1, c2, …; those from the primary-th on may be
// NULL.
func table(t testing.TB, primary int, columns ...store.ColumnType) *store.Table {
	t.Helper()
	desc := &store.TableDesc{ID: 5, Version: 1, Database: "site", Name: "things"}
	var layout store.Layout
	layout.Version = 1
	for i, ct := range columns {
		id := uint16(i + 1)
		desc.Columns = append(desc.Columns, store.ColumnDesc{ID: id, Name: fmt.Sprintf("c%d", i+1), Type: ct, Nullable: i >= primary})
		layout.Columns = append(layout.Columns, store.LayoutColumn{ID: id, Type: ct})
		if i < primary {
			desc.Primary.Columns = append(desc.Primary.Columns, store.IndexColumnDesc{Column: id})
		}
	}
	desc.Layouts = []store.Layout{layout}
	out, err := store.NewTable(desc)
	must(t, err)
	return out
}

// finished is a file of the log made of the given events.
func finished(t testing.TB, events []byte) []byte {
	t.Helper()
	b := AppendFormatDescription(nil, testServer, 1, 1, "8.0.40-stack")
	b = append(AppendPreviousGTIDs(b, testServer, 1, mysql.Mysql56GTIDSet{}), events...)
	file := []byte(Magic)
	for len(b) > 0 {
		ev, size, rest, err := Next(b)
		must(t, err)
		at := len(file)
		file = Finish(file, ev, uint32(len(file)+int(size)))
		if uint64(len(file)-at) != size {
			t.Fatalf("an event of %d bytes says that it has %d", len(file)-at, size)
		}
		must(t, Verify(file[at:]))
		_, err = Describe(file[at:])
		must(t, err)
		b = rest
	}
	return file
}

// read gives a file to go-mysql's parser, which knows nothing of this package.
func read(t testing.TB, file []byte) []*replication.BinlogEvent {
	t.Helper()
	p := replication.NewBinlogParser()
	p.SetVerifyChecksum(true)
	p.SetTimestampStringLocation(time.UTC)
	var list []*replication.BinlogEvent
	must(t, p.ParseReader(bytes.NewReader(file[len(Magic):]), func(e *replication.BinlogEvent) error {
		list = append(list, e)
		return nil
	}))
	return list
}

func insert(t testing.TB, of *store.Table, rows ...sql.Row) []byte {
	t.Helper()
	r := Rows{Server: testServer}
	for _, row := range rows {
		must(t, r.Insert(context.Background(), of, row))
	}
	return r.Close()
}

func TestTransactionIsReadByAnother(t *testing.T) {
	of := table(t, 1, columnType(t, int32Type))
	head := AppendQuery(nil, testServer, &Query{Text: "BEGIN"})
	rows := insert(t, of, sql.Row{int32(1)}, sql.Row{int32(-2)})
	rest, err := FileSize(append(append([]byte(nil), head...), rows...))
	must(t, err)
	uuid, err := ParseUUID("6f0b2a0e-1d7c-4b67-9a51-0123456789ab")
	must(t, err)
	_, whole := GTIDSize(rest+XIDSize, false)
	b := AppendGTID(nil, testServer, 3, &GTID{UUID: uuid, Number: 9, LastCommitted: 4, Sequence: 5, Committed: 1700000000123456, Size: whole, Version: 80040})
	b = AppendXID(append(append(b, head...), rows...), testServer, 3, 77)
	if n, _ := FileSize(b); n != whole {
		t.Errorf("the transaction has %d bytes, its GTID says %d", n, whole)
	}
	b = AppendQuery(b, testServer, &Query{
		Text: "CREATE TABLE x (a INT)", Database: "site", Thread: 5, Mode: 1 << 20, User: "u", Host: "h",
		Client: 45, Connection: 46, Server: 33, TimeZone: "+01:00", Begun: time.UnixMicro(1700000000123456),
	})
	b = AppendRotate(b, testServer, 3, "binlog.000002")
	list := read(t, finished(t, b))
	var kinds []string
	for _, e0 := range list {
		kinds = append(kinds, e0.Header.EventType.String())
		switch e := e0.Event.(type) {
		case *replication.GTIDEvent:
			if e.GNO != 9 || !bytes.Equal(e.SID, uuid[:]) || e.LastCommitted != 4 || e.SequenceNumber != 5 ||
				e.ImmediateCommitTimestamp != 1700000000123456 || e.TransactionLength != whole || e.ImmediateServerVersion != 80040 {
				t.Errorf("GTID is %+v", e)
			}
		case *replication.XIDEvent:
			if e.XID != 77 {
				t.Errorf("XID is %d", e.XID)
			}
		case *replication.QueryEvent:
			if string(e.Query) != "BEGIN" && (string(e.Schema) != "site" || e.SlaveProxyID != 5 || string(e.Query) != "CREATE TABLE x (a INT)" || e0.Header.Timestamp != 1700000000) {
				t.Errorf("query is %s %s %d", e.Schema, e.Query, e.SlaveProxyID)
			}
			// Flags, sql_mode, character sets, time zone, user, microseconds.
			want := "00" + "00000000" + "01" + "0000100000000000" + "04" + "2d002e002100" + "05" + "06" + "2b30313a3030" + "0b" + "0175" + "0168" + "0d" + "40e201"
			if got := hex.EncodeToString(e.StatusVars); string(e.Query) != "BEGIN" && got != want {
				t.Errorf("status variables are %s, want %s", got, want)
			}
		case *replication.RotateEvent:
			if string(e.NextLogName) != "binlog.000002" || e.Position != 4 {
				t.Errorf("rotate is %+v", e)
			}
		case *replication.FormatDescriptionEvent:
			if e.ServerVersion != "8.0.40-stack" || e.ChecksumAlgorithm != 1 {
				t.Errorf("format is %+v", e)
			}
		}
	}
	want := "[FormatDescriptionEvent PreviousGTIDsEvent GTIDEvent QueryEvent TableMapEvent WriteRowsEventV2 XIDEvent QueryEvent RotateEvent]"
	if got := fmt.Sprint(kinds); got != want {
		t.Errorf("events are %s, want %s", got, want)
	}
}

// The size of the transaction stands in the GTID event, whose own size depends on it.
func TestGTIDSize(t *testing.T) {
	for _, near := range []uint64{0, 251, 1 << 16, 1 << 24} {
		for rest := near - min(near, 120); rest < near+120; rest++ {
			for _, original := range []int64{0, 1700000000123456} {
				size, whole := GTIDSize(rest, original != 0)
				g := GTID{Number: 7, Sequence: 3, LastCommitted: 2, Committed: 1700000000654321, Original: original, Size: whole, Version: 80040}
				ev := AppendGTID(nil, 1, 1, &g)
				if len(ev)+ChecksumSize != size || uint64(size)+rest != whole {
					t.Fatalf("rest %d: size %d (really %d), whole %d", rest, size, len(ev)+ChecksumSize, whole)
				}
				for _, ev := range [][]byte{ev, Finish(nil, ev, 1)} {
					if back, err := ParseGTID(ev); err != nil || back != g {
						t.Fatalf("%+v became %+v, %v", g, back, err)
					}
				}
			}
		}
	}
}

func TestPreviousGTIDs(t *testing.T) {
	text := "6f0b2a0e-1d7c-4b67-9a51-0123456789ab:1-5:9,7f0b2a0e-1d7c-4b67-9a51-0123456789ab:3"
	set, err := ParseGTIDs(text)
	must(t, err)
	ev := AppendPreviousGTIDs(nil, 1, 1, set)
	back, err := ParsePreviousGTIDs(ev)
	must(t, err)
	if back.String() != text {
		t.Errorf("%s became %s", text, back)
	}
}

// Rows share events as long as table and kind stay; an event ends at 8 KiB; what is
// rolled back leaves nothing.
func TestRowsShareEvents(t *testing.T) {
	ctx := context.Background()
	a, b := table(t, 1, columnType(t, int32Type), columnType(t, varcharType)), table(t, 1, columnType(t, int32Type))
	row := func(n int) sql.Row { return sql.Row{int32(n), fmt.Sprint(n)} }
	r := Rows{Server: testServer}
	must(t, r.Insert(ctx, a, row(1)))
	m := r.Mark()
	must(t, r.Insert(ctx, a, row(2)))
	must(t, r.Insert(ctx, b, sql.Row{int32(1)}))
	must(t, r.Delete(ctx, a, row(1)))
	must(t, r.RollbackTo(m, nil))
	must(t, r.Insert(ctx, a, row(3)))
	must(t, r.Update(ctx, a, row(3), row(3)))
	must(t, r.Update(ctx, a, row(3), row(4)))
	if err := r.Insert(ctx, a, sql.Row{int32(1), 5}); err == nil {
		t.Error("a number was logged as text")
	}
	must(t, r.Update(ctx, a, row(4), row(5)))
	for n := range 2000 {
		must(t, r.Delete(ctx, b, sql.Row{int32(n)}))
	}
	var got []string
	ends := 0
	for _, e := range read(t, finished(t, r.Close())) {
		if rows, ok := e.Event.(*replication.RowsEvent); ok {
			ends += int(rows.Flags & replication.RowsEventStmtEndFlag)
			if rows.Flags&2 == 0 {
				t.Error("a replica would do again what foreign keys have done")
			}
			got = append(got, fmt.Sprintf("%s %d", e.Header.EventType, len(rows.Rows)))
		} else if e.Header.EventType == replication.TABLE_MAP_EVENT {
			got = append(got, "map")
		}
	}
	want := "[map WriteRowsEventV2 2 map UpdateRowsEventV2 4 map DeleteRowsEventV2 1633 DeleteRowsEventV2 367]"
	if fmt.Sprint(got) != want || ends != 3 {
		t.Errorf("got %v with %d ends, want %s with 3", got, ends, want)
	}
}
