package dump_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/dump"
)

// counted is the position that a MariaDB replica counts (queue_event in its sql/slave.cc).
type counted struct {
	file   string
	offset uint64
}

// take counts an event, and reports whether the log has it: what says only where the reader
// is has not.
func (c *counted) take(ev []byte) bool {
	size, pos := uint64(len(ev)), uint64(binary.LittleEndian.Uint32(ev[13:]))
	switch event.Type(ev[4]) {
	case event.TypeRotate:
		b := ev[event.HeaderSize:]
		c.offset, c.file = binary.LittleEndian.Uint64(b), string(b[8:])
		return false
	case event.TypeFormatDescription:
		if pos != 0 {
			c.offset += size
		}
		return false
	}
	c.offset = max(c.offset+size, pos)
	return true
}

// A MariaDB replica whose stream is cut behind any packet comes back with the position that it
// has counted, and gets what it has not: where events became shorter, where they became longer, and where
// what it has counted is by chance where another event begins.
func TestMariaDBGoesOnFromEveryEvent(t *testing.T) {
	s := newServer(t, binlog.Options{FileSize: 24 << 10})
	// Statements that follow each other on one table share an event.
	s.must("CREATE TABLE test.t (id INT PRIMARY KEY AUTO_INCREMENT, j JSON)", "CREATE TABLE test.u (id INT PRIMARY KEY AUTO_INCREMENT, j JSON)",
		"CREATE TABLE test.long (id INT PRIMARY KEY, s VARCHAR(20) COLLATE utf8mb4_0900_ai_ci, z VARCHAR(20) COLLATE utf8mb4_0900_ai_ci)")
	insert := func(documents ...string) {
		t.Helper()
		statements := []string{"BEGIN"}
		for i, d := range documents {
			statements = append(statements, "INSERT INTO test."+"tu"[i%2:i%2+1]+" (j) VALUES ('"+d+"')")
		}
		s.must(append(statements, "COMMIT")...)
	}
	// Each [] has 7 bytes and becomes 4 with what separates it, each 100 has 3 and becomes 4 or 5: what is counted is
	// behind by any small number, once by the length of an event.
	short := func(arrays, numbers int) string {
		return "[" + strings.TrimSuffix(strings.Repeat("[],", arrays)+strings.Repeat("100,", numbers), ",") + "]"
	}
	wide := "[" + strings.TrimSuffix(strings.Repeat("-9000000000000000001,", 60), ",") + "]" // 11 bytes each become 21
	for n := range 60 {
		insert(short(n/4, n%4), "1", "2", "3", "4")
		switch n % 10 {
		case 0:
			insert(wide)
		case 3:
			insert("1", wide, short(100, 0), wide)
		case 6:
			s.must(fmt.Sprintf("CREATE TABLE test.long%d (id INT PRIMARY KEY, s VARCHAR(20) COLLATE utf8mb4_0900_ai_ci)", n))
		case 8:
			s.must("UPDATE test.t SET j = '" + wide + "' WHERE id < 4")
		}
	}
	begins := map[counted]int{} // which event of the log, of those that say more than where the reader is
	for _, ev := range s.logged(binlog.Position{File: 1}) {
		if new(counted).take(ev.Bytes) {
			begins[counted{binlog.FileName(ev.File), ev.Offset}] = len(begins)
		}
	}
	for _, checksum := range []string{"CRC32", "NONE"} {
		r := s.raw("SET @mariadb_slave_capability = 4", "SET @master_binlog_checksum = '"+checksum+"'")
		read := func(from counted) [][]byte {
			t.Helper()
			r.dumpAt(nonBlock, 0, uint32(from.offset), from.file)
			events, err := r.until()
			if err != nil {
				t.Fatalf("from %v: %v", from, err)
			}
			return events
		}
		whole := read(counted{"binlog.000001", 4})
		var logged [][]byte
		var at counted
		var places []counted // behind each event that comes
		var have []int       // events of the log by then
		for _, ev := range whole {
			if at.take(ev) {
				logged = append(logged, ev)
			}
			if checksum == "CRC32" && event.Type(ev[4]) == event.TypeRotate {
				at.file = at.file[:len(at.file)-event.ChecksumSize]
			}
			places, have = append(places, at), append(have, len(logged))
		}
		within, chance, apart := 0, 0, 0
		for i, from := range places {
			after := logged[have[i]:]
			n := 0
			for _, ev := range read(from) {
				if !new(counted).take(ev) {
					continue
				}
				if n == len(after) || !bytes.Equal(ev, after[n]) {
					t.Fatalf("checksum %s, from %v, behind event %d: event %d of %d is another one", checksum, from, i, n, len(after))
				}
				n++
			}
			if n != len(after) {
				t.Fatalf("checksum %s, from %v, behind event %d: %d events came of %d", checksum, from, i, n, len(after))
			}
			switch k, ok := begins[from]; {
			case from.offset >= 1<<31:
				apart++
			case ok && k != have[i]:
				chance++
			case !ok && from.offset > 4 && len(after) > 0:
				within++
			}
		}
		t.Logf("checksum %s: %d places, %d within changed transactions, %d by chance where an event begins, %d apart", checksum, len(places), within, chance, apart)
		if within == 0 || chance == 0 || apart == 0 {
			t.Error("one of the cases was not met")
		}
	}
}

// The search for the place of a replica that has gone, or was killed, ends.
func TestSearchEnds(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.must("CREATE TABLE test.t (id INT PRIMARY KEY, j JSON)", "INSERT INTO test.t VALUES (1, '[1, 2]')")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	end := s.txn.Binlog().Position()
	for _, offset := range []uint64{4, end.Offset - 1, 1<<31 + 5} {
		_, err := s.engine.Source().Open(ctx, dump.Request{MariaDB: true, File: binlog.FileName(end.File), Offset: offset})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("at %d: %v", offset, err)
		}
	}
}
