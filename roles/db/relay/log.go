package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

const (
	dirName = "relay"
	suffix  = ".frames"
	// oldSuffix is that of segments whose frames do not say how much was durable.
	oldSuffix = ".relay"

	segmentSize = 16 << 20 // a segment is ended once it has as many bytes
	writeParts  = 16       // what a part of it has is given to the operating system before Sync
	sparesKept  = 2        // segments that are kept to be used again
	beginSize   = frameHead + 17
)

// Pos is a place in the log: between two records. The zero Pos is before all of them.
type Pos struct {
	Segment uint64
	Offset  int64
	// N is how many whole transactions are before it, of those that were there when the log was opened and since.
	N uint64
}

// segment is a file of the log, and how far it counts.
type segment struct {
	number uint64
	limit  int64
}

// Log is the relay log of one store. Append, Sync, Drop, Cut and Reset are for one goroutine at a time, and for the last two
// no Reader may be at work. All other methods are safe for concurrent use.
type Log struct {
	st  *store.Store
	dir string
	max int64 // segmentSize

	file   vfs.File // that is written; nil: Append begins one
	now    uint64   // the newest segment's number
	size   int64    // its size, with what is in buf
	synced int64    // how much of that is durable
	buf    []byte   // not given to the operating system yet
	void   []uint64 // segments that do not count once another one is begun
	whole  Pos      // behind the last whole transaction
	ids    []event.ID
	loose  bool // something was appended behind whole
	// broken: a write has failed, and may have left something at the end of the newest segment.
	broken bool

	held atomic.Bool // see Hold

	mu       sync.Mutex
	segments []segment // that count, the oldest first
	start    Pos       // what is before it need not be read any more
	end      Pos       // up to which it may be read: whole transactions, durable
	set      event.GTIDs
	spares   []uint64 // segments that are written over next
}

// Open opens the relay log of a store. executed says which transactions need not be read. ErrDamaged.
func Open(st *store.Store, executed func(event.ID) bool) (*Log, error) {
	dir, err := st.MakeDir(dirName)
	if err != nil {
		return nil, err
	}
	l := &Log{st: st, dir: dir, max: segmentSize}
	if err := l.open(executed); err != nil {
		return nil, fmt.Errorf("open the relay log %s: %w", dir, err)
	}
	return l, nil
}

// PutAside gives a log that is damaged another name, in place of the last one that was.
func PutAside(st *store.Store) (dir string, err error) {
	from := filepath.Join(st.Dir(), dirName)
	to := from + "-damaged"
	if err := st.FS().RemoveAll(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return to, errors.Join(st.FS().Rename(from, to), st.SyncDir(st.Dir()))
}

// Exists reports whether a store has a relay log.
func Exists(st *store.Store) bool {
	_, err := st.FS().Stat(filepath.Join(st.Dir(), dirName))
	return err == nil
}

func (l *Log) path(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%020d%s", number, suffix))
}

// open finds what counts: the newest segment that was begun, the one that it names, and so on.
func (l *Log) open(executed func(event.ID) bool) error {
	names, err := l.st.FS().List(l.dir)
	if err != nil {
		return err
	}
	var found []uint64
	for _, name := range names {
		if strings.HasSuffix(name, oldSuffix) {
			return fmt.Errorf("%s was written by an earlier version: %w", name, ErrDamaged)
		}
		number, ok := strings.CutSuffix(name, suffix)
		if n, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	next := Pos{}
	for _, n := range slices.Backward(found) {
		if next.Segment != 0 && n != next.Segment {
			continue
		}
		before, size, err := l.begun(n)
		switch {
		case err != nil:
			return err
		case size == 0 && next.Segment == 0: // a crash came before it held anything
			continue
		case size == 0 || next.Segment != 0 && next.Offset > size:
			return fmt.Errorf("segment %d is cut off: %w", n, ErrDamaged)
		case next.Segment == 0:
			next.Offset = size
		}
		l.segments = append(l.segments, segment{n, next.Offset})
		if next = before; before.Segment == 0 {
			break
		}
	}
	slices.Reverse(l.segments)
	for _, n := range found {
		if !slices.ContainsFunc(l.segments, func(s segment) bool { return s.number == n }) {
			if err := l.st.FS().Remove(l.path(n)); err != nil {
				return err
			}
		}
	}
	if len(l.segments) == 0 {
		l.now = uint64(time.Now().UnixMicro())
		return nil
	}
	// A process that was killed may have written what was not synced, and nobody can tell.
	if err := l.syncNewest(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.look(executed)
}

func (l *Log) syncNewest() error {
	path := l.path(l.segments[len(l.segments)-1].number)
	f, err := l.st.FS().OpenReadWrite(path, category)
	if err != nil {
		return err
	}
	return errors.Join(store.SyncData(path, f), f.Close(), l.st.SyncDir(l.dir))
}

// begun reads the first frame of a segment: where the one before ends, zero where there was none. size is that of the file, 0
// where it was not begun. ErrDamaged where it was, which later frames tell, and where that frame cannot be read.
func (l *Log) begun(number uint64) (before Pos, size int64, err error) {
	f, err := l.st.FS().Open(l.path(number))
	if err != nil {
		return Pos{}, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Pos{}, 0, err
	}
	c := cursor{file: f, number: number}
	p, err := c.next(min(info.Size(), beginSize))
	if errors.Is(err, errFrame) {
		p, err = nil, nil
	}
	if err != nil {
		return Pos{}, 0, fmt.Errorf("segment %d: %w: %w", number, err, ErrDamaged)
	}
	before, ok := parseBegin(p)
	if !ok {
		c.at = 0
		return Pos{}, 0, c.torn()
	}
	return before, info.Size(), nil
}

// look reads what is there. The end of the newest segment is where frames of it end; what has no end of its transaction there
// is void. l.mu is held.
func (l *Log) look(executed func(event.ID) bool) error {
	l.now = l.segments[len(l.segments)-1].number
	var open, first Pos // where the open transaction begins, and the first that was not executed
	l.whole = Pos{Segment: l.segments[0].number, Offset: beginSize}
	rest := true // of a transaction that was applied, and is in segments that are gone, may come first
	err := l.each(true, func(r *Record, from, to Pos) error {
		switch {
		case rest && !r.First:
			if r.Last {
				l.whole, rest = to, false
			}
			return nil
		case r.First == (open != Pos{}):
			return fmt.Errorf("transaction %s is not whole: %w", r.ID, ErrDamaged)
		case r.First:
			open, rest = from, false
			open.N = l.whole.N
		}
		if !r.Last {
			return nil
		}
		if first == (Pos{}) && !executed(r.ID) {
			first = open
		}
		l.set.Add(r.ID)
		to.N = l.whole.N + 1
		l.whole, open = to, Pos{}
		return nil
	})
	if err != nil {
		return err
	}
	// What is behind the last whole transaction is void, and stays until the next segment says so.
	l.cut()
	l.end = l.whole
	if l.start = first; first == (Pos{}) {
		l.start = l.end
	}
	l.applied(l.start)
	return nil
}

// each reads the records in order. At the opening the newest segment ends where its frames do, unless frames behind that say
// that more was durable before they were written.
func (l *Log) each(opening bool, visit func(r *Record, from, to Pos) error) error {
	for _, s := range l.segments {
		if err := l.eachOf(s, opening && s.number == l.now, visit); err != nil {
			return fmt.Errorf("segment %d: %w", s.number, err)
		}
	}
	return nil
}

func (l *Log) eachOf(s segment, newest bool, visit func(r *Record, from, to Pos) error) error {
	f, err := l.st.FS().Open(l.path(s.number))
	if err != nil {
		return err
	}
	defer f.Close()
	c := cursor{file: f, number: s.number}
	for {
		from := Pos{Segment: s.number, Offset: c.at}
		p, err := c.next(s.limit)
		switch {
		case newest && (errors.Is(err, errFrame) || p == nil && err == nil):
			return c.torn()
		case err != nil:
			return fmt.Errorf("at %d: %w: %w", c.at, err, ErrDamaged)
		case p == nil && c.at < s.limit:
			return fmt.Errorf("at %d: it should have %d bytes: %w", c.at, s.limit, ErrDamaged)
		case p == nil:
			return nil
		case from.Offset == 0: // of the segment before
			continue
		}
		r, err := parseRecord(p)
		if err != nil {
			return fmt.Errorf("at %d: %w", from.Offset, err)
		}
		if err := visit(r, from, Pos{Segment: s.number, Offset: c.at}); err != nil {
			return err
		}
	}
}

// Set is the GTID set of the transactions that are here, durable and whole: those that may be read, and some before.
func (l *Log) Set() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set.String()
}

// Last is the number of the last transaction of a server that is here, 0: none is.
func (l *Log) Last(server [16]byte) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set.Last(server)
}

// Pending is how many transactions may be read and are not applied.
func (l *Log) Pending() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end.N - l.start.N
}

// Behind is how many transactions may be read behind a place.
func (l *Log) Behind(at Pos) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end.N - at.N
}

// Bytes is the size of what counts.
func (l *Log) Bytes() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		n += s.limit
	}
	return n
}

// Close closes the file that is written. What was not synced is dropped.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
