package binlog

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// record is what the store keeps of a file from its beginning, as JSON.
type record struct {
	Created  int64  `json:"created"`  // seconds since 1970
	Previous string `json:"previous"` // GTID set of the files before
}

// sealed is how far a file has left the store: offset u64, when the last event was logged
// u32, number of the last transaction u64, big endian; its server's UUID where that is
// another one. All zero: nothing has.
type sealed struct {
	Offset uint64
	Last   uint32   // seconds since 1970
	ID     event.ID // of the last transaction
}

const sealedBytes = 20

func (s sealed) encode(own [16]byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, s.Offset)
	b = binary.BigEndian.AppendUint32(b, s.Last)
	b = binary.BigEndian.AppendUint64(b, uint64(s.ID.Number))
	if s.ID.Number != 0 && s.ID.UUID != own {
		b = append(b, s.ID.UUID[:]...)
	}
	return b
}

func decodeSealed(b []byte, own [16]byte) (sealed, error) {
	if len(b) != sealedBytes && len(b) != sealedBytes+16 {
		return sealed{}, fmt.Errorf("sealed mark of %d bytes: %w", len(b), store.ErrCorrupt)
	}
	s := sealed{Offset: binary.BigEndian.Uint64(b), Last: binary.BigEndian.Uint32(b[8:])}
	if s.ID.Number = int64(binary.BigEndian.Uint64(b[12:])); s.ID.Number != 0 {
		s.ID.UUID = own
	}
	copy(s.ID.UUID[:], b[sealedBytes:])
	return s, nil
}

// readFiles reads the index of the log of a server from its store.
func readFiles(r pebble.Reader, own [16]byte) ([]file, error) {
	first := store.MetaLogFileKey(0)
	prefix := first[:len(first)-4]
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: store.PrefixEnd(prefix)})
	if err != nil {
		return nil, fmt.Errorf("read the index of the binary log: %w", err)
	}
	defer it.Close()
	var files []file
	for ok := it.First(); ok; ok = it.Next() {
		number, ok := store.U32(it.Key()[len(prefix):])
		if !ok {
			return nil, fmt.Errorf("index of the binary log, key % x: %w", it.Key(), store.ErrCorrupt)
		}
		f := file{number: number}
		if err := json.Unmarshal(it.Value(), &f.record); err != nil {
			return nil, fmt.Errorf("index of the binary log, file %s: %w: %w", FileName(number), store.ErrCorrupt, err)
		}
		mark, err := store.Get(r, store.MetaLogSealedKey(number))
		if err != nil {
			return nil, err
		}
		if mark != nil {
			if f.sealed, err = decodeSealed(mark, own); err != nil {
				return nil, fmt.Errorf("file %s: %w", FileName(number), err)
			}
		}
		files = append(files, f)
	}
	return files, it.Error()
}

func (l *Log) path(number uint32) string { return filepath.Join(l.dir, FileName(number)) }

// matchFiles brings the directory to what the store says: files that it does not name
// go, files are cut at their marks. A file that has lost what it should hold, and those
// before it, are forgotten: a log with a hole serves nobody.
func (l *Log) matchFiles() error {
	fs := l.st.FS()
	names, err := fs.List(l.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", l.dir, err)
	}
	for _, name := range names {
		number, err := ParseFileName(name)
		known := err == nil && l.find(number) != nil && l.find(number).sealed.Offset > 0
		if known || err != nil && filepath.Ext(name) != cutSuffix && filepath.Ext(name) != largeSuffix {
			continue
		}
		if err := fs.Remove(filepath.Join(l.dir, name)); err != nil {
			return fmt.Errorf("remove a file that the binary log does not name: %w", err)
		}
	}
	for i := len(l.files) - 1; i >= 0; i-- {
		f := &l.files[i]
		if f.sealed.Offset == 0 {
			continue
		}
		err := l.cut(f)
		if err == nil {
			continue
		}
		if !errors.Is(err, errShort) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		l.log.Error(fmt.Sprintf("the binary log begins after %s: %v; replicas that need older transactions must be seeded anew", FileName(f.number), err))
		return l.forget(f.number)
	}
	return nil
}

// cutSuffix ends the name of the copy that replaces a file that is cut.
const cutSuffix = ".cut"

var errShort = errors.New("the file is shorter than what was made durable in it")

// cut ends a file at its sealed mark.
func (l *Log) cut(f *file) (err error) {
	fs, path := l.st.FS(), l.path(f.number)
	src, err := fs.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	switch size := uint64(info.Size()); {
	case size < f.sealed.Offset:
		return fmt.Errorf("%s has %d bytes of %d: %w", path, size, f.sealed.Offset, errShort)
	case size == f.sealed.Offset:
		return nil
	}
	// A copy, since not every file system here can cut: only after a crash while sealing.
	dst, err := fs.Create(path+cutSuffix, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = io.Copy(dst, io.LimitReader(src, int64(f.sealed.Offset)))
		err = errors.Join(err, dst.Sync(), dst.Close())
	}
	if err == nil {
		err = fs.Rename(path+cutSuffix, path)
	}
	if err == nil {
		err = l.st.SyncDir(l.dir)
	}
	if err != nil {
		return fmt.Errorf("cut %s at %d: %w", path, f.sealed.Offset, err)
	}
	return nil
}

// forget removes the files up to number from the index, then from the disk. l.mu is
// not held, l.purging is, or nobody else uses the log.
func (l *Log) forget(number uint32) error {
	b := l.st.DB.NewBatch()
	defer b.Close()
	l.mu.Lock()
	n := 0
	var err error
	for ; n < len(l.files) && l.files[n].number <= number; n++ {
		err = errors.Join(err,
			b.Delete(store.MetaLogFileKey(l.files[n].number), nil),
			b.Delete(store.MetaLogSealedKey(l.files[n].number), nil))
	}
	gone := slices.Clone(l.files[:n])
	l.mu.Unlock()
	if n == 0 {
		return nil
	}
	err = errors.Join(err, b.DeleteRange(store.LogKey(0, 0), store.LogKey(number+1, 0), nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("remove %s and older files from the binary log: %w", FileName(number), err)
	}
	l.mu.Lock()
	l.files = slices.Delete(l.files, 0, n)
	l.broadcast()
	l.mu.Unlock()
	for i := range gone {
		if rm := l.st.FS().Remove(l.path(gone[i].number)); rm != nil && !errors.Is(rm, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove a file of the binary log: %w", rm))
		}
	}
	return err
}

// PurgeTo removes the files before number, up to the first that a reader has not read
// yet: kept is its number, 0 where no reader held it up. The file that is being written is
// never removed. ErrNoFile where there is none of this number.
func (l *Log) PurgeTo(ctx context.Context, number uint32) (kept uint32, err error) {
	l.mu.Lock()
	known := l.find(number) != nil
	l.mu.Unlock()
	if !known {
		return 0, fmt.Errorf("%s: %w", FileName(number), ErrNoFile)
	}
	return l.purgeUnread(ctx, func(f *file) bool { return f.number < number })
}

// PurgeBefore removes the files whose last event is older than t; else as PurgeTo.
func (l *Log) PurgeBefore(ctx context.Context, t time.Time) (kept uint32, err error) {
	return l.purgeUnread(ctx, func(f *file) bool { return int64(f.sealed.Last) < t.Unix() })
}

// purgeUnread removes the oldest files as long as old says so, and no reader needs them.
func (l *Log) purgeUnread(ctx context.Context, old func(f *file) bool) (kept uint32, err error) {
	err = l.purge(ctx, func(f *file, _ uint64) bool { // l.mu is held
		if !old(f) {
			return false
		}
		if f.number >= l.oldestRead() {
			kept = f.number
			return false
		}
		return true
	})
	return kept, err
}

// purge removes the oldest files as long as old says so: first those that are plain files
// already, which on a full disk gives the sealer room for the others.
func (l *Log) purge(ctx context.Context, old func(f *file, total uint64) bool) error {
	if err := l.removeOld(old); err != nil {
		return err
	}
	if err := l.WaitSealed(ctx); err != nil {
		return err
	}
	return l.removeOld(old)
}

// removeOld archives what is complete, where there is an archive, and removes the oldest
// files as long as old says so and they are plain files and archived; total is the size in bytes of the file and all after it.
func (l *Log) removeOld(old func(f *file, total uint64) bool) error {
	l.purging.Lock()
	defer l.purging.Unlock()
	if err := l.archiveAll(); err != nil {
		return err
	}
	dir := l.archiveDir()
	l.mu.Lock()
	var total uint64
	for i := range l.files {
		total += l.limit(&l.files[i])
	}
	last := uint32(0)
	for i := range l.files {
		f := &l.files[i]
		if f.number >= l.readable.File || f.sealed.Offset < f.end || dir != "" && f.archived != dir || !old(f, total) {
			break
		}
		last = f.number
		total -= f.end
	}
	l.mu.Unlock()
	if last == 0 {
		return nil
	}
	return l.forget(last)
}

// expire removes what Options.Keep and Options.MaxSize do not want any more, whoever still
// reads it: they are what bounds the disk that a slow replica can take.
func (l *Log) expire() error {
	keep, maxSize := time.Duration(l.keep.Load()), uint64(l.maxSize.Load())
	before := time.Now().Add(-keep).Unix()
	return l.removeOld(func(f *file, total uint64) bool {
		return keep > 0 && int64(f.sealed.Last) < before || maxSize > 0 && total > maxSize
	})
}
