package accesslog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
)

// flushAfter is how long a line waits for company before it is written.
const flushAfter = 500 * time.Millisecond

// Log is the access log of a role. Append is called by loops, Prepare and Close by
// the role's control goroutine, the counters by any.
type Log struct {
	stdout io.Writer
	log    *slog.Logger
	rings  []ring
	mode   atomic.Int32 // off, json, combined

	pending atomic.Pointer[output] // to be used from the next flush on
	lost    atomic.Uint64          // lines that the file did not take
	ready   chan struct{}          // a ring is not empty any more
	full    chan struct{}          // a ring wants to be emptied now
	stop    chan struct{}
	done    chan struct{}
}

const (
	off int32 = iota
	asJSON
	asCombined
)

// output is where lines go; file is nil for the process's own log.
type output struct {
	w    io.Writer
	file *os.File
	path string
}

// New makes a log that is off, for that many loops. stdout is the process's own log,
// used where the configuration names no file; log takes the few messages of the access
// log about itself.
func New(loops int, stdout io.Writer, log *slog.Logger) *Log {
	l := &Log{stdout: stdout, log: log, rings: make([]ring, loops), ready: make(chan struct{}, 1),
		full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go l.write()
	return l
}

// Change is a prepared setting of the log. Exactly one of Commit and Abort follows.
type Change struct {
	l    *Log
	mode int32
	out  *output
}

// Prepare opens what c asks for, beside what is in use. The error names the file and
// the cure.
func (l *Log) Prepare(c config.AccessLog) (*Change, error) {
	ch := &Change{l: l}
	if !c.Enabled {
		return ch, nil
	}
	var err error
	if ch.mode, err = parseFormat(c.Format); err != nil {
		return nil, err
	}
	if c.Path == "" {
		ch.out = &output{w: l.stdout, path: "the process's log"}
		return ch, nil
	}
	// O_NONBLOCK: a named pipe that nobody reads is refused rather than waited for.
	f, err := os.OpenFile(c.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, openError(c.Path, err)
	}
	ch.out = &output{w: f, file: f, path: c.Path}
	return ch, nil
}

func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Commit starts to use the new setting. Lines that wait are written to the new file.
func (c *Change) Commit() {
	if c.out != nil {
		if unused := c.l.pending.Swap(c.out); unused != nil {
			unused.close()
		}
		signal(c.l.ready)
	}
	c.l.mode.Store(c.mode)
}

// Abort closes what Prepare opened.
func (c *Change) Abort() {
	if c.out != nil {
		c.out.close()
	}
}

func (o *output) close() {
	if o != nil && o.file != nil {
		o.file.Close()
	}
}

// Append writes the line of r. Called on the loop of that number only.
//
// Hot path: guarded by BenchmarkAppend.
func (l *Log) Append(loop int, r *exchange.Record) {
	mode := l.mode.Load()
	if mode == off {
		return
	}
	ring := &l.rings[loop]
	if mode == asJSON {
		ring.scratch = ring.stamp.appendJSON(ring.scratch[:0], r)
	} else {
		ring.scratch = ring.stamp.appendCombined(ring.scratch[:0], r)
	}
	before, now, ok := ring.put(ring.scratch)
	switch {
	case !ok, before < flushAt && now >= flushAt:
		signal(l.full)
	case before == 0:
		signal(l.ready)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Counters are lines since the start.
type Counters struct {
	Lines   uint64 // handed to the writer
	Dropped uint64 // lost because the disk was too slow
	Failed  uint64 // lost because the file gave an error
}

// Counters may be called from any goroutine.
func (l *Log) Counters() (c Counters) {
	for i := range l.rings {
		c.Lines += l.rings[i].lines.Load()
		c.Dropped += l.rings[i].dropped.Load()
	}
	c.Failed = l.lost.Load()
	return c
}

// Close writes what waits and ends the writer. No Append may follow.
func (l *Log) Close() {
	close(l.stop)
	<-l.done
}

// write is the writer's goroutine.
func (l *Log) write() {
	defer close(l.done)
	var out *output
	defer func() {
		l.flush(&out, nil)
		out.close()
	}()
	var said trouble
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.ready:
			timer.Reset(flushAfter)
			select {
			case <-l.stop:
				return
			case <-l.full:
			case <-timer.C:
			}
			timer.Stop()
		case <-l.full:
		}
		l.flush(&out, &said)
	}
}

// trouble remembers what has been logged, so that it is logged once.
type trouble struct {
	failing bool
	dropped uint64
	quiet   bool // a loss has been logged and not passed yet
}

func (l *Log) flush(out **output, said *trouble) {
	if next := l.pending.Swap(nil); next != nil {
		(*out).close()
		*out = next
	}
	if *out == nil {
		return
	}
	var failure error
	for i := range l.rings {
		lost, err := l.rings[i].drain((*out).w)
		if err != nil {
			failure = err
			l.lost.Add(max(1, uint64(bytes.Count(lost, []byte{'\n'}))))
		}
	}
	if said == nil {
		return
	}
	switch {
	case failure != nil && !said.failing:
		said.failing = true
		l.log.Error("access log lines are lost: the file takes none", "path", (*out).path, "error", plain(failure))
	case failure == nil && said.failing:
		said.failing = false
		l.log.Info("the access log is written again", "path", (*out).path)
	}
	dropped := l.Counters().Dropped
	switch {
	case dropped > said.dropped && !said.quiet:
		said.quiet = true
		l.log.Warn("access log lines are lost: the file is slower than they come", "path", (*out).path, "lost_so_far", dropped)
	case dropped == said.dropped:
		said.quiet = false
	}
	said.dropped = dropped
}
