package slowlog

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"stack/appliance/config"
)

// queueBytes bounds the entries that wait to be written.
const queueBytes = 4 << 20

// Log is the slow log of a server. Its methods may be called from many goroutines, but Prepare and
// Close, which the role's control goroutine calls.
type Log struct {
	stdout io.Writer
	log    *slog.Logger

	mu      sync.Mutex
	queue   []Entry
	bytes   int
	out     *output // in use
	pending *output // to be used from the next entry on
	closed  bool
	losing  bool // the last entry was dropped

	wake    chan struct{}
	done    chan struct{}
	dropped atomic.Uint64
	written atomic.Uint64
}

// output is where entries go; file is nil for the process's own log.
type output struct {
	w        io.Writer
	file     *os.File
	path     string
	database string // of the last entry
	failed   bool
}

// New makes a log that writes to stdout, the process's own log, until it is told otherwise.
func New(stdout io.Writer, log *slog.Logger) *Log {
	l := &Log{stdout: stdout, log: log, out: &output{w: stdout, path: "the process's log"}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.write()
	return l
}

// Change is a prepared setting. Exactly one of Commit and Abort follows.
type Change struct {
	l   *Log
	out *output
}

// Prepare opens the file anew, or for the first time.
func (l *Log) Prepare(c config.DBSlowLog) (*Change, error) {
	if c.Path == "" {
		return &Change{l, &output{w: l.stdout, path: "the process's log"}}, nil
	}
	// O_NONBLOCK: a named pipe that nobody reads is refused rather than waited for.
	f, err := os.OpenFile(c.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, fmt.Errorf("db.slow_log.path: cannot open the file: %w; make its directory exist and writable for this process, or name another file", err)
	}
	return &Change{l, &output{w: f, file: f, path: c.Path}}, nil
}

// Commit starts to use the new setting. Entries that wait are written there.
func (c *Change) Commit() {
	c.l.mu.Lock()
	unused := c.l.pending
	c.l.pending = c.out
	c.l.mu.Unlock()
	unused.close()
	c.l.signal()
}

// Abort closes what Prepare opened.
func (c *Change) Abort() { c.out.close() }

func (o *output) close() {
	if o != nil && o.file != nil {
		o.file.Close()
	}
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Add queues an entry, or drops it where the queue is full. It does not block.
func (l *Log) Add(e Entry) {
	e.clip()
	l.mu.Lock()
	if l.closed || l.bytes+e.size() > queueBytes {
		first := !l.losing && !l.closed
		l.losing = true
		l.mu.Unlock()
		l.dropped.Add(1)
		if first {
			l.log.Warn("the slow log drops statements: they come faster than the disk takes them")
		}
		return
	}
	l.losing = false
	l.queue = append(l.queue, e)
	l.bytes += e.size()
	l.mu.Unlock()
	l.signal()
}

// Counts is how many statements were written and how many dropped.
func (l *Log) Counts() (written, dropped uint64) { return l.written.Load(), l.dropped.Load() }

// Close writes what waits and stops.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.done
}

// write empties the queue until the log is closed.
func (l *Log) write() {
	defer close(l.done)
	var buf []byte
	for {
		<-l.wake
		l.mu.Lock()
		batch, next, closed := l.queue, l.pending, l.closed
		l.queue, l.bytes, l.pending = nil, 0, nil
		l.mu.Unlock()
		if next != nil {
			l.out.close()
			l.out = next
		}
		for i := range batch {
			buf = batch[i].append(buf[:0], l.out.database)
			l.put(&batch[i], buf)
		}
		if closed {
			l.out.close()
			return
		}
	}
}

// put writes one entry. A file that takes none is logged once, until it does.
func (l *Log) put(e *Entry, text []byte) {
	if _, err := l.out.w.Write(text); err != nil {
		l.dropped.Add(1)
		if !l.out.failed {
			l.log.Error("the slow log cannot be written: make room or name another file", "file", l.out.path, "error", err)
		}
		l.out.failed = true
		return
	}
	l.out.failed = false
	if e.Database != "" {
		l.out.database = e.Database
	}
	l.written.Add(1)
}
