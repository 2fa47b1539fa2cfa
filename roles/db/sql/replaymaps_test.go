package sql

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"stack/roles/db/apply"
	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// events is a log in memory.
type events [][]byte

func (e *events) Next(context.Context) ([]byte, error) {
	if len(*e) == 0 {
		return nil, io.EOF
	}
	ev := (*e)[0]
	*e = (*e)[1:]
	return ev, nil
}

// eventsOf is what the log of a server has.
func eventsOf(t *testing.T, s *server) (list events) {
	t.Helper()
	r, err := s.db.Binlog().Open(binlog.Position{File: s.db.Binlog().Files()[0].Number})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for src := apply.FromLog(r); ; {
		ev, err := src.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, slices.Clone(ev))
	}
}

// MySQL and MariaDB describe all tables of a statement before the rows of any: however many tables were described before, none of
// these is forgotten.
func TestReplayKeepsMapsOfAStatement(t *testing.T) {
	a := newServer(t)
	a.test().must("CREATE TABLE one (n INT PRIMARY KEY)", "CREATE TABLE two (n INT PRIMARY KEY)", "INSERT INTO one VALUES (1)",
		"BEGIN", "INSERT INTO one VALUES (2)", "INSERT INTO two VALUES (2)", "COMMIT")
	for _, more := range []int{0, 998, 999, 1000, 5000} {
		list := eventsOf(t, a)
		var maps []int
		for i, ev := range list {
			if event.Type(ev[4]) == event.TypeTableMap {
				maps = append(maps, i)
			}
		}
		if len(maps) != 3 {
			t.Fatalf("%d maps of tables", len(maps))
		}
		// The map of two before the rows of one; behind the first map those of other tables.
		list[maps[1]+1], list[maps[2]] = list[maps[2]], list[maps[1]+1]
		for i := range more {
			m := slices.Clone(list[maps[0]])
			binary.LittleEndian.PutUint32(m[event.HeaderSize:], uint32(1_000_000+i))
			list = slices.Insert(list, maps[0]+1, m)
		}
		b := blankServer(t, nil)
		applier := apply.New(b.db, b.engine)
		if _, err := applyAll(applier, &list); err != nil {
			t.Errorf("with %d other tables: %v", more, err)
		}
		applier.Close()
		b.test().want("SELECT COUNT(*) FROM one JOIN two USING (n)", "1")
		b.stop()
	}
}
