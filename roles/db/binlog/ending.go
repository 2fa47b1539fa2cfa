package binlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// ErrNotEnding: the transactions asked for are not the last ones of the log, or not all of
// them are in it.
var ErrNotEnding = errors.New("they are not the end of the binary log")

// Ending is the last transactions of a log.
type Ending struct {
	At           Position // where the first of them begins
	Transactions int
	Bytes        int64 // of their events

	before event.ID // the last one in the file before At; Number 0: there is none
}

// Ending finds the transactions of a set at the end of the log, copies them into a file of the
// format of the log at path, durably, and calls each with every event of them, without
// checksum, valid during the call. All but the newest file of the log must be plain (WaitSealed), and nothing
// may be committed meanwhile. ErrNotEnding; ErrPurged where files are gone that held some of them.
func (l *Log) Ending(ctx context.Context, executed, set mysql.Mysql56GTIDSet, path string, each func(ev []byte) error) (_ *Ending, err error) {
	keep := event.Without(executed, set)
	r, err := l.OpenGTID(keep)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := l.newCopy(path, keep)
	if err != nil {
		return nil, err
	}
	defer func() { err = out.end(err) }()
	e := &Ending{}
	found := mysql.GTIDSet(mysql.Mysql56GTIDSet{})
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ev, kept, _, err := r.Read(false)
		if err != nil {
			return nil, err
		}
		if ev == nil {
			break
		}
		raw := ev.Bytes[:len(ev.Bytes)-event.ChecksumSize]
		switch event.Type(raw[4]) {
		case event.TypeFormatDescription:
			if e.Transactions == 0 {
				e.before = event.ID{}
			}
			continue
		case event.TypePreviousGTIDs, event.TypeRotate:
			continue
		case event.TypeGTID:
			g, err := event.ParseGTID(raw)
			if err != nil {
				return nil, err
			}
			switch {
			case kept && e.Transactions > 0:
				return nil, fmt.Errorf("transaction %s comes behind others that do not stay: %w", g, ErrNotEnding)
			case kept:
				e.before = g.ID()
			default:
				if e.Transactions++; e.Transactions == 1 {
					e.At = ev.Position
				}
				found = found.AddGTID(mysql.Mysql56GTID{Server: mysql.SID(g.UUID), Sequence: g.Number})
			}
		}
		if kept {
			continue
		}
		e.Bytes += int64(len(raw))
		if err := errors.Join(out.add(raw), each(raw)); err != nil {
			return nil, err
		}
	}
	if !found.Equal(set) {
		return nil, fmt.Errorf("the binary log has %s of %s: %w", orNone(found.String()), set, ErrNotEnding)
	}
	return e, nil
}

func orNone(set string) string {
	if set == "" {
		return "none"
	}
	return set
}

// Cut takes the ending off in a batch, behind which the log must be opened anew, for a server with
// this UUID. executed is the GTID set of what stays. Plain files are cut when the log is opened.
func (l *Log) Cut(b *pebble.Batch, e *Ending, executed, server string) error {
	uuid, err := event.ParseUUID(server)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var last event.ID
	for i := range l.files {
		f := &l.files[i]
		switch {
		case f.number < e.At.File:
			if f.sealed.ID.Number != 0 {
				last = f.sealed.ID
			}
			err = b.Set(store.MetaLogSealedKey(f.number), f.sealed.encode(uuid), nil)
		case f.number == e.At.File:
			if f.sealed.Offset < e.At.Offset {
				return fmt.Errorf("%s is no plain file up to %d", FileName(f.number), e.At.Offset)
			}
			mark := sealed{Offset: e.At.Offset, Last: f.sealed.Last, ID: e.before}
			if err = b.Set(store.MetaLogSealedKey(f.number), mark.encode(uuid), nil); err != nil {
				return err
			}
			if e.before.Number != 0 {
				last = e.before
				continue
			}
			// It holds nothing and is written on: it begins with what stays, word for word.
			kept := f.record
			kept.Previous = executed
			value, failed := json.Marshal(kept)
			err = errors.Join(failed, b.Set(store.MetaLogFileKey(f.number), value, nil))
		default:
			err = errors.Join(b.Delete(store.MetaLogFileKey(f.number), nil), b.Delete(store.MetaLogSealedKey(f.number), nil))
		}
		if err != nil {
			return err
		}
	}
	tail := store.SpaceRange(store.SpaceBinlog)
	err = b.DeleteRange(store.LogKey(e.At.File, 0), tail.End, nil)
	if last.Number == 0 {
		return errors.Join(err, b.Delete(store.MetaLogLastKey(), nil))
	}
	return errors.Join(err, b.Set(store.MetaLogLastKey(), []byte(last.String()), nil))
}

// WriteCopy writes events without checksums, which each gives to add, into a file of the format of the log at path, durably.
// previous is what was executed before them.
func (l *Log) WriteCopy(path string, previous mysql.Mysql56GTIDSet, each func(add func(ev []byte) error) error) error {
	out, err := l.newCopy(path, previous)
	if err != nil {
		return err
	}
	return out.end(each(out.add))
}

// logCopy is a file of the format of the log that is being written.
type logCopy struct {
	l    *Log
	path string
	file vfs.File
	at   uint64
	out  []byte
}

// newCopy begins a file with what every one begins with. previous is what was executed before it.
func (l *Log) newCopy(path string, previous mysql.Mysql56GTIDSet) (*logCopy, error) {
	file, err := l.st.FS().Create(path+largeSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	c := &logCopy{l: l, path: path, file: file, at: firstOffset, out: []byte(event.Magic)}
	begin, err := l.appendBegin(nil, 0, 0, previous.String())
	for rest := begin; err == nil && len(rest) > 0; {
		var ev []byte
		if ev, _, rest, err = event.Next(rest); err == nil {
			err = c.add(ev)
		}
	}
	if err != nil {
		return nil, c.end(err)
	}
	return c, nil
}

// add writes an event that has no checksum.
func (c *logCopy) add(ev []byte) error {
	c.at += uint64(len(ev) + event.ChecksumSize)
	c.out = event.Finish(c.out, ev, uint32(c.at))
	if len(c.out) < largeSync {
		return nil
	}
	return c.flush()
}

func (c *logCopy) flush() error {
	if err := c.l.st.CheckSpace(uint64(len(c.out))); err != nil {
		return err
	}
	if _, err := c.file.Write(c.out); err != nil {
		return fmt.Errorf("write %s: %w", c.path, err)
	}
	c.out = c.out[:0]
	return nil
}

// end gives the file its name, durably; after an error it removes it and returns that.
func (c *logCopy) end(err error) error {
	fs := c.l.st.FS()
	if err == nil {
		err = c.flush()
	}
	if err == nil {
		err = c.file.Sync()
	}
	err = errors.Join(err, c.file.Close())
	if err == nil {
		err = fs.Rename(c.path+largeSuffix, c.path)
	}
	if err == nil {
		return c.l.st.SyncDir(filepath.Dir(c.path))
	}
	// What is wrong is told; a file that stays is written over by the next one.
	_ = fs.Remove(c.path + largeSuffix)
	return err
}
