package dump_test

import (
	"errors"
	"hash/crc32"
	"testing"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/dump"
)

// FuzzOpen asks for a log at any place and by any set, in each dialect. It is refused with a reason, or the stream ends where the
// log does, and is of whole events whose sums are right.
func FuzzOpen(f *testing.F) {
	s := newServer(f, binlog.Options{})
	for _, text := range []string{"CREATE TABLE test.t (id INT PRIMARY KEY, v VARCHAR(20), j JSON)", "INSERT INTO test.t VALUES (1, 'a', '{}'), (2, 'b', NULL)", "FLUSH LOGS",
		"UPDATE test.t SET v = 'c'", "DELETE FROM test.t WHERE id = 1", "FLUSH LOGS", "DROP TABLE test.t"} {
		s.must(text)
	}
	source := dump.New(s.txn.Binlog(), s.txn.ExecutedSet)
	own := s.store.Server
	for _, text := range []string{"", own + ":1-5", own + ":1-99", own + ":2", "6f0b2a0e-1d7c-4b67-9a51-0123456789ab:1-5:9," + own + ":1-3"} {
		set, err := event.ParseGTIDs(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("", uint64(0), set.SIDBlock(), true, false, true)
		f.Add("", uint64(0), set.SIDBlock(), true, true, false)
	}
	for _, offset := range []uint64{0, 4, 5, 200, 1 << 31, 1<<32 - 1} {
		f.Add("binlog.000001", offset, []byte(nil), false, false, false)
		f.Add("binlog.000002", offset, []byte(nil), false, true, true)
	}
	f.Add("../binlog", uint64(4), []byte(nil), false, false, false)
	f.Fuzz(func(t *testing.T, file string, offset uint64, block []byte, byGTID, maria, sums bool) {
		q := dump.Request{File: file, Offset: offset, ByGTID: byGTID, MariaDB: maria, Checksums: sums}
		var err error
		if q.Executed, err = event.ParseSIDBlock(block); byGTID && err != nil {
			return
		}
		st, err := source.Open(t.Context(), q)
		if err != nil {
			if refused := dump.Refused(""); !errors.As(err, &refused) || refused == "" {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		defer st.Close()
		for range 10_000 {
			ev, err := st.Next(t.Context(), false)
			if err != nil {
				if refused := dump.Refused(""); !errors.As(err, &refused) {
					t.Fatalf("ends with %v", err)
				}
				return
			}
			if ev == nil {
				return
			}
			checkSent(t, ev, sums)
		}
		t.Fatal("the stream does not end")
	})
}

// checkSent looks at an event as a reader gets it.
func checkSent(t *testing.T, ev []byte, sums bool) {
	t.Helper()
	if len(ev) < event.HeaderSize {
		t.Fatalf("an event of %d bytes", len(ev))
	}
	size := uint32(ev[9]) | uint32(ev[10])<<8 | uint32(ev[11])<<16 | uint32(ev[12])<<24
	if int(size) != len(ev) {
		t.Fatalf("an event of %d bytes says %d", len(ev), size)
	}
	if !sums {
		return
	}
	body, sum := ev[:len(ev)-4], ev[len(ev)-4:]
	if want := crc32.ChecksumIEEE(body); uint32(sum[0])|uint32(sum[1])<<8|uint32(sum[2])<<16|uint32(sum[3])<<24 != want {
		t.Fatalf("the sum of an event of type %d is wrong", ev[4])
	}
}
