package replica

import (
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"stack/roles/db/binlog/event"
)

// linkError is the end of a connection: there may be another.
type linkError struct{ err error }

func (e *linkError) Error() string { return e.err.Error() }
func (e *linkError) Unwrap() error { return e.err }

// refusedError is something in the log that cannot be repeated here.
type refusedError struct{ what string }

func (e *refusedError) Error() string { return e.what }

// Types of events that are refused by name.
const (
	typeIntvar      event.Type = 5
	typeRand        event.Type = 13
	typeUserVar     event.Type = 14
	typeHeartbeat   event.Type = 27
	typeXAPrepare   event.Type = 38
	typePartialRows event.Type = 39
	typePayload     event.Type = 40
	typeHeartbeat2  event.Type = 41
	typeEncryption  event.Type = 164
	typeCompressed  event.Type = 165 // to 171
	typeLastMaria   event.Type = 171
)

var (
	sequenceText = regexp.MustCompile(`(?is)^\s*(create(\s+or\s+replace)?|alter|drop)\s+sequence\b`)
	xaText       = regexp.MustCompile(`(?is)^\s*xa\s`)
	controlText  = regexp.MustCompile(`(?is)^\s*(begin|commit|rollback|(release\s+)?savepoint)\b`)
	tableText    = regexp.MustCompile(`(?is)^\s*create\s+(or\s+replace\s+)?(temporary\s+)?table\b`)
)

const (
	// joined is up to how many bytes a transaction is handed on as a whole, so that its size is
	// known: the applier puts several that are small into one write.
	joined = 1 << 20
	// piece is how many bytes of a larger one are handed on at once.
	piece = 256 << 10
)

// receiver reads the log off a connection into a queue.
type receiver struct {
	c     *conn
	q     pipe
	maria bool
	auto  bool   // the source was asked for what is not here, and not for a position
	clock func() // called for each event: the source is alive

	sums    bool // events have checksums
	known   bool // sums is what the format description says
	at      Position
	named   bool // the source has named the file that it begins in
	cur     *chunk
	gtid    event.GTID // of the open transaction
	header  event.Header
	origin  event.MariaGTID
	open    bool // inside a transaction
	alone   bool // a statement ends it
	sent    bool // its beginning was handed on
	begun   bool // it has its first event behind the GTID
	rows    bool // an XID ends it
	more    bool // what the queue was told
	bytes   *atomic.Uint64
	arrived *atomic.Uint64 // transactions
	heard   *arrivals
	shown   func(upto uint64) // called where the source tells how far its log may be applied; nil: nobody has to know
	there   *sourceClock      // nil: not asked
}

// run reads until the connection ends.
func (v *receiver) run() error {
	for {
		if err := v.step(); err != nil {
			return err
		}
	}
}

var errClosed = errors.New("stopped")

// step reads a packet: 00 and an event; or an error; or the end.
func (v *receiver) step() error {
	if v.cur == nil {
		v.cur = v.q.take()
	}
	if v.more && !v.c.buffered() {
		v.more = false
		if err := v.q.silent(); err != nil {
			return &linkError{err}
		}
	}
	c := v.cur
	start := len(c.buf)
	buf, err := v.c.read(c.buf)
	if err != nil {
		return &linkError{fmt.Errorf("the connection to the source has ended: %w", err)}
	}
	v.clock()
	v.bytes.Add(uint64(len(buf) - start))
	p := buf[start:]
	switch {
	case len(p) == 0:
		return &linkError{fmt.Errorf("%w: an empty packet", errProtocol)}
	case p[0] == packetError:
		return &linkError{parseError(p)}
	case p[0] == packetEOF && len(p) < 9:
		return &linkError{errors.New("the source has ended the log: it is being stopped")}
	case p[0] != packetOK:
		return &linkError{fmt.Errorf("%w: %#x instead of an event", errProtocol, p[0])}
	}
	ev, err := v.plain(p[1:])
	if err != nil {
		return &linkError{err}
	}
	keep, err := v.event(ev)
	if err != nil {
		return err
	}
	if !keep {
		if v.cur == c {
			c.buf = buf[:start]
		}
		return nil
	}
	c.buf = buf[:start+1+len(ev)]
	c.marks = append(c.marks, mark{start + 1, len(c.buf)})
	return v.handOn(ev)
}

// plain takes the checksum off an event, which must be right.
func (v *receiver) plain(ev []byte) ([]byte, error) {
	if len(ev) < event.HeaderSize {
		return nil, fmt.Errorf("an event of %d bytes: %w", len(ev), event.ErrCorrupt)
	}
	sums := v.sums
	switch {
	case event.Type(ev[4]) == event.TypeFormatDescription:
		var err error
		if v.sums, err = event.Checksums(ev); err != nil {
			return nil, err
		}
		v.known, sums = true, true
	case !v.known:
		// What comes before the format description does not say: the source has the choice.
		sums = event.Verify(ev) == nil
	}
	if sums {
		if err := event.Verify(ev); err != nil {
			return nil, fmt.Errorf("an event of type %v has come damaged: %w", event.Type(ev[4]), err)
		}
		ev = ev[:len(ev)-event.ChecksumSize]
	}
	withoutChecksum(ev)
	return ev, nil
}

// event looks at an event and says whether it is part of a transaction.
func (v *receiver) event(ev []byte) (keep bool, err error) {
	h, err := event.ParseHeader(ev)
	if err != nil {
		return false, &linkError{err}
	}
	switch h.Type {
	case typeHeartbeat, typeHeartbeat2:
		v.heard.heartbeat()
		v.beat(ev, h)
		return false, nil
	case event.TypeShown:
		upto, err := event.ParseShown(ev)
		if err != nil {
			return false, &linkError{err}
		}
		if v.shown != nil {
			v.shown(upto)
		}
		return false, nil
	case event.TypeFormatDescription, event.TypePreviousGTIDs, typeEncryption:
		return false, nil
	case event.TypeRotate:
		if v.at.File, v.at.Offset, err = event.ParseRotate(ev); err != nil {
			return false, &linkError{err}
		}
		// Asked for what is not here, the source begins at what may be before that.
		if !v.open && (v.named || !v.auto) {
			v.q.pass(v.at)
		}
		v.named = true
		return false, nil
	}
	if h.End != 0 {
		v.at.Offset = uint64(h.End)
	}
	switch {
	case h.Type == event.TypeMariaGTID:
		return false, v.beginMaria(ev, h)
	case h.Type == event.TypeGTID || h.Type == event.TypeAnonymousGTID:
		return false, v.begin(ev, h)
	case h.Ignorable():
		return false, nil
	case !v.open:
		return false, &linkError{fmt.Errorf("an event of type %v outside of a transaction: %w", h.Type, event.ErrCorrupt)}
	}
	if err := v.refuse(ev, h); err != nil {
		return false, err
	}
	if v.begun {
		return true, nil
	}
	v.begun = true
	return v.first(ev, h)
}

// beat takes the position of a heartbeat, which names the file in its body: the source has sent what is before it.
func (v *receiver) beat(ev []byte, h event.Header) {
	if h.Type == typeHeartbeat && !v.open && string(ev[event.HeaderSize:]) == v.at.File && uint64(h.End) > v.at.Offset {
		v.at.Offset = uint64(h.End)
		v.q.pass(v.at)
	}
}

// begin begins a transaction.
func (v *receiver) begin(ev []byte, h event.Header) error {
	g, err := event.ParseGTID(ev)
	if err == nil {
		err = v.start(h, g.String())
	}
	if err != nil {
		return &linkError{err}
	}
	v.gtid = g
	if t := v.gtid.Original; t != 0 {
		v.cur.committed = time.UnixMicro(t)
	} else if t := v.gtid.Committed; t != 0 {
		v.cur.committed = time.UnixMicro(t)
	}
	tx := Transaction{Name: v.gtid.String(), Original: v.cur.committed, Committed: v.cur.committed}
	if t := v.gtid.Committed; t != 0 {
		tx.Committed = time.UnixMicro(t)
		if v.there != nil {
			v.there.heard(tx.Committed)
		}
	}
	v.cur.name = tx.Name
	if v.gtid.Number == 0 {
		tx.Name, v.cur.name = "ANONYMOUS", fmt.Sprintf("before %s:%d", v.at.File, v.at.Offset)
	}
	v.cur.tx = tx
	v.heard.begin(tx)
	return nil
}

// beginMaria begins a transaction of MariaDB, which has no GTID of MySQL's kind.
func (v *receiver) beginMaria(ev []byte, h event.Header) error {
	g, err := event.ParseMariaGTID(ev)
	if err == nil {
		err = v.start(h, g.String())
	}
	if err != nil {
		return &linkError{err}
	}
	v.origin, v.gtid = g, event.GTID{Committed: int64(h.Timestamp) * 1e6}
	v.cur.name = v.origin.String()
	v.cur.tx = Transaction{Name: v.cur.name, Original: v.cur.committed, Committed: v.cur.committed}
	v.heard.begin(v.cur.tx)
	v.alone = v.origin.Standalone
	if v.origin.XA {
		return v.refused("an XA transaction: XA is not available")
	}
	return nil
}

// start begins the transaction that the source calls next. The one before it must have ended: nobody could tell their
// events apart.
func (v *receiver) start(h event.Header, next string) error {
	if v.open {
		return fmt.Errorf("transaction %s does not end before %s begins: %w", v.cur.name, next, event.ErrCorrupt)
	}
	v.header, v.open, v.alone, v.sent, v.begun, v.rows = h, true, false, false, false, false
	v.cur.committed = time.Unix(int64(h.Timestamp), 0)
	return nil
}

// first looks at what follows the GTID: MariaDB leaves out BEGIN, and writes the rows of a new
// table behind the statement that makes it.
func (v *receiver) first(ev []byte, h event.Header) (keep bool, err error) {
	var q *event.Query
	if h.Type == event.TypeQuery {
		if q, err = event.ParseQuery(ev); err != nil {
			return false, &linkError{err}
		}
	}
	if v.origin == (event.MariaGTID{}) || v.alone {
		if v.alone && q != nil {
			withoutRows(ev, q)
		}
		v.rows = q == nil || q.RowsFollow()
		return true, nil
	}
	v.rows = true
	switch {
	case q == nil || controlText.MatchString(q.Text):
	case tableText.MatchString(q.Text):
		q.Text += " START TRANSACTION"
		v.cur.head = append(v.cur.head, event.AppendQuery(nil, h.Server, q))
		return false, nil
	default:
		return false, v.refused(changesRows)
	}
	if q == nil || q.Text != "BEGIN" {
		begin := &event.Query{Text: "BEGIN", Begun: time.Unix(int64(h.Timestamp), 0)}
		v.cur.head = append(v.cur.head, event.AppendQuery(nil, h.Server, begin))
	}
	return true, nil
}

// withoutRows blanks the words at the end of a statement's event by which rows would follow: they are a comment's.
func withoutRows(ev []byte, q *event.Query) {
	plain := q.Plain()
	for i := len(ev) - (len(q.Text) - len(plain)); i < len(ev); i++ {
		ev[i] = ' '
	}
	q.Text = plain
}

// changesRows is what a statement is that rows should be logged instead of.
const changesRows = "a statement that changes rows: set binlog_format = ROW on the source, and connect its sessions anew, which keep what they had"

func (v *receiver) refused(format string, args ...any) error {
	return &refusedError{fmt.Sprintf("transaction %s has ", v.cur.name) + fmt.Sprintf(format, args...)}
}

// refuse names what cannot be repeated.
func (v *receiver) refuse(ev []byte, h event.Header) error {
	switch t := h.Type; {
	case t == typeXAPrepare:
		return v.refused("an XA transaction: XA is not available")
	case t == typePartialRows:
		return v.refused("parts of documents: clear binlog_row_value_options on the source")
	case t == typePayload:
		return v.refused("compressed events: set binlog_transaction_compression = OFF on the source")
	case t >= typeCompressed && t <= typeLastMaria:
		return v.refused("compressed events: set log_bin_compress = OFF on the source")
	case t == typeIntvar || t == typeRand || t == typeUserVar:
		return v.refused(changesRows)
	case t == event.TypeQuery:
		q, err := event.ParseQuery(ev)
		if errors.Is(err, event.ErrUnknown) {
			return v.refused("%v", err)
		}
		if err != nil {
			return &linkError{err}
		}
		if sequenceText.MatchString(q.Text) {
			return v.refused("a SEQUENCE, which is not available here: replace it by an AUTO_INCREMENT column on the source")
		}
		if xaText.MatchString(q.Text) {
			return v.refused("an XA transaction: XA is not available")
		}
	}
	return nil
}

// ends reports whether an event ends the transaction.
func (v *receiver) ends(ev []byte) (bool, error) {
	switch event.Type(ev[4]) {
	case event.TypeXID:
		return true, nil
	case event.TypeQuery:
		if !v.rows {
			return true, nil
		}
		q, err := event.ParseQuery(ev)
		if err != nil {
			return false, &linkError{err}
		}
		return q.Text == "COMMIT" || q.Text == "ROLLBACK", nil
	}
	return false, nil
}

// handOn gives the queue what is there where the transaction ends or is long.
func (v *receiver) handOn(ev []byte) error {
	end, err := v.ends(ev)
	if err != nil {
		return err
	}
	c := v.cur
	if !end {
		if n := len(c.buf); !v.sent && n <= joined || v.sent && n < piece {
			return nil
		}
	}
	c.first, c.id = !v.sent, v.gtid.ID()
	if !v.sent {
		v.gtid.Size = 0 // it is not known, and may be anything
		if end {
			v.gtid.Size = uint64(len(c.buf))
		}
		c.head = append([][]byte{v.begins()}, c.head...)
		v.sent = true
	}
	if end {
		if v.maria {
			v.at.Maria = v.at.Maria.With(v.origin)
		}
		v.open = false
		v.arrived.Add(1)
		v.heard.end(v.gtid.ID())
	}
	c.last, c.at = end, v.at
	committed, name, tx := c.committed, c.name, c.tx
	v.cur = nil
	v.more = v.c.buffered()
	if err := v.q.push(c, v.more); err != nil {
		return &linkError{err}
	}
	if !end {
		v.cur = v.q.take()
		v.cur.committed, v.cur.name, v.cur.tx = committed, name, tx
	}
	return nil
}

// begins is the event that begins the open transaction.
func (v *receiver) begins() []byte {
	if v.gtid.Number == 0 {
		return event.AppendAnonymousGTID(nil, v.header.Server, v.header.Timestamp, &v.gtid)
	}
	return event.AppendGTID(nil, v.header.Server, v.header.Timestamp, &v.gtid)
}
