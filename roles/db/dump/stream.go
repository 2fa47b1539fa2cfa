package dump

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// Request is what a reader asks for.
type Request struct {
	Identity
	File   string // of the log; empty: the oldest, but for MariaDB. Not with ByGTID
	Offset uint64
	// ByGTID asks for every transaction that is not in Executed.
	ByGTID   bool
	Executed mysql.Mysql56GTIDSet
	// Heartbeat is how long the stream may be silent; 0: for ever.
	Heartbeat time.Duration
	Checksums bool // events have CRC-32s
	MariaDB   bool // the reader is a MariaDB replica
	Shown     bool // the reader wants to be told what may be seen: see Source.SetShown
}

// Refused is an answer with MySQL's number 1236: why a log cannot be sent, or not on.
type Refused string

func (r Refused) Error() string { return string(r) }

const errReplaced = Refused("A replica with the same server_uuid/server_id as this replica has connected to the source; " +
	"give each replica its own, or let the other one end")

// Stream is the log on its way to one reader. One goroutine uses it; Acknowledged may be
// called by another.
type Stream struct {
	source  *Source
	replica *replica
	reader  *binlog.Reader
	period  time.Duration
	timer   *time.Timer // nil without heartbeats
	summed  bool
	mariadb bool
	dialect mariadb // where mariadb

	file     uint32 // that the reader knows to be in
	offset   uint64 // up to which it has read
	held     *binlog.Event
	pending  [][]byte
	format   []byte // format description of the file formatOf, without checksum
	formatOf uint32
	out      []byte
	spare    []byte        // room for an event in another dialect
	skipped  time.Time     // since when transactions are left out
	shown    func() uint64 // nil: the reader does not ask
	told     uint64        // what it was told of that

	once  sync.Once
	ended chan struct{}
	why   error
}

// skipSlice is how many events are passed over between two looks at what may end that.
const skipSlice = 1024

// Open begins to send. Refused, where the log has not what is asked for. It may read a file to find the place of a MariaDB
// replica, which ctx ends.
func (s *Source) Open(ctx context.Context, q Request) (*Stream, error) {
	st := &Stream{source: s, period: q.Heartbeat, summed: q.Checksums, mariadb: q.MariaDB, ended: make(chan struct{})}
	if q.Checksums {
		st.dialect.checksum = event.ChecksumSize
	}
	var offset uint64 // as the reader is told it
	var within bool
	var err error
	if st.mariadb && !q.ByGTID {
		offset, within, err = s.openWithin(ctx, st, q.File, q.Offset)
	}
	switch {
	case err != nil || within:
	case q.ByGTID:
		err = s.openGTID(st, q.Executed)
	default:
		err = s.openAt(st, q.File, q.Offset)
	}
	if err != nil {
		return nil, err
	}
	at := st.reader.Position()
	st.file, st.offset = at.File, at.Offset
	if !within {
		offset = at.Offset
	}
	if err := st.announce(at, offset); err != nil {
		st.reader.Close()
		return nil, err
	}
	if f := s.shown.Load(); q.Shown && f != nil {
		st.shown, st.told = *f, (*f)()
		st.pending = append(st.pending, st.finish(nil, event.AppendShown(nil, s.log.ServerID(), st.told), 0))
	}
	if st.period > 0 {
		st.timer = time.NewTimer(st.period)
	}
	s.begin(q.Identity, st)
	return st, nil
}

// openAt opens the log at a position.
func (s *Source) openAt(st *Stream, file string, offset uint64) (err error) {
	files := s.log.Files()
	at := binlog.Position{Offset: offset}
	if at.Offset < uint64(len(event.Magic)) {
		return Refused("Client requested source to start replication from impossible position")
	}
	if st.mariadb && file == "" {
		// That of MariaDB's GTIDs has forgotten where it was, and would get again what it has.
		return Refused("The replica names no file of the binary log, and by MariaDB's GTIDs it cannot follow this server: " +
			"let it begin at a position, CHANGE MASTER TO MASTER_LOG_FILE = '...', MASTER_LOG_POS = ...")
	}
	if len(files) > 0 && file == "" {
		at.File = files[0].Number
	} else if at.File, err = binlog.ParseFileName(file); err != nil {
		return Refused(fmt.Sprintf("Could not find first log file name in binary log index file: there is no %q", file))
	}
	for _, f := range files {
		if f.Number == at.File && at.Offset > f.Size {
			return Refused(fmt.Sprintf("Client requested source to start replication from position > file size: %s has %d bytes", at, f.Size))
		}
	}
	st.reader, err = s.log.Open(at)
	if errors.Is(err, binlog.ErrNoFile) {
		return Refused(fmt.Sprintf("Could not find first log file name in binary log index file: %s is not in it", binlog.FileName(at.File)))
	}
	return err
}

// openGTID opens the log where it holds something that is not in executed.
func (s *Source) openGTID(st *Stream, executed mysql.Mysql56GTIDSet) error {
	have, err := event.ParseGTIDs(s.executed())
	if err != nil {
		return err
	}
	own := mysql.SID(s.log.ServerUUID())
	more := event.Without(mysql.Mysql56GTIDSet{own: executed[own]}, have)
	if len(executed[own]) > 0 && len(more) > 0 {
		return Refused(fmt.Sprintf("Replica has more GTIDs than the source has, using the source's SERVER_UUID: %s. "+
			"The end of the source's binary log was lost, or the replica has followed another server of this name; "+
			"seed the replica anew, or take these transactions back from it", more))
	}
	st.reader, err = s.log.OpenGTID(executed)
	if errors.Is(err, binlog.ErrPurged) {
		purged, err := event.ParseGTIDs(s.log.Purged())
		if err != nil {
			return err
		}
		return Refused(fmt.Sprintf("Cannot replicate because the source purged required binary logs. Seed the replica anew from the source or a backup. "+
			"The GTID set sent by the replica is '%s', and the missing transactions are '%s'", executed, event.Without(purged, executed)))
	}
	return err
}

// announce queues what tells the reader that it is at a position, and which offset it is to count
// on from: the name of the file, and its format where the reader does not begin with it.
func (st *Stream) announce(at binlog.Position, offset uint64) error {
	rotate := event.AppendFakeRotate(nil, st.source.log.ServerID(), binlog.FileName(at.File), offset)
	st.pending = append(st.pending, st.finish(nil, rotate, 0))
	if at.Offset <= uint64(len(event.Magic)) {
		return nil
	}
	if st.formatOf != at.File {
		r, err := st.source.log.Open(binlog.Position{File: at.File})
		if err != nil {
			return err
		}
		defer r.Close()
		ev, err := r.TryNext()
		if err != nil || ev == nil {
			return errors.Join(err, errors.New("the file of the binary log has no beginning"))
		}
		st.noteFormat(ev)
	}
	st.pending = append(st.pending, event.AppendFormat(nil, st.format, true, st.summed))
	return nil
}

// noteFormat keeps the format description of a file.
func (st *Stream) noteFormat(ev *binlog.Event) {
	st.formatOf, st.format = ev.File, append(st.format[:0], bare(ev.Bytes)...)
}

// bare is an event of a file without its checksum.
func bare(ev []byte) []byte { return ev[:len(ev)-event.ChecksumSize] }

// finish appends an event as the reader wants it.
func (st *Stream) finish(dst, ev []byte, endPos uint32) []byte {
	if st.summed {
		return event.Finish(dst, ev, endPos)
	}
	return event.AppendBare(dst, ev, endPos)
}

// Stop makes Next fail with an error. Any goroutine may call it.
func (st *Stream) Stop(why error) {
	st.once.Do(func() {
		st.why = why
		close(st.ended)
	})
}

// Close ends the stream.
func (st *Stream) Close() {
	st.Stop(context.Canceled)
	if st.timer != nil {
		st.timer.Stop()
	}
	st.reader.Close()
	st.source.done(st)
}

// Acknowledged notes what a replica of ours says to be durable there; of any other reader
// nothing is noted.
func (st *Stream) Acknowledged(epoch, seq uint64) {
	if st.replica.Name != "" {
		st.source.acknowledged(st.replica, epoch, seq)
	}
}

// Next returns the next event, valid until the next call: at once, nil for none; or, with
// wait, when there is one, or when the stream has been silent for the period of its
// heartbeats. Refused, ErrClosed of package binlog, and the end of ctx are errors.
func (st *Stream) Next(ctx context.Context, wait bool) ([]byte, error) {
	select {
	case <-st.ended:
		return nil, st.why
	default:
	}
	for left := skipSlice; ; {
		if len(st.pending) > 0 {
			ev := st.pending[0]
			st.pending = st.pending[1:]
			st.replica.bytes.Add(uint64(len(ev)))
			return ev, nil
		}
		if st.tellShown() {
			continue
		}
		ev, changed, err := st.read(wait)
		if err != nil {
			return nil, st.refused(err)
		}
		if ev == nil {
			if !wait {
				return nil, nil
			}
			if st.tellShown() { // since what wakes was asked for
				continue
			}
			if beat, err := st.wait(ctx, changed); beat != nil || err != nil {
				return beat, err
			}
			continue
		}
		if ev.File != st.file {
			at := ev.Position
			st.held, st.file, st.offset = keep(ev), at.File, at.Offset
			if err := st.announce(at, at.Offset); err != nil {
				return nil, st.refused(err)
			}
			continue
		}
		if ev.Bytes != nil {
			return st.send(ev)
		}
		st.offset = ev.End
		if left--; left == 0 {
			if beat, err := st.skip(ctx); beat != nil || err != nil {
				return beat, err
			}
			left = skipSlice
		}
	}
}

// tellShown queues what may be seen, where that has changed, and reports whether it has.
func (st *Stream) tellShown() bool {
	if st.shown == nil {
		return false
	}
	n := st.shown()
	if n == st.told {
		return false
	}
	st.told = n
	st.pending = append(st.pending, st.finish(nil, event.AppendShown(nil, st.source.log.ServerID(), n), 0))
	return true
}

// read returns the next event; without Bytes where the reader has its transaction.
func (st *Stream) read(wait bool) (*binlog.Event, <-chan struct{}, error) {
	if ev := st.held; ev != nil {
		st.held = nil
		return ev, nil, nil
	}
	ev, out, changed, err := st.reader.Read(wait)
	if out {
		ev.Bytes = nil
	}
	return ev, changed, err
}

// keep copies an event that is given out later.
func keep(ev *binlog.Event) *binlog.Event {
	return &binlog.Event{Position: ev.Position, End: ev.End, Bytes: append([]byte(nil), ev.Bytes...)}
}

// refused is an error of the log as a reader hears it.
func (st *Stream) refused(err error) error {
	switch {
	case errors.Is(err, binlog.ErrPurged):
		return Refused(fmt.Sprintf("The source has removed %s, which this reader had not read to its end; seed the replica anew, or raise db.binlog.keep", binlog.FileName(st.file)))
	case errors.Is(err, binlog.ErrNoFile):
		return Refused("bogus data in log event; the reader asked for a position at which no event begins: " + strings.TrimSuffix(err.Error(), ": "+binlog.ErrNoFile.Error()))
	}
	return err
}

// wait waits until the log has changed; with a heartbeat, the stream was silent for long.
func (st *Stream) wait(ctx context.Context, changed <-chan struct{}) ([]byte, error) {
	var tick <-chan time.Time
	if st.timer != nil {
		st.timer.Reset(st.period)
		tick = st.timer.C
	}
	select {
	case <-changed:
		return nil, nil
	case <-tick:
		return st.heartbeat(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-st.ended:
		return nil, st.why
	}
}

// skip looks up from leaving out transactions: it may take long.
func (st *Stream) skip(ctx context.Context) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	now := time.Now()
	if st.skipped.IsZero() {
		st.skipped = now
	}
	if st.period > 0 && now.Sub(st.skipped) >= st.period {
		st.skipped = now
		return st.heartbeat(), nil
	}
	return nil, nil
}

// heartbeat says how far the reader is.
func (st *Stream) heartbeat() []byte {
	ev := event.AppendHeartbeat(nil, st.source.log.ServerID(), binlog.FileName(st.file))
	st.out = st.finish(st.out[:0], ev, uint32(st.offset))
	st.replica.heartbeats.Add(1)
	st.replica.bytes.Add(uint64(len(st.out)))
	return st.out
}

// send gives an event of the log out.
func (st *Stream) send(ev *binlog.Event) ([]byte, error) {
	st.skipped = time.Time{}
	out := ev.Bytes
	switch {
	case event.Type(out[4]) == event.TypeFormatDescription:
		st.noteFormat(ev)
		if !st.summed {
			st.out = event.AppendFormat(st.out[:0], bare(out), false, false)
			out = st.out
		}
	case st.mariadb:
		var err error
		if out, err = st.translated(ev); err != nil {
			return nil, err
		}
	case st.summed:
	default:
		st.out = event.AppendBare(st.out[:0], bare(out), uint32(ev.End))
		out = st.out
	}
	if cap(st.out) > 1<<20 {
		st.out = nil
	}
	st.offset = ev.End
	r := st.replica
	r.file.Store(st.file)
	r.offset.Store(st.offset)
	r.events.Add(1)
	r.bytes.Add(uint64(len(out)))
	return out, nil
}

// translated is an event for a MariaDB replica; what it must be told behind it is queued.
func (st *Stream) translated(ev *binlog.Event) ([]byte, error) {
	t, err := st.dialect.translate(st.spare[:0], ev)
	if err != nil {
		return nil, err
	}
	st.out = st.finish(st.out[:0], t.body, t.pos)
	if cap(t.body) > cap(st.spare) && cap(t.body) < 1<<20 && len(t.body) > 0 && &t.body[0] != &ev.Bytes[0] {
		st.spare = t.body
	}
	if t.told {
		if err := st.announce(binlog.Position{File: ev.File, Offset: ev.End}, ev.End); err != nil {
			return nil, st.refused(err)
		}
	}
	return st.out, nil
}
