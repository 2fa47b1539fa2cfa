package binlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// readAhead is how much a reader takes from the tail or a file at once, in bytes,
// unless one event is larger.
const readAhead = 256 << 10

// Event is an event as a file of the log has it.
type Event struct {
	Position // where it begins
	End      uint64
	Bytes    []byte // with position and checksum; valid until the next call
}

// Reader reads the log in order, from file to file. It sees what is durable only. One
// goroutine at a time uses it; Close must be called.
type Reader struct {
	l      *Log
	at     Position
	buf    []byte // events from the tail, without checksums
	events []byte // what is left of them, beginning at at
	out    []byte

	file   vfs.File // open where sealed events are read
	number uint32   // of file
	window []byte   // bytes of file from the offset windowAt
	from   uint64

	skip     mysql.Mysql56GTIDSet // transactions that are left out; nil: none
	skipping bool
}

// Open returns a reader that begins with the event at p; an offset below 4 is the first
// one of the file. ErrNoFile where there is no such file or it ends before p; an offset
// inside an event is found when reading.
func (l *Log) Open(p Position) (*Reader, error) {
	p.Offset = max(p.Offset, firstOffset)
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(p.File)
	if f == nil || p.Offset > l.limit(f) {
		return nil, fmt.Errorf("%s: %w", p, ErrNoFile)
	}
	return l.attach(&Reader{l: l, at: p}), nil
}

// attach notes a reader: the files that it has not read yet stay, and groups are kept for
// it in memory. l.mu is held.
func (l *Log) attach(r *Reader) *Reader {
	if l.readers == nil {
		l.readers = map[*Reader]struct{}{}
	}
	l.readers[r] = struct{}{}
	return r
}

// oldestRead is the oldest file that a reader still has to read; all ones for none.
// l.mu is held.
func (l *Log) oldestRead() uint32 {
	oldest := uint32(math.MaxUint32)
	for r := range l.readers {
		oldest = min(oldest, r.at.File)
	}
	return oldest
}

// OpenGTID returns a reader of every transaction that is not in executed, beginning
// with the start of a file. ErrPurged where files that hold some of them are gone.
func (l *Log) OpenGTID(executed mysql.Mysql56GTIDSet) (*Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.files) - 1; i >= 0; i-- {
		f := &l.files[i]
		if f.number > l.readable.File {
			continue
		}
		before, err := event.ParseGTIDs(f.record.Previous)
		if err != nil {
			return nil, fmt.Errorf("file %s: %w: %w", FileName(f.number), store.ErrCorrupt, err)
		}
		if executed.Contains(before) {
			return l.attach(&Reader{l: l, at: Position{f.number, firstOffset}, skip: executed}), nil
		}
	}
	return nil, ErrPurged
}

// Close gives free what the reader holds.
func (r *Reader) Close() {
	r.l.mu.Lock()
	delete(r.l.readers, r)
	r.l.mu.Unlock()
	r.closeFile()
}

func (r *Reader) closeFile() {
	if r.file != nil {
		r.file.Close() // it was only read
		r.file = nil
	}
}

// Position is where the next event begins.
func (r *Reader) Position() Position { return r.at }

// TryNext returns the next event, nil where there is none yet.
func (r *Reader) TryNext() (*Event, error) {
	ev, _, err := r.next(false)
	return ev, err
}

// Next waits for the next event, or the end of ctx. ErrPurged: its file was removed.
// ErrClosed: the log was closed.
func (r *Reader) Next(ctx context.Context) (*Event, error) {
	for {
		ev, changed, err := r.next(true)
		if ev != nil || err != nil {
			return ev, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// next returns the next event that is not left out; without one, what is closed when
// there may be.
func (r *Reader) next(wait bool) (*Event, <-chan struct{}, error) {
	for {
		ev, out, changed, err := r.Read(wait)
		if ev == nil || err != nil || !out {
			return ev, changed, err
		}
	}
}

// Read returns the next event at once, and whether it is one of a transaction that
// OpenGTID leaves out. nil: there is none yet; with wait, changed is then closed when
// there may be one.
func (r *Reader) Read(wait bool) (ev *Event, out bool, changed <-chan struct{}, err error) {
	ev, changed, err = r.step(wait)
	if ev == nil || err != nil {
		return nil, false, changed, err
	}
	if out, err = r.leftOut(ev.Bytes); err != nil {
		return nil, false, nil, err
	}
	return ev, out, nil, nil
}

// leftOut says whether an event belongs to a transaction that the reader has already.
func (r *Reader) leftOut(ev []byte) (bool, error) {
	if r.skip == nil {
		return false, nil
	}
	switch event.Type(ev[4]) {
	case event.TypeGTID:
		g, err := event.ParseGTID(ev)
		if err != nil {
			return false, err
		}
		r.skipping = r.skip.ContainsGTID(mysql.Mysql56GTID{Server: mysql.SID(g.UUID), Sequence: g.Number})
	case event.TypeFormatDescription, event.TypePreviousGTIDs, event.TypeRotate:
		r.skipping = false
	}
	return r.skipping, nil
}

// step reads the event at r.at.
func (r *Reader) step(wait bool) (*Event, <-chan struct{}, error) {
	var missed uint64 // sealed offset at which the tail lacked the event
	for {
		if len(r.events) > 0 {
			ev, err := r.fromTail()
			return ev, nil, err
		}
		sealedTo, limit, changed, err := r.locate(wait)
		switch {
		case err != nil || changed != nil || limit == 0:
			return nil, changed, err
		case r.at.Offset < sealedTo:
			ev, err := r.fromFile(sealedTo)
			return ev, nil, err
		case missed != 0 && missed == sealedTo+1:
			return nil, nil, fmt.Errorf("the tail of the binary log has no event at %s: %w", r.at, ErrNoFile)
		}
		if cap(r.buf) > 2*readAhead {
			r.buf = nil // of one large group
		}
		r.buf = r.l.ring.read(r.buf[:0], r.at, limit, readAhead)
		if r.events = r.buf; len(r.events) > 0 {
			continue
		}
		if err := r.fill(limit); err != nil {
			return nil, nil, err
		}
		if len(r.events) == 0 {
			missed = sealedTo + 1 // sealed in between, or there is none
		}
	}
}

// locate says how the event at r.at can be read: how far its file is sealed and how
// far it may be read at all. It moves on to the next file. limit 0: there is nothing
// yet; changed then, if asked for, is closed when there may be.
func (r *Reader) locate(wait bool) (sealedTo, limit uint64, changed <-chan struct{}, err error) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return 0, 0, nil, ErrClosed
		}
		f := l.find(r.at.File)
		if f == nil {
			return 0, 0, nil, fmt.Errorf("%s: %w", FileName(r.at.File), ErrPurged)
		}
		limit = l.limit(f)
		switch {
		case r.at.Offset < limit:
			return f.sealed.Offset, limit, nil, nil
		case r.at.Offset > limit:
			return 0, 0, nil, fmt.Errorf("%s, beyond the end at %d: %w", r.at, limit, ErrNoFile)
		case f.number < l.readable.File:
			r.at = Position{f.number + 1, firstOffset}
			continue
		}
		if wait {
			changed = l.change()
		}
		return 0, 0, changed, nil
	}
}

// fill reads events from the tail. None: they have been sealed meanwhile.
func (r *Reader) fill(limit uint64) error {
	it, err := r.l.st.DB.NewIter(&pebble.IterOptions{
		LowerBound: store.LogKey(r.at.File, 0), UpperBound: store.LogKey(r.at.File, limit),
	})
	if err != nil {
		return fmt.Errorf("read the tail of the binary log: %w", err)
	}
	defer it.Close()
	if !it.SeekLT(store.LogKey(r.at.File, r.at.Offset+1)) {
		return it.Error()
	}
	offset, ok := store.U64(it.Key()[5:])
	if !ok {
		return fmt.Errorf("the tail of the binary log, key % x: %w", it.Key(), store.ErrCorrupt)
	}
	rest := it.Value()
	for offset < r.at.Offset && len(rest) > 0 {
		_, size, after, err := event.Next(rest)
		if err != nil {
			return fmt.Errorf("the tail of the binary log at %d: %w: %w", offset, store.ErrCorrupt, err)
		}
		offset, rest = offset+size, after
	}
	if len(rest) == 0 {
		return nil
	}
	if offset != r.at.Offset {
		return fmt.Errorf("no event begins at %s: %w", r.at, ErrNoFile)
	}
	r.buf = append(r.buf[:0], rest...)
	for it.Next() && len(r.buf)+len(it.Value()) <= readAhead {
		r.buf = append(r.buf, it.Value()...)
	}
	r.events = r.buf
	return it.Error()
}

func (r *Reader) fromTail() (*Event, error) {
	ev, size, rest, err := event.Next(r.events)
	if err != nil {
		return nil, fmt.Errorf("the tail of the binary log at %s: %w: %w", r.at, store.ErrCorrupt, err)
	}
	begin, endPos := r.at, r.at.Offset+size
	r.out = event.Finish(r.out[:0], ev, uint32(endPos))
	r.events, r.at.Offset = rest, endPos
	return &Event{begin, endPos, r.out}, nil
}

// fromFile reads an event of a plain file, of which sealedTo bytes are durable.
func (r *Reader) fromFile(sealedTo uint64) (*Event, error) {
	if r.file == nil || r.number != r.at.File {
		r.closeFile()
		f, err := r.l.st.FS().Open(r.l.path(r.at.File))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", FileName(r.at.File), ErrPurged)
		}
		if err != nil {
			return nil, fmt.Errorf("open a file of the binary log: %w", err)
		}
		r.file, r.number, r.window = f, r.at.File, nil
	}
	head, err := r.bytes(event.HeaderSize, sealedTo)
	if err != nil {
		return nil, err
	}
	h, err := event.ParseHeader(head)
	if err != nil || h.End != uint32(r.at.Offset+uint64(h.Size)) {
		return nil, fmt.Errorf("no event begins at %s: %w", r.at, ErrNoFile)
	}
	ev, err := r.bytes(int(h.Size), sealedTo)
	if err != nil {
		return nil, err
	}
	if err := event.Verify(ev); err != nil {
		return nil, fmt.Errorf("file of the binary log, %s: %w: %w", r.at, store.ErrCorrupt, err)
	}
	begin := r.at
	r.at.Offset += uint64(h.Size)
	return &Event{begin, r.at.Offset, ev}, nil
}

// bytes returns n bytes of the file at r.at.
func (r *Reader) bytes(n int, sealedTo uint64) ([]byte, error) {
	at := r.at.Offset
	if at+uint64(n) > sealedTo {
		return nil, fmt.Errorf("no event begins at %s: %w", r.at, ErrNoFile)
	}
	if at < r.from || at+uint64(n) > r.from+uint64(len(r.window)) {
		size := min(uint64(max(n, readAhead)), sealedTo-at)
		r.window = make([]byte, size)
		r.from = at
		if _, err := r.file.ReadAt(r.window, int64(at)); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read a file of the binary log at %s: %w", r.at, err)
		}
	}
	return r.window[at-r.from:][:n], nil
}
