package relay

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// category is Pebble's name for who writes.
const category vfs.DiskWriteCategory = "stack-relay"

// Append adds a part of a transaction, whose parts follow each other. It is durable, and may be read, after Sync. After an
// error, Drop has to be called.
func (l *Log) Append(r *Record) error {
	if l.file == nil || l.size >= l.max {
		if err := l.next(); err != nil {
			return err
		}
	}
	l.loose = true
	before := len(l.buf)
	l.buf = appendFrame(l.buf, l.now, l.synced, r.append)
	l.size += int64(len(l.buf) - before)
	if r.Last {
		l.whole, l.loose = Pos{l.now, l.size, l.whole.N + 1}, false
		l.ids = append(l.ids, r.ID)
	}
	if int64(len(l.buf)) >= l.max/writeParts {
		return l.write()
	}
	return nil
}

// write gives the operating system what was appended.
func (l *Log) write() error {
	if len(l.buf) == 0 {
		return nil
	}
	if n := int64(len(l.buf)); n > l.max { // smaller ones fit into the place that a segment has
		if err := l.room(n); err != nil {
			return err
		}
	}
	if _, err := l.file.Write(l.buf); err != nil {
		l.broken = true // some of it may be there
		return fmt.Errorf("write the relay log: %w", err)
	}
	if l.buf = l.buf[:0]; int64(cap(l.buf)) > 4*l.max/writeParts {
		l.buf = nil
	}
	return nil
}

// room says why n bytes more are not taken from the file system. While something waits to be applied it leaves more than what the store
// keeps free: that needs space, and gives back the log's own. Else what comes may be what frees space, or what lets the rest be applied.
func (l *Log) room(n int64) error {
	if l.Pending() == 0 || l.held.Load() {
		return l.st.CheckLastSpace()
	}
	if err := l.st.CheckMargin(uint64(n)); err != nil {
		return fmt.Errorf("take more of the source's log: %w", err)
	}
	return nil
}

// Hold says whether nothing of what is there may be applied before more comes.
func (l *Log) Hold(held bool) { l.held.Store(held) }

// Waiting is how many whole transactions wait for Sync.
func (l *Log) Waiting() int { return len(l.ids) }

// Sync makes what was appended durable, and its whole transactions ready to be read. After an error, Drop has to be called.
func (l *Log) Sync() error {
	if len(l.ids) == 0 {
		return nil
	}
	return l.flush()
}

// flush writes and syncs the newest segment. A sync that fails ends the process: nobody knows what is on the disk then.
func (l *Log) flush() error {
	if err := l.write(); err != nil {
		return err
	}
	if err := l.sync(l.file); err != nil {
		return err
	}
	l.synced = l.size
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = l.whole
	l.segments[len(l.segments)-1].limit = l.size
	for _, id := range l.ids {
		l.set.Add(id)
	}
	l.ids = l.ids[:0]
	return nil
}

func (l *Log) sync(f vfs.File) error {
	err := store.SyncData(l.path(l.now), f)
	if err != nil {
		l.st.Fail(fmt.Sprintf("sync the relay log: %v", err))
	}
	return err
}

// Drop drops what has no end of its transaction yet, because that does not come any more; after an error also what it has kept
// from being durable.
func (l *Log) Drop() {
	if !l.loose && len(l.ids) == 0 && !l.broken {
		return
	}
	if l.file != nil && !l.broken {
		if written := l.size - int64(len(l.buf)); l.whole.Segment == l.now && l.whole.Offset >= written {
			l.buf, l.size, l.loose = l.buf[:l.whole.Offset-written], l.whole.Offset, false
		}
		if err := l.Sync(); err == nil && !l.loose {
			return
		}
	}
	// The next segment says that what is behind this does not count.
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = l.end
	l.cut()
}

// cut makes void what is behind whole, once the next segment is begun. l.mu is held.
func (l *Log) cut() {
	if l.file != nil {
		_ = l.file.Close() // what counts of it was synced
		l.file = nil
	}
	l.buf, l.ids, l.loose, l.broken = nil, nil, false, false
	for i := len(l.segments) - 1; i >= 0; i-- {
		s := &l.segments[i]
		if s.number == l.whole.Segment {
			s.limit = l.whole.Offset
			return
		}
		l.void = append(l.void, s.number)
		l.segments = l.segments[:i]
	}
}

// next begins a segment: behind all of the newest, or, where that was cut, behind what counts.
func (l *Log) next() error {
	before := l.whole
	if l.file != nil {
		if err := l.flush(); err != nil {
			return err
		}
		if err := l.file.Close(); err != nil {
			return fmt.Errorf("end a segment of the relay log: %w", err)
		}
		l.file = nil
		before = Pos{Segment: l.now, Offset: l.size}
	}
	// What is void gives its space back behind the next beginning.
	if len(l.void) == 0 {
		if err := l.room(l.max); err != nil {
			return err
		}
	}
	return l.begin(before)
}

// begin begins a segment behind a place, durably. After an error nothing has changed.
func (l *Log) begin(before Pos) error {
	number := l.now + 1
	path := l.path(number)
	f, err := l.create(path)
	if err == nil {
		if _, err = f.Write(appendFrame(nil, number, 0, func(dst []byte) []byte { return appendBegin(dst, before) })); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		_ = l.st.FS().Remove(path) // it was not begun, so it does not count
		return fmt.Errorf("begin a segment of the relay log: %w", err)
	}
	if err := l.sync(f); err != nil {
		return err
	}
	if err := l.st.SyncDir(l.dir); err != nil {
		l.st.Fail(fmt.Sprintf("sync the directory of the relay log: %v", err))
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, segment{number, beginSize})
	l.file, l.now, l.size, l.synced = f, number, beginSize, beginSize
	l.discardVoid()
	return nil
}

// create makes a file, of one that is no longer used if there is one: what is written over has its place on the disk.
func (l *Log) create(path string) (vfs.File, error) {
	l.mu.Lock()
	spare := uint64(0)
	if len(l.spares) > 0 {
		spare, l.spares = l.spares[0], l.spares[1:]
	}
	l.mu.Unlock()
	if spare != 0 {
		// Durably under its new name before it is written over: under the old one it would be a damaged segment.
		if err := errors.Join(l.st.FS().Rename(l.path(spare), path), l.st.SyncDir(l.dir)); err != nil {
			return nil, err
		}
		return l.st.FS().OpenReadWrite(path, category)
	}
	f, err := l.st.FS().Create(path, category)
	if err == nil {
		_ = f.Preallocate(0, l.max) // it is faster where the file system can; where there is no space, writing says so
	}
	return f, err
}

// discardVoid discards what is void, now that a segment behind it is begun. l.mu is held.
func (l *Log) discardVoid() {
	for _, n := range l.void {
		l.discard(n)
	}
	l.void = nil
}

// discard keeps a file for another segment, or removes it. l.mu is held.
func (l *Log) discard(number uint64) {
	if info, err := l.st.FS().Stat(l.path(number)); err == nil && info.Size() <= 2*l.max && len(l.spares) < sparesKept {
		l.spares = append(l.spares, number)
		return
	}
	_ = l.st.FS().Remove(l.path(number)) // what stays is removed by the next start
}

// Applied notes that what is before a place need not be read again. Segments before it are used again.
func (l *Log) Applied(to Pos) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied(to)
}

// applied is Applied. l.mu is held.
func (l *Log) applied(to Pos) {
	n := slices.IndexFunc(l.segments, func(s segment) bool { return s.number == to.Segment })
	if n < 0 {
		return
	}
	l.start = to
	for _, s := range l.segments[:n] {
		l.discard(s.number)
	}
	l.segments = l.segments[n:]
}

// Reset forgets everything, durably.
func (l *Log) Reset() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.restart(Pos{}, func(event.ID) bool { return true })
}

// restart goes on behind a place, durably. After an error nothing has changed. l.mu is held.
func (l *Log) restart(at Pos, executed func(event.ID) bool) error {
	if len(l.segments) == 0 && len(l.void) == 0 {
		return nil // there is nothing
	}
	old := l.file
	l.mu.Unlock()
	err := l.begin(at)
	l.mu.Lock()
	if err != nil {
		return err
	}
	if old != nil {
		_ = old.Close() // what counts of it was synced
	}
	begun := l.segments[len(l.segments)-1]
	l.segments, l.whole = l.segments[:len(l.segments)-1], at
	begin := l.file
	l.file = nil
	l.cut()
	l.discardVoid()
	l.file, l.segments = begin, append(l.segments, begun)
	l.set = event.GTIDs{}
	return l.look(executed)
}

// Tail gives take the records of the first transaction that bad names and of all behind it, and returns how many transactions
// these are. What they hold stays as it is.
func (l *Log) Tail(bad func(event.ID) bool, take func(*Record) error) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, n, err = l.tail(bad, take)
	return n, err
}

// tail is Tail, and where the first begins. l.mu is held.
func (l *Log) tail(bad func(event.ID) bool, take func(*Record) error) (at Pos, n int, err error) {
	err = l.each(false, func(r *Record, from, _ Pos) error {
		if n == 0 && r.First && bad(r.ID) {
			at = from
		}
		if at == (Pos{}) {
			return nil
		}
		if r.First {
			n++
		}
		return take(r)
	})
	return at, n, err
}

// Cut takes the transactions of Tail off, durably. executed says which of the others need not be read.
func (l *Log) Cut(executed, bad func(event.ID) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, n, err := l.tail(bad, func(*Record) error { return nil })
	if err != nil || n == 0 {
		return err
	}
	return l.restart(at, executed)
}
