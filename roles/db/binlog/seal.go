package binlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

const (
	sealRetry   = 2 * time.Second  // after a failure, such as a full disk
	sealAtOnce  = 2                // times SealSize, for one sync
	expireEvery = 10 * time.Minute // how often files are looked at for their age
)

// errNotDurable marks a failed sync.
var errNotDurable = errors.New("the data may be lost")

// run is the sealer: it moves the tail into plain files, archives those that are complete,
// and removes old ones.
func (l *Log) run() {
	retry := time.NewTimer(0)
	defer retry.Stop()
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-l.kick:
		case <-retry.C:
		case <-tick.C:
		}
		err := l.sealAll()
		if err == nil {
			err = l.expire()
		}
		if err == nil {
			l.trouble.Store(nil)
			continue
		}
		said := err.Error()
		if l.trouble.Swap(&said) == nil {
			l.log.Error("the binary log keeps what it has for now: " + said)
		}
		retry.Reset(sealRetry)
	}
}

// Trouble is why the log keeps what should have left it for its files, for the archive or for good, and grows;
// empty: nothing is in the way.
func (l *Log) Trouble() string {
	if said := l.trouble.Load(); said != nil {
		return *said
	}
	return ""
}

// sealAll seals what is due.
func (l *Log) sealAll() error {
	for {
		select {
		case <-l.done:
			return nil
		default:
		}
		number, from, to := l.due()
		if number == 0 {
			return nil
		}
		if err := l.seal(number, from, to); err != nil {
			return err
		}
	}
}

// due is the oldest part of the tail that is to be sealed: the rest of a file that has
// ended, or SealSize of the one that is being written. number 0: none is.
func (l *Log) due() (number uint32, from sealed, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.files {
		f := &l.files[i]
		limit := l.limit(f)
		at := max(f.sealed.Offset, firstOffset)
		if limit <= at || f.number == l.readable.File && limit-at < uint64(l.opts.SealSize) {
			continue
		}
		from = f.sealed
		from.Offset = at
		return f.number, from, limit
	}
	return 0, from, 0
}

// seal appends the tail of a file between two offsets to the plain file, or as much as
// is sealed at once; makes it durable, and takes it out of the store.
func (l *Log) seal(number uint32, from sealed, to uint64) error {
	// The events are on the disk already and take their place a second time until the tail
	// is deleted: not out of the reserve, which the store itself may need.
	if err := l.st.CheckSpace(min(to-from.Offset, sealAtOnce*uint64(l.opts.SealSize))); err != nil {
		return err
	}
	path := l.path(number)
	f, err := l.st.FS().OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	if from.Offset == firstOffset {
		if _, err := f.WriteAt([]byte(event.Magic), 0); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	mark, err := l.appendTo(f, number, from, to)
	if err != nil && !errors.Is(err, errNotDurable) {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil && from.Offset == firstOffset {
		err = l.st.SyncDir(l.dir)
	}
	if err != nil {
		// The kernel may have dropped what could not be written: a second try would
		// answer "done" for data that is not on disk.
		return l.undurable(path, err)
	}
	b := l.st.DB.NewBatch()
	defer b.Close()
	err = errors.Join(
		b.DeleteRange(store.LogKey(number, from.Offset), store.LogKey(number, mark.Offset), nil),
		b.Set(store.MetaLogSealedKey(number), mark.encode(l.uuid), nil))
	if err != nil {
		return fmt.Errorf("set the mark of %s: %w", path, err)
	}
	// In one step for readers: what the tail lacks, the mark says to be in the file.
	l.mu.Lock()
	defer l.mu.Unlock()
	// Without a sync: where a crash takes the mark back, the tail is there again.
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("set the mark of %s: %w", path, err)
	}
	if f := l.find(number); f != nil {
		f.sealed = mark
	}
	l.broadcast()
	return nil
}

// appendTo writes events from the tail to a file, with positions and checksums, up to
// the offset to or until there are enough for one sync.
func (l *Log) appendTo(f vfs.File, number uint32, mark sealed, to uint64) (sealed, error) {
	it, err := l.st.DB.NewIter(&pebble.IterOptions{
		LowerBound: store.LogKey(number, mark.Offset), UpperBound: store.LogKey(number, to),
	})
	if err != nil {
		return mark, err
	}
	defer it.Close()
	var out []byte
	from, at := mark.Offset, mark.Offset
	write := func() error {
		if _, err := f.WriteAt(out, int64(at)); err != nil {
			return err
		}
		at += uint64(len(out))
		out = out[:0]
		// Bit by bit: one sync of all of it would hold up the commits of others.
		if _, err := f.SyncTo(int64(at)); err != nil {
			return notDurable(err)
		}
		return nil
	}
	for ok := it.First(); ok; ok = it.Next() {
		if !isLogKey(it.Key(), number, mark.Offset) {
			return mark, fmt.Errorf("the tail has no events at %d, key % x: %w", mark.Offset, it.Key(), store.ErrCorrupt)
		}
		for rest := it.Value(); len(rest) > 0; {
			ev, size, after, err := event.Next(rest)
			if err != nil {
				return mark, fmt.Errorf("the tail at %d: %w: %w", mark.Offset, store.ErrCorrupt, err)
			}
			mark.Offset += size
			out = event.Finish(out, ev, uint32(mark.Offset))
			if err := mark.note(ev); err != nil {
				return mark, err
			}
			rest = after
		}
		if len(out) >= largeSync {
			if err := write(); err != nil {
				return mark, err
			}
		}
		if mark.Offset-from >= sealAtOnce*uint64(l.opts.SealSize) {
			return mark, write()
		}
	}
	if err := it.Error(); err != nil {
		return mark, err
	}
	if mark.Offset != to {
		return mark, fmt.Errorf("the tail ends at %d, not at %d: %w", mark.Offset, to, store.ErrCorrupt)
	}
	return mark, write()
}

// note keeps what an event says about the end of the log.
func (s *sealed) note(ev []byte) error {
	h, err := event.ParseHeader(ev)
	if err != nil {
		return err
	}
	if h.Type != event.TypeQuery { // which has the time that its client has set
		s.Last = max(s.Last, h.Timestamp)
	}
	if h.Type == event.TypeGTID {
		g, err := event.ParseGTID(ev)
		if err != nil {
			return err
		}
		s.ID = g.ID()
	}
	return nil
}

// WaitSealed returns when every file but the one that is being written is a plain
// file, or ctx ends.
func (l *Log) WaitSealed(ctx context.Context) error {
	l.wake()
	for {
		l.mu.Lock()
		whole := true
		for i := range l.files {
			f := &l.files[i]
			whole = whole && (f.number >= l.readable.File || f.sealed.Offset >= f.end)
		}
		closed, changed := l.closed, l.change()
		l.mu.Unlock()
		switch {
		case whole:
			return nil
		case closed:
			return ErrClosed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
