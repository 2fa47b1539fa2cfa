package exchange

import (
	"bytes"
	"slices"
	"time"

	"stack/roles/internal/http2"
	"stack/roles/internal/loop"
)

// stream is one request and its answer on an HTTP/2 connection. Streams are reused.
type stream struct {
	m     *mux // nil: not open
	id    uint32
	owner streamOwner
	timer loop.Timer
	gen   uint32
	moved func() // move, made once

	// Receiving.
	in         *buffer // content that the owner does not take yet
	inTrailers *buffer // lines
	recvWindow int     // what may still come before we give more
	expect     int64   // content to come by Content-Length; -1 = unknown
	headed     bool    // the head of the answer has come (to a server)
	recvEnd    bool    // all has come
	taken      bool    // and the owner has it

	// Sending.
	out         *buffer // content that no window takes yet
	outTrailers *buffer // a header block
	sendWindow  int
	sawSent     int64 // mux.sent when the deadline was set
	lastSent    int64 // mux.sent behind our last frame of content
	urgency     uint8
	incremental bool
	outEnd      bool // the end follows what is in out
	sentEnd     bool
	starving    bool // is in mux.waiting

	dead      bool // reset, or the connection is lost: nothing more is sent
	byPeer    bool // the peer has reset it
	scheduled bool
	fresh     bool // is in mux.fresh
}

// streamOwner is whose request it is: an Exchange towards clients, a forward to servers.
type streamOwner interface {
	// wantsContent says whether takeContent may be called.
	wantsContent() bool
	takeContent(p []byte, last bool)
	// takeTrailer comes between the last content and its end, a line at a time.
	takeTrailer(line []byte)
	// drained: what was written has gone to the connection.
	drained()
	// streamReset: the stream is over before its time; it must be released.
	streamReset(code http2.Code)
	// expired: the deadline of the stream has passed.
	expired()
	// moveOn is called after Again.
	moveOn()
}

// keptStreams bounds the streams that a worker keeps for reuse.
const keptStreams = 1024

// open begins a stream of the connection.
func (m *mux) open(id uint32, owner streamOwner) *stream {
	w := m.w
	var st *stream
	if n := len(w.h2streams); n > 0 {
		st = w.h2streams[n-1]
		w.h2streams = w.h2streams[:n-1]
	} else {
		st = &stream{}
		st.moved = st.move
	}
	st.m, st.id, st.owner = m, id, owner
	st.sendWindow, st.recvWindow = m.sendStart, m.streamWindow
	st.expect, st.urgency = -1, http2.DefaultUrgency
	m.list = append(m.list, st)
	m.ids = append(m.ids, id)
	return st
}

// remove takes the stream off its connection; nothing is sent.
func (st *stream) remove() {
	m := st.m
	for i, have := range m.ids {
		if have == st.id {
			n := len(m.ids) - 1
			m.ids[i], m.list[i] = m.ids[n], m.list[n]
			m.ids, m.list[n] = m.ids[:n], nil
			m.list = m.list[:n]
			break
		}
	}
	m.past.add(st.id, st.byPeer || st.recvEnd && st.sentEnd)
	if st.in != nil && !m.toServer {
		m.credit(st.in.len())
	}
	st.unwait()
	if st.fresh {
		m.fresh = slices.DeleteFunc(m.fresh, func(o *stream) bool { return o == st })
	}
	w := m.w
	w.l.Drop(&st.timer)
	for _, b := range [...]*buffer{st.in, st.inTrailers, st.out, st.outTrailers} {
		if b != nil {
			w.bufs.put(b)
		}
	}
	moved, gen := st.moved, st.gen+1
	*st = stream{moved: moved, gen: gen}
	if len(w.h2streams) < keptStreams {
		w.h2streams = append(w.h2streams, st)
	}
	m.release()
	if len(m.list) == 0 {
		m.user.emptied()
	}
}

// abort resets the stream, if it is not over, and removes it.
func (st *stream) abort(code http2.Code) {
	if m := st.m; !st.dead && !(st.recvEnd && st.sentEnd) {
		m.put(http2.AppendReset(m.w.frame[:0], st.id, code))
	}
	st.remove()
}

// refuse answers an error of a stream.
func (m *mux) refuse(id uint32, code http2.Code) {
	m.put(http2.AppendReset(m.w.frame[:0], id, code))
	st := m.find(id)
	if st == nil {
		m.past.add(id, false)
		return
	}
	st.kill(code)
}

// kill ends a stream on which nothing more is sent: it was reset, or its connection is
// lost. The owner may begin another request meanwhile, in the memory of this one.
func (st *stream) kill(code http2.Code) {
	gen := st.gen
	st.dead = true
	st.owner.streamReset(code)
	if st.gen == gen {
		st.remove()
	}
}

// receive takes content from the connection: the owner gets it at once, or it waits.
func (st *stream) receive(p []byte, last bool) {
	st.recvEnd = st.recvEnd || last
	if st.in == nil && len(p) > 0 && st.owner.wantsContent() && st.inTrailers == nil {
		st.used(len(p))
		if last {
			st.taken = true
		}
		st.owner.takeContent(p, last)
		return
	}
	if len(p) > 0 {
		st.in = st.m.w.bufs.add(st.in, p)
	}
	st.deliver()
}

// used gives the window of content back that the owner has taken.
func (st *stream) used(n int) {
	m := st.m
	want := m.streamWindow
	if !m.toServer {
		m.credit(n)
	} else if f, ok := st.owner.(*forward); ok {
		want = f.window()
	}
	if st.recvEnd {
		return
	}
	give := want - st.recvWindow
	if st.in != nil {
		give -= st.in.len()
	}
	if give >= want/2 {
		m.put(http2.AppendWindowUpdate(m.w.frame[:0], st.id, give))
		st.recvWindow += give
	}
}

// share is the part of what its connection may hold that one stream may bring at once.
func (st *stream) share() int { return max(http2.MaxFrame, st.m.bound/max(1, len(st.m.list))) }

// deliver gives the owner what waits, as long as it wants more.
func (st *stream) deliver() {
	gen := st.gen
	for st.gen == gen && st.m != nil && !st.dead && !st.taken && st.owner.wantsContent() {
		if st.in != nil {
			b := st.in
			n := min(b.len(), http2.MaxFrame)
			p := b.bytes()[:n]
			whole := n == b.len()
			if whole {
				st.in = nil
			} else {
				b.r += n
			}
			last := whole && st.recvEnd && st.inTrailers == nil
			st.taken = last
			w := st.m.w
			st.used(n)
			st.owner.takeContent(p, last)
			if whole {
				w.bufs.put(b)
			}
			continue
		}
		if !st.recvEnd {
			return
		}
		st.taken = true
		if b := st.inTrailers; b != nil {
			for lines := b.bytes(); len(lines) > 0; {
				n := bytes.Index(lines, lineEnd)
				st.owner.takeTrailer(lines[:n])
				lines = lines[n+2:]
			}
		}
		st.owner.takeContent(nil, true)
		return
	}
}

// again has moveOn called at the end of the turn.
func (st *stream) again() {
	if !st.scheduled {
		st.scheduled = true
		st.m.w.l.Later(st.moved)
	}
}

func (st *stream) move() {
	st.scheduled = false
	if st.m == nil || st.dead {
		return
	}
	gen := st.gen
	st.owner.moveOn()
	if st.gen == gen && st.m != nil {
		st.deliver()
	}
}

// deadline has the owner's expired called after d; 0 = none.
func (st *stream) deadline(d time.Duration) {
	if d == 0 {
		st.m.w.l.Disarm(&st.timer)
		return
	}
	st.m.w.l.Arm(&st.timer, st, d)
}

// Expired is called by the loop.
func (st *stream) Expired(*loop.Timer) {
	if st.m != nil {
		st.owner.expired()
	}
}

// pastStreams remembers how the newest closed streams ended, to tell frames that crossed
// a reset from frames that break the rules.
type pastStreams struct {
	ids  [64]uint32
	both [64]bool
	next uint8
}

type pastKind uint8

const (
	neverSeen pastKind = iota // or long ago
	endedByUs                 // reset
	endedBoth                 // both sides had ended it, or the peer has reset it
)

func (p *pastStreams) add(id uint32, both bool) {
	p.ids[p.next], p.both[p.next] = id, both
	p.next = (p.next + 1) % uint8(len(p.ids))
}

func (p *pastStreams) how(id uint32) pastKind {
	for i, have := range p.ids {
		if have == id {
			if p.both[i] {
				return endedBoth
			}
			return endedByUs
		}
	}
	return neverSeen
}
