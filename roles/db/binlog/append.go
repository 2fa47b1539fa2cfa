package binlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// Transaction is the events of a transaction between its GTID and its end, without
// positions and checksums.
type Transaction struct {
	Head []byte // BEGIN, or the statement
	Body []byte // table maps and rows
	Rows bool   // an XID event ends it
	// Origin is who committed it first; nil: this server does.
	Origin *Origin
}

// Origin is what another server has said of a transaction that it committed first.
type Origin struct {
	event.ID         // Number 0: it has no GTID of this kind, and gets one of this server
	Server    uint32 // server id in its events
	Committed int64  // microseconds since 1970; 0: it has not said
}

// Named reports whether the transaction keeps a GTID of another server.
func (o *Origin) Named() bool { return o != nil && o.Number != 0 }

// dated reports whether the GTID event has the time of the first commit too, and is longer.
func (o *Origin) dated() bool { return o != nil && o.Committed != 0 }

// Executed is the executed set as the commit leader keeps it.
type Executed interface {
	// String is the GTID set of everything up to now.
	String() string
	// Add notes that a transaction is in the log.
	Add(event.ID)
}

// writer is where the next event goes.
type writer struct {
	Position
	sequence int64    // of the last transaction in the file
	foreign  event.ID // of the last transaction, where another server committed it first
}

// Group is transactions on their way into the log with one batch. The commit leader
// uses it; Committed makes it part of the log, else it leaves no trace.
type Group struct {
	l        *Log
	b        *pebble.Batch
	executed Executed
	now      time.Time
	w        writer
	last     int64      // sequence of the last transaction before the group
	buf      []byte     // events for the next chunk
	start    uint64     // its offset
	begun    []file     // files that the group begins
	ended    uint64     // where the file before them ends
	large    string     // path of a file that goes where the group fails
	naming   chan error // ends when that file is durable under its name; nil: it is, or there is none
	recent   chunk      // the newest that was put into the batch from buf
}

// chunk is events in the buffer of a group.
type chunk struct {
	from Position
	end  uint64 // offset in the file
	n    int    // bytes
}

// Begin starts a group that goes with b. executed is asked where a file begins, and told
// of each transaction. Where the file has its size, a new one begins. Commit leader
// only, one group at a time.
func (l *Log) Begin(b *pebble.Batch, executed Executed) (*Group, error) {
	g := &l.group
	*g = Group{
		l: l, b: b, executed: executed, now: time.Now(),
		w: l.writer, buf: g.buf[:0], last: l.writer.sequence, start: l.writer.Offset,
	}
	if g.w.Offset >= l.FileSize() {
		if err := g.Rotate(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Add appends a transaction under this GTID. It fails where the file would pass 4 GiB,
// which the format cannot express.
func (g *Group) Add(tx *Transaction, id event.ID) error {
	head, err := event.FileSize(tx.Head)
	if err != nil {
		return err
	}
	body, err := event.FileSize(tx.Body)
	if err != nil {
		return err
	}
	rest := head + body
	if tx.Rows {
		rest += event.XIDSize
	}
	gtidSize, whole := event.GTIDSize(rest, tx.Origin.dated())
	if g.w.Offset+whole > math.MaxUint32 {
		return fmt.Errorf("a transaction of %d bytes does not fit into a file of the binary log", whole)
	}
	g.w.sequence++
	g.buf = g.appendGTID(g.buf, tx.Origin, id, whole)
	g.buf = append(g.buf, tx.Head...)
	g.w.Offset += uint64(gtidSize) + head
	if len(tx.Body) <= chunkSize {
		g.buf = append(g.buf, tx.Body...)
		g.w.Offset += body
	} else if err := g.addLarge(tx.Body); err != nil {
		return err
	}
	if tx.Rows {
		g.buf = event.AppendXID(g.buf, g.l.serverOf(tx.Origin), uint32(g.now.Unix()), uint64(id.Number))
		g.w.Offset += event.XIDSize
	}
	g.done(tx.Origin, id)
	if len(g.buf) >= chunkSize {
		return g.flush()
	}
	return nil
}

// appendGTID appends the event that begins a transaction. Transactions of another server
// came one after another; of this one, those of a group do not depend on each other.
func (g *Group) appendGTID(dst []byte, o *Origin, id event.ID, whole uint64) []byte {
	gtid := event.GTID{
		UUID: id.UUID, Number: id.Number, LastCommitted: g.last, Sequence: g.w.sequence,
		Committed: g.now.UnixMicro(), Size: whole, Version: g.l.built,
	}
	if o != nil {
		gtid.LastCommitted = g.w.sequence - 1
	}
	if o.dated() {
		gtid.Original = o.Committed
	}
	return event.AppendGTID(dst, g.l.serverOf(o), uint32(g.now.Unix()), &gtid)
}

// serverOf is the server id in the events of a transaction.
func (l *Log) serverOf(o *Origin) uint32 {
	if o != nil {
		return o.Server
	}
	return l.server
}

// done notes that a transaction is in the group.
func (g *Group) done(o *Origin, id event.ID) {
	g.w.foreign = event.ID{}
	if o.Named() {
		g.w.foreign = id
	}
	g.executed.Add(id)
}

// addLarge puts events into chunks of their own, without collecting them first.
func (g *Group) addLarge(events []byte) error {
	if err := g.flush(); err != nil {
		return err
	}
	for len(events) > 0 {
		n, size := 0, uint64(0)
		for rest := events; len(rest) > 0; {
			ev, s, after, err := event.Next(rest)
			if err != nil {
				return err
			}
			if n > 0 && n+len(ev) > chunkSize {
				break
			}
			n, size, rest = n+len(ev), size+s, after
		}
		if err := g.b.Set(store.LogKey(g.w.File, g.w.Offset), events[:n], nil); err != nil {
			return err
		}
		g.w.Offset += size
		events = events[n:]
	}
	g.start = g.w.Offset
	return nil
}

// flush puts what is collected into the batch.
func (g *Group) flush() error {
	if len(g.buf) == 0 {
		return nil
	}
	err := g.b.Set(store.LogKey(g.w.File, g.start), g.buf, nil)
	g.recent = chunk{Position{g.w.File, g.start}, g.w.Offset, len(g.buf)}
	g.buf, g.start = g.buf[:0], g.w.Offset
	return err
}

// Rotate ends the file and begins the next one, before the first Add. It does nothing
// where the group has done so already.
func (g *Group) Rotate() error {
	if len(g.begun) > 0 {
		return nil
	}
	if err := g.endFile(); err != nil {
		return err
	}
	return g.beginFile(g.w.File+1, 0)
}

// endFile ends the file with the name of the next.
func (g *Group) endFile() error {
	start := len(g.buf)
	g.buf = event.AppendRotate(g.buf, g.l.server, uint32(g.now.Unix()), FileName(g.w.File+1))
	size, err := event.FileSize(g.buf[start:])
	if err != nil {
		return err
	}
	g.w.Offset += size
	return g.flush()
}

// beginFile begins a file. created is not 0 for the first one after a start.
func (g *Group) beginFile(number, created uint32) error {
	executed := g.executed.String()
	now := uint32(g.now.Unix())
	if n := len(g.begun); n > 0 {
		g.begun[n-1].end = g.w.Offset
	} else {
		g.ended = g.w.Offset
	}
	g.w.Position, g.w.sequence, g.last, g.start = Position{number, firstOffset}, 0, 0, firstOffset
	var err error
	if g.buf, err = g.l.appendBegin(g.buf, now, created, executed); err != nil {
		return err
	}
	size, err := event.FileSize(g.buf)
	if err != nil {
		return err
	}
	g.w.Offset += size
	f := file{number: number, record: record{Created: int64(now), Previous: executed}}
	g.begun = append(g.begun, f)
	value, err := json.Marshal(f.record)
	if err != nil {
		return err
	}
	return g.b.Set(store.MetaLogFileKey(number), value, nil)
}

// End puts the rest into the batch. The last transaction is named where its number alone
// would not tell which it is.
func (g *Group) End() error {
	err := g.flush()
	switch was := g.l.writer.foreign; {
	case g.w.foreign == was:
		return err
	case g.w.foreign.Number == 0:
		return errors.Join(err, g.b.Delete(store.MetaLogLastKey(), nil))
	}
	return errors.Join(err, g.b.Set(store.MetaLogLastKey(), []byte(g.w.foreign.String()), nil))
}

// Committed makes a group, whose batch has been applied, part of the log. Readers see
// it at once where synced, else with the next Synced.
func (l *Log) Committed(g *Group, synced bool) {
	l.writer = g.w
	l.mu.Lock()
	if len(g.begun) > 0 {
		if n := len(l.files); n > 0 {
			l.files[n-1].end = g.ended
		}
		l.files = append(l.files, g.begun...)
	}
	l.written = g.w.Position
	attached := len(l.readers) > 0
	l.mu.Unlock()
	if r := &g.recent; attached && r.n > 0 {
		l.ring.add(r.from, r.end, g.buf[:r.n])
	}
	if cap(g.buf) > 4*chunkSize {
		g.buf = nil
	}
	g.b, g.executed, g.large, g.recent = nil, nil, "", chunk{}
	if synced {
		l.Synced()
	}
}

// Synced lets readers see everything that has been committed: it is durable.
func (l *Log) Synced() {
	l.mu.Lock()
	moved := l.readable != l.written
	rotated := l.readable.File != l.written.File
	l.readable = l.written
	if moved {
		l.broadcast()
	}
	f := &l.files[len(l.files)-1]
	full := l.readable.Offset-min(l.readable.Offset, f.sealed.Offset) >= uint64(l.opts.SealSize)
	l.mu.Unlock()
	if rotated || full {
		l.wake()
	}
}
