package binlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

const (
	// largeSuffix ends the name of a file that is not part of the log yet.
	largeSuffix = ".part"
	// largeSync is how much of it is written between two syncs, bytes: one sync of all of
	// it would hold up the commits of others.
	largeSync = 512 << 10
)

// LargeFile is a transaction whose events do not fit in memory, on its way into the log
// as a file of its own: everything but what depends on its number is written and durable.
type LargeFile struct {
	l        *Log
	origin   *Origin
	path     string
	size     uint64 // up to the XID event
	headSize uint64 // up to the end of the GTID event
	whole    uint64 // of the transaction
	out      []byte
}

// Events are those of a transaction that have left memory.
type Events interface {
	Size() int64      // bytes, without checksums
	FileSize() uint64 // bytes in a file
}

// WriteLarge writes the events in from to a file, which Group.AddFile makes part of the
// log. executed is the set of everything executed so far. Close must be called.
func (l *Log) WriteLarge(tx *Transaction, events Events, from io.ReaderAt, executed string) (_ *LargeFile, err error) {
	if err := l.st.CheckSpace(events.FileSize()); err != nil {
		return nil, err
	}
	f := &LargeFile{l: l, origin: tx.Origin, path: filepath.Join(l.dir, fmt.Sprintf("%d%s", l.larges.Add(1), largeSuffix))}
	begin, err := l.appendBegin(nil, 0, 0, executed)
	if err != nil {
		return nil, err
	}
	head, err := event.FileSize(tx.Head)
	if err != nil {
		return nil, err
	}
	gtidSize, whole := event.GTIDSize(head+events.FileSize()+event.XIDSize, tx.Origin.dated())
	beginSize, err := event.FileSize(begin)
	if err != nil {
		return nil, err
	}
	f.whole, f.headSize = whole, firstOffset+beginSize+uint64(gtidSize)
	file, err := l.st.FS().Create(f.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("write a file of the binary log: %w", err)
	}
	synced := vfs.NewSyncingFile(markedFile{file}, vfs.SyncingFileOptions{BytesPerSync: largeSync})
	defer func() {
		if err == nil {
			err = errors.Join(synced.Sync(), synced.Close())
		} else {
			err = errors.Join(err, file.Close()) // without a sync: nobody will read it
		}
		switch {
		case errors.Is(err, errNotDurable):
			err = l.undurable(f.path, err)
			f.Close()
		case err != nil:
			f.Close()
			err = fmt.Errorf("write a file of the binary log: %w", err)
		}
	}()
	w := bufio.NewWriterSize(synced, chunkSize)
	if _, err := w.Write(make([]byte, f.headSize)); err != nil {
		return nil, err
	}
	f.size = f.headSize
	if err := f.copy(w, tx.Head); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(io.NewSectionReader(from, 0, events.Size()), chunkSize)
	var ev []byte
	for at := int64(0); at < events.Size(); at += int64(len(ev)) {
		if ev, err = readEvent(in, ev[:0]); err != nil {
			return nil, err
		}
		if err := f.copy(w, ev); err != nil {
			return nil, err
		}
	}
	f.out = nil
	return f, w.Flush()
}

// markedFile tells a failed sync from a failed write, which a SyncingFile answers alike.
type markedFile struct{ vfs.File }

func (f markedFile) Sync() error     { return notDurable(f.File.Sync()) }
func (f markedFile) SyncData() error { return notDurable(f.File.SyncData()) }

func (f markedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, notDurable(err)
}

func notDurable(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	return nil
}

// readEvent reads an event without its checksum into ev.
func readEvent(in *bufio.Reader, ev []byte) ([]byte, error) {
	head, err := in.Peek(event.HeaderSize)
	if err != nil {
		return ev, err
	}
	h, err := event.ParseHeader(head)
	if err != nil {
		return ev, err
	}
	n := int(h.Size) - event.ChecksumSize
	if cap(ev) < n {
		ev = make([]byte, 0, n+n/4)
	}
	ev = ev[:n]
	_, err = io.ReadFull(in, ev)
	return ev, err
}

// copy finishes an event and writes it. Positions are of 32 bits: beyond 4 GiB they begin
// anew, and only sizes count.
func (f *LargeFile) copy(w io.Writer, ev []byte) error {
	h, err := event.ParseHeader(ev)
	if err != nil {
		return err
	}
	f.size += uint64(h.Size)
	f.out = event.Finish(f.out[:0], ev, uint32(f.size))
	_, err = w.Write(f.out)
	return err
}

// Close removes the file where it has not become part of the log.
func (f *LargeFile) Close() {
	if f.path == "" {
		return
	}
	if err := store.RemoveLarge(f.l.st.FS(), f.path); err != nil {
		f.l.log.Error("remove the file of a large transaction: " + err.Error())
	}
	f.path = ""
}

// appendBegin appends what every file begins with behind the magic bytes.
func (l *Log) appendBegin(dst []byte, timestamp, created uint32, executed string) ([]byte, error) {
	set, err := event.ParseGTIDs(executed)
	if err != nil {
		return dst, err
	}
	dst = event.AppendFormatDescription(dst, l.server, timestamp, created, l.opts.Version)
	return event.AppendPreviousGTIDs(dst, l.server, timestamp, set), nil
}

// ErrMoved: what goes before a large transaction in its file has another length by now,
// since others were committed meanwhile. WriteLarge has to write the file again.
var ErrMoved = errors.New("the binary log has moved on")

// AddFile ends the file that is being written, makes f the next one, and begins another
// behind it. The group holds nothing else. ErrMoved. What is written here is little; it is durable
// when Durable returns, which the leader must wait for before it commits the batch.
func (g *Group) AddFile(f *LargeFile, id event.ID) error {
	if err := g.endFile(); err != nil {
		return err
	}
	if len(g.begun) == 0 {
		g.ended = g.w.Offset
	} else {
		g.begun[len(g.begun)-1].end = g.w.Offset
	}
	stamp := uint32(g.now.Unix())
	own := g.w.File + 1
	executed := g.executed.String()
	head, err := g.l.appendBegin(nil, stamp, 0, executed)
	if err != nil {
		return err
	}
	g.w.sequence, g.last = 1, 0
	head = g.appendGTID(head, f.origin, id, f.whole)
	begin, err := finish([]byte(event.Magic), head, firstOffset)
	if err != nil {
		return err
	}
	if uint64(len(begin)) != f.headSize {
		return fmt.Errorf("%d bytes when the file was written, %d now: %w", f.headSize, len(begin), ErrMoved)
	}
	tail := event.AppendXID(nil, g.l.serverOf(f.origin), stamp, uint64(id.Number))
	tail = event.AppendRotate(tail, g.l.server, stamp, FileName(own+1))
	rest, err := finish(nil, tail, f.size)
	if err != nil {
		return err
	}
	g.large, g.naming = g.l.path(own), make(chan error, 1)
	go func(named chan<- error) { named <- f.become(own, begin, rest) }(g.naming)
	next := file{number: own, record: record{Created: g.now.Unix(), Previous: executed}, end: f.size + uint64(len(rest))}
	next.sealed = sealed{Offset: next.end, Last: stamp, ID: id}
	value, err := json.Marshal(next.record)
	if err != nil {
		return err
	}
	err = errors.Join(g.b.Set(store.MetaLogFileKey(own), value, nil), g.b.Set(store.MetaLogSealedKey(own), next.sealed.encode(g.l.uuid), nil))
	if err != nil {
		return err
	}
	g.begun = append(g.begun, next)
	g.w.Offset = next.end
	g.done(f.origin, id)
	return g.beginFile(own+1, 0)
}

// finish appends events as a file has them that begin at an offset.
func finish(dst, events []byte, at uint64) ([]byte, error) {
	for len(events) > 0 {
		ev, size, rest, err := event.Next(events)
		if err != nil {
			return dst, err
		}
		at += size
		dst, events = event.Finish(dst, ev, uint32(at)), rest
	}
	return dst, nil
}

// become completes the file and gives it its name, durably.
func (f *LargeFile) become(number uint32, head, tail []byte) error {
	path := f.l.path(number)
	file, err := f.l.st.FS().OpenReadWrite(f.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("open a file of the binary log: %w", err)
	}
	_, err = file.WriteAt(head, 0)
	if err == nil {
		_, err = file.WriteAt(tail, int64(f.size))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), file.Close())
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return f.l.undurable(path, err)
	}
	if err := f.l.st.FS().Rename(f.path, path); err != nil {
		return fmt.Errorf("name %s: %w", path, err)
	}
	f.path = ""
	if err := f.l.st.SyncDir(f.l.dir); err != nil {
		return f.l.undurable(path, err)
	}
	return nil
}

// undurable ends the process after a failed sync of a file.
func (l *Log) undurable(path string, err error) error {
	l.st.Fail(fmt.Sprintf("the binary log cannot make %s durable and ends the process: %v", path, err))
	return fmt.Errorf("sync %s: %w", path, err)
}

// Durable waits until the file of a large transaction has its name. Other syncs that the leader
// has to wait for may go on meanwhile.
func (g *Group) Durable() error {
	if g.naming == nil {
		return nil
	}
	err := <-g.naming
	if g.naming = nil; err != nil {
		g.large = "" // the LargeFile still has it
	}
	return err
}

// Abort removes the file of a group that was not committed.
func (g *Group) Abort() {
	// The reason for which the group was given up has been told.
	if err := g.Durable(); err != nil || g.large == "" {
		return
	}
	if err := g.l.st.FS().Remove(g.large); err != nil {
		g.l.log.Error("remove the file of a large transaction: " + err.Error())
	}
	g.large = ""
}
