package binlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// serverVersion is the version that GTID events name, 8.0.40.
const serverVersion = 80040

// Open opens the log of a store. executed is the executed set as text and number the
// last transaction of this server in it: the log must end with exactly that one. A new
// file begins where the last one holds transactions. A store that was written before
// it had a log gets one that begins now.
func Open(st *store.Store, executed string, number int64, opts Options) (*Log, error) {
	if opts.Version == "" {
		opts.Version = defaultVersion
	}
	if opts.FileSize == 0 {
		opts.FileSize = defaultFileSize
	}
	if opts.SealSize == 0 {
		opts.SealSize = defaultSealSize
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{st: st, opts: opts, log: opts.Log, built: serverVersion, kick: make(chan struct{}, 1), done: make(chan struct{})}
	l.keep.Store(int64(opts.Keep))
	l.maxSize.Store(opts.MaxSize)
	l.archive.Store(&opts.Archive)
	var err error
	if l.uuid, err = event.ParseUUID(st.Server); err != nil {
		return nil, fmt.Errorf("server id of %s: %w", st.Dir(), err)
	}
	l.server = serverID(l.uuid)
	if l.dir, err = st.MakeDir(directory); err != nil {
		return nil, err
	}
	if l.files, err = readFiles(st.DB, l.uuid); err != nil {
		return nil, err
	}
	if err := l.resume(executed, number); err != nil {
		return nil, err
	}
	if err := l.matchFiles(); err != nil {
		return nil, err
	}
	if err := l.begin(executed); err != nil {
		return nil, err
	}
	l.wait.Go(l.run)
	return l, nil
}

// OpenReadOnly opens the log of a store that was opened read-only, to read it. It fails
// where a plain file is missing or short, naming it.
func OpenReadOnly(st *store.Store) (*Log, error) {
	l := &Log{st: st, opts: Options{Log: slog.New(slog.DiscardHandler)}, dir: Dir(st.Dir()), done: make(chan struct{})}
	l.log = l.opts.Log
	var err error
	if l.uuid, err = event.ParseUUID(st.Server); err != nil {
		return nil, fmt.Errorf("server id of %s: %w", st.Dir(), err)
	}
	if l.files, err = readFiles(st.DB, l.uuid); err != nil {
		return nil, err
	}
	if len(l.files) == 0 {
		return nil, fmt.Errorf("the store in %s has no binary log", st.Dir())
	}
	ends, err := readTail(st.DB, l.files)
	if err != nil {
		return nil, err
	}
	for i := range l.files {
		f := &l.files[i]
		f.end = ends[i].Offset
		info, err := st.FS().Stat(l.path(f.number))
		switch {
		case f.sealed.Offset == 0:
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("the binary log in %s has a gap: %s is missing", l.dir, FileName(f.number))
		case err != nil:
			return nil, fmt.Errorf("read the binary log: %w", err)
		case !info.Mode().IsRegular() || uint64(info.Size()) < f.sealed.Offset:
			return nil, fmt.Errorf("the binary log is damaged: %s has not the %d bytes that it should have", l.path(f.number), f.sealed.Offset)
		}
	}
	l.readable = Position{l.files[len(l.files)-1].number, ends[len(ends)-1].Offset}
	return l, nil
}

// resume finds where the log ends and compares that with what the store has executed.
func (l *Log) resume(executed string, number int64) error {
	ends, err := readTail(l.st.DB, l.files)
	if err != nil {
		return err
	}
	want, err := lastLogged(l.st.DB, event.ID{UUID: l.uuid, Number: number})
	if err != nil {
		return err
	}
	if want.UUID != l.uuid {
		l.writer.foreign = want
	}
	if len(l.files) == 0 {
		return nil
	}
	l.writer.Position = Position{l.files[len(ends)-1].number, ends[len(ends)-1].Offset}
	for i := range l.files {
		l.files[i].end = ends[i].Offset
	}
	last := ends[len(ends)-1]
	if last.ID.Number == 0 && executed != l.files[len(ends)-1].record.Previous || last.ID.Number != 0 && last.ID != want {
		return fmt.Errorf("the binary log in %s ends with transaction %s, the data with %s; restore the directory from a backup: %w",
			l.st.Dir(), last.ID, executed, store.ErrCorrupt)
	}
	return nil
}

// lastLogged is the last transaction in the log: own, unless one of another server came
// after it.
func lastLogged(r pebble.Reader, own event.ID) (event.ID, error) {
	text, err := store.Get(r, store.MetaLogLastKey())
	if err != nil || text == nil {
		return own, err
	}
	id, err := event.ParseID(string(text))
	if err != nil {
		return id, fmt.Errorf("the last transaction of the binary log: %w: %w", store.ErrCorrupt, err)
	}
	return id, nil
}

// readTail walks the tail and returns where each file ends; ID is zero for a file
// without transactions. It fails where the tail has a hole or holds events of a file
// that is not in the index.
func readTail(r pebble.Reader, files []file) ([]sealed, error) {
	ends := make([]sealed, len(files))
	for i := range files {
		ends[i] = files[i].sealed
		ends[i].Offset = max(ends[i].Offset, firstOffset)
	}
	span := store.SpaceRange(store.SpaceBinlog)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return nil, fmt.Errorf("read the tail of the binary log: %w", err)
	}
	defer it.Close()
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		for i < len(files) && !isLogKey(it.Key(), files[i].number, ends[i].Offset) {
			i++
		}
		if i == len(files) {
			return nil, fmt.Errorf("the tail of the binary log has events at key % x, which follow nothing: %w", it.Key(), store.ErrCorrupt)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, fmt.Errorf("read the tail of the binary log: %w", err)
		}
		if err := ends[i].walk(value); err != nil {
			return nil, fmt.Errorf("the tail of the binary log at %s: %w: %w", Position{files[i].number, ends[i].Offset}, store.ErrCorrupt, err)
		}
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("read the tail of the binary log: %w", err)
	}
	return ends, nil
}

// walk moves over the events of a chunk.
func (s *sealed) walk(events []byte) error {
	for len(events) > 0 {
		ev, size, rest, err := event.Next(events)
		if err == nil {
			err = s.note(ev)
		}
		if err != nil {
			return err
		}
		s.Offset += size
		events = rest
	}
	return nil
}

func isLogKey(key []byte, file uint32, offset uint64) bool {
	return bytes.Equal(key, store.LogKey(file, offset))
}

// begin readies the file to write to: the last one where it holds no transactions, else
// a new one.
func (l *Log) begin(executed string) error {
	last := l.find(l.writer.File) // nil where it was forgotten: only its number counts
	if last != nil && last.end > firstOffset && last.record.Previous == executed {
		last.end = 0
		l.readable, l.written = l.writer.Position, l.writer.Position
		return nil
	}
	b := l.st.DB.NewBatch()
	defer b.Close()
	l.group = Group{l: l, b: b, executed: fixedSet(executed), now: time.Now(), w: l.writer, start: l.writer.Offset}
	g := &l.group
	created := uint32(g.now.Unix())
	var err error
	if last != nil {
		err = g.endFile()
	}
	if err == nil {
		err = g.beginFile(g.w.File+1, created)
	}
	if err == nil {
		err = g.End()
	}
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("begin a file of the binary log: %w", err)
	}
	l.Committed(g, true)
	return nil
}

// fixedSet is an executed set while no transaction is logged.
type fixedSet string

func (s fixedSet) String() string { return string(s) }
func (fixedSet) Add(event.ID)     {}

// Check walks the tail of a server in a snapshot: it must follow the plain files without
// a hole and end with its transaction number, or with that of another server that is
// noted as the last one, where it has any.
func Check(r pebble.Reader, server string, number uint64) error {
	uuid, err := event.ParseUUID(server)
	if err != nil {
		return fmt.Errorf("server id: %w", err)
	}
	files, err := readFiles(r, uuid)
	if err != nil {
		return err
	}
	want, err := lastLogged(r, event.ID{UUID: uuid, Number: int64(number)})
	if err != nil {
		return err
	}
	ends, err := readTail(r, files)
	if err != nil {
		return err
	}
	for i := len(ends) - 1; i >= 0; i-- {
		if id := ends[i].ID; id.Number != 0 {
			if id != want {
				return fmt.Errorf("the binary log ends with transaction %s, the data with %s: %w", id, want, store.ErrCorrupt)
			}
			return nil
		}
	}
	return nil
}
