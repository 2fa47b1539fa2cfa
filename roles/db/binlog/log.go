package binlog

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// Options of Open; the zero value is usable.
type Options struct {
	Version  string        // of the server, in each file; default "8.0.40-stack"
	Keep     time.Duration // a file whose last event is older goes; 0: none does for its age
	MaxSize  int64         // bytes of all files; the oldest go beyond it; 0: no bound
	FileSize int64         // bytes at which a new file begins; default 256 MiB, at most MaxSize/4
	SealSize int64         // bytes of the tail that are sealed at once; default 16 MiB
	Archive  string        // see SetArchive
	Log      *slog.Logger  // default: discards
}

const (
	defaultVersion  = "8.0.40-stack"
	defaultFileSize = 256 << 20
	minFileSize     = 1 << 20
	defaultSealSize = 16 << 20
	chunkSize       = 1 << 20 // bytes of events under one key, unless one event is larger
	directory       = "binlog"
	filePrefix      = "binlog."
	firstOffset     = uint64(len(event.Magic))
)

var (
	// ErrPurged: the events asked for are in files that are no more (MySQL 1236).
	ErrPurged = errors.New("the binary log no longer holds the transactions asked for")
	// ErrNoFile: the log has no such file, or the position is not in it (MySQL 1220, 1373).
	ErrNoFile = errors.New("the binary log has no such file or position")
	// ErrClosed: the log was closed while a reader waited.
	ErrClosed = errors.New("the binary log is closed")
)

// Position is a place in the log: the number of a file and the offset in it.
type Position struct {
	File   uint32
	Offset uint64
}

// String is file name and offset, as MySQL writes them.
func (p Position) String() string { return fmt.Sprintf("%s:%d", FileName(p.File), p.Offset) }

// Dir is where a data directory has its files.
func Dir(data string) string { return filepath.Join(data, directory) }

// FileName is the name of the file with this number.
func FileName(number uint32) string { return fmt.Sprintf("%s%06d", filePrefix, number) }

// ParseFileName is the number of the file with this name; ErrNoFile where no file of
// the log can have it.
func ParseFileName(name string) (uint32, error) {
	digits, ok := strings.CutPrefix(name, filePrefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n == 0 || FileName(uint32(n)) != name {
		return 0, fmt.Errorf("%q: %w", name, ErrNoFile)
	}
	return uint32(n), nil
}

// Log is the binary log of a node. Its methods are safe for concurrent use, but for
// those that say that they belong to the commit leader.
type Log struct {
	st     *store.Store
	opts   Options
	log    *slog.Logger
	dir    string
	server uint32
	uuid   [16]byte
	built  uint32 // server version as a number

	keep    atomic.Int64 // nanoseconds
	maxSize atomic.Int64
	archive atomic.Pointer[string]
	trouble atomic.Pointer[string] // see Trouble

	writer writer // leader only
	group  Group  // leader only, used again for each

	larges  atomic.Uint64 // files of large transactions begun so far
	purging sync.Mutex    // held while files are removed

	mu       sync.Mutex
	files    []file // oldest first; the last one is being written
	readable Position
	written  Position      // applied, perhaps not durable yet
	changed  chan struct{} // closed at the next change; nil where nobody waits
	closed   bool
	readers  map[*Reader]struct{}

	ring ring

	kick chan struct{}
	done chan struct{}
	wait sync.WaitGroup
}

// file is what is known of a file of the log.
type file struct {
	number   uint32
	record   record
	end      uint64 // 0 for the one that is being written
	sealed   sealed
	archived string // the directory that it was put into; empty: none
}

// ServerID is the id of this server in the events: from its UUID, never 0.
func (l *Log) ServerID() uint32 { return l.server }

// serverID makes a server id of a UUID. Two servers of a site have the same one in one
// of four thousand million cases.
func serverID(uuid [16]byte) uint32 {
	id := uint32(uuid[0])<<24 | uint32(uuid[1])<<16 | uint32(uuid[2])<<8 | uint32(uuid[3])
	return max(id, 1)
}

// SetBounds changes Options.Keep and Options.MaxSize.
func (l *Log) SetBounds(keep time.Duration, maxSize int64) {
	l.keep.Store(int64(keep))
	l.maxSize.Store(maxSize)
	l.wake()
}

// Close stops the sealer; readers that wait get ErrClosed. What is in the tail stays
// there. The commit leader must have stopped.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.broadcast()
	l.mu.Unlock()
	close(l.done)
	l.wait.Wait()
}

// Position is the end of the log as readers see it.
func (l *Log) Position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readable
}

// Written is where the log ends, what is not durable yet included.
func (l *Log) Written() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written
}

// FileInfo describes a file of the log.
type FileInfo struct {
	Number uint32
	Size   uint64 // bytes, what is in the tail included
	Sealed uint64 // bytes in the plain file
}

// Files are the files of the log, the oldest first.
func (l *Log) Files() []FileInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]FileInfo, 0, len(l.files))
	for i := range l.files {
		f := &l.files[i]
		if f.number > l.readable.File {
			break
		}
		list = append(list, FileInfo{f.number, l.limit(f), f.sealed.Offset})
	}
	return list
}

// limit is how far readers may read in a file. l.mu is held.
func (l *Log) limit(f *file) uint64 {
	switch {
	case f.number < l.readable.File:
		return f.end
	case f.number == l.readable.File:
		return l.readable.Offset
	}
	return 0
}

func (l *Log) find(number uint32) *file {
	for i := range l.files {
		if l.files[i].number == number {
			return &l.files[i]
		}
	}
	return nil
}

// Poke makes who waits for the log look up, though it has not changed.
func (l *Log) Poke() {
	l.mu.Lock()
	l.broadcast()
	l.mu.Unlock()
}

// broadcast wakes everybody who waits for a change. l.mu is held.
func (l *Log) broadcast() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// change is closed at the next change of the log. l.mu is held.
func (l *Log) change() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// wake lets the sealer look; it never blocks.
func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// FileSize is where a new file begins, bytes.
func (l *Log) FileSize() uint64 {
	size := l.opts.FileSize
	if bound := l.maxSize.Load(); bound > 0 {
		size = min(size, max(bound/4, minFileSize))
	}
	return uint64(size)
}

// ServerUUID is the UUID of this server, which its transactions are named by.
func (l *Log) ServerUUID() [16]byte { return l.uuid }

// Purged is the GTID set of the transactions before the oldest file.
func (l *Log) Purged() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) == 0 {
		return ""
	}
	return l.files[0].record.Previous
}
