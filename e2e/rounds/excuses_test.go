package rounds

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

	"stack/roles/db/binlog/event"
)

// excuses are why writes may be lost where db.ack_policy is degrade, in one round.
type excuses struct {
	// taken are the writes in the files of transactions that servers have taken back, by id.
	taken map[int64]event.ID
	// marks are the transactions from which on a server has said that commits were unacknowledged, by its UUID; the first
	// one counts.
	marks map[string][]int64
	// unproven: a server that was started anew has served clients with an end of its log that no replica has acknowledged.
	unproven bool
}

// covers reports whether a server had said, before it answered the write, that commits from then on may be lost.
func (e excuses) covers(id int64) bool {
	gtid, ok := e.taken[id]
	server, _, _ := strings.Cut(gtid.String(), ":")
	return ok && len(e.marks[server]) > 0 && gtid.Number >= slices.Min(e.marks[server])
}

// why is what covers has looked at.
func (e excuses) why(id int64) string {
	if gtid, ok := e.taken[id]; ok {
		return fmt.Sprintf("it was %s, and commits were said to be unacknowledged from %v on", gtid, e.marks)
	}
	return "nobody has taken it back"
}

// excuses are those of the round so far.
func (r *round) excuses() excuses {
	r.t.Helper()
	e := excuses{taken: map[int64]event.ID{}, marks: map[string][]int64{}}
	for path := range r.putAside() {
		if strings.HasSuffix(path, ".binlog") {
			found, err := writesIn(filepath.Join(r.dir, path))
			r.must(err)
			maps.Copy(e.taken, found)
		}
	}
	for _, name := range r.names {
		for line := range strings.Lines(r.said(name)[r.heard[name]:]) {
			var entry struct{ Msg, From string }
			if json.Unmarshal([]byte(line), &entry) != nil {
				continue // not of the log
			}
			switch {
			case strings.HasPrefix(entry.Msg, "replicas do not acknowledge the end of the log"):
				e.unproven = true
			case strings.HasPrefix(entry.Msg, "the replicas do not acknowledge: commits go on without"):
				id, err := event.ParseID(entry.From)
				r.must(err)
				server, _, _ := strings.Cut(entry.From, ":")
				e.marks[server] = append(e.marks[server], id.Number)
			}
		}
	}
	return e
}

// writesIn are the writes in a binary log, by id, with their transactions.
func writesIn(path string) (map[int64]event.ID, error) {
	found := map[int64]event.ID{}
	var current event.ID
	err := replication.NewBinlogParser().ParseFile(path, 0, func(e *replication.BinlogEvent) error {
		switch e := e.Event.(type) {
		case *replication.GTIDEvent:
			copy(current.UUID[:], e.SID)
			current.Number = e.GNO
		case *replication.RowsEvent:
			if string(e.Table.Table) != "writes" {
				return nil
			}
			for _, row := range e.Rows {
				id, ok := row[0].(int64)
				if !ok {
					return fmt.Errorf("%s: transaction %s has a write with the id %v", path, current, row[0])
				}
				found[id] = current
			}
		}
		return nil
	})
	return found, err
}

// degradedAt awaits that the log names the transaction from which on a server says, in its status, that commits were
// unacknowledged.
func (r *round) degradedAt(name string) {
	r.t.Helper()
	st, ok := r.state(name)
	if !ok || st.Acks == nil || st.Acks.Unacked == "" {
		return
	}
	id, err := event.ParseID(st.Acks.Unacked)
	r.must(err)
	server, _, _ := strings.Cut(st.Acks.Unacked, ":")
	r.await("the log of "+name+" names "+st.Acks.Unacked, func() bool { return slices.Contains(r.excuses().marks[server], id.Number) })
}
