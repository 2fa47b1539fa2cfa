package exchange

import (
	"bytes"
	"cmp"
	"slices"

	"stack/roles/internal/hpack"
	"stack/roles/internal/http2"
)

// putAbove is how much of frames is collected before they are sent within a turn.
const putAbove = 16 << 10

// put adds a frame to those that go out at the end of the turn, all with one call.
func (m *mux) put(p []byte) {
	if m.s.failed || m.s.fd < 0 {
		return
	}
	m.wb = m.w.bufs.add(m.wb, p)
	if m.wb.len() >= putAbove {
		m.flush(nil)
		return
	}
	m.soil()
}

// soil has flush called at the end of the turn.
func (m *mux) soil() {
	if !m.dirty {
		m.dirty = true
		m.w.dirty = append(m.w.dirty, m)
	}
}

// flush sends what was put, and p behind it.
func (m *mux) flush(p []byte) {
	b := m.wb
	m.wb = nil
	if b == nil {
		if len(p) > 0 {
			m.s.send(p, nil)
		}
		return
	}
	m.s.send(b.bytes(), p)
	m.w.bufs.put(b)
}

// stuck: the kernel takes no more for now.
func (m *mux) stuck() bool { return m.s.blocked() || m.s.connecting }

// data sends one DATA frame; the windows have room for p.
func (m *mux) data(st *stream, p []byte, end bool) {
	st.sendWindow -= len(p)
	m.sendWindow -= len(p)
	m.sent += int64(len(p))
	st.lastSent = m.sent
	var f http2.Flags
	if end {
		f = http2.EndStream
		st.sentEnd = true
	}
	m.wb = m.w.bufs.add(m.wb, http2.AppendHeader(m.w.frame[:0], len(p), http2.Data, f, st.id))
	if len(p) <= small {
		m.wb = m.w.bufs.add(m.wb, p)
		if m.wb.len() < putAbove {
			m.soil()
			return
		}
		p = nil
	}
	m.flush(p)
}

// room is how much of n bytes the windows take. What is left of a larger window is not
// filled up with a tiny frame: a client that gives back what it has read, frame by frame,
// would get ever more and smaller ones.
func (st *stream) room(n int) int {
	m := st.m
	r := min(n, st.sendWindow, m.sendWindow)
	if r < n && (m.sendWindow < tinyWindow || st.sendWindow < min(tinyWindow, m.sendStart/2)) {
		return 0
	}
	return max(0, r)
}

// answerable counts a frame of n bytes that the peer may answer with WINDOW_UPDATEs however
// small it is, for the stream and for the connection; not one that small windows made small.
func (m *mux) answerable(n int, whole bool) {
	if whole || n >= tinyWindow {
		m.updates = min(m.updates+2, 1<<20)
	}
}

// takes says whether the windows take a piece of what may come.
func (st *stream) takes() bool { return st.room(tinyWindow) > 0 }

// write sends content, or keeps what no window takes; last ends the stream behind it.
func (st *stream) write(p []byte, last bool) {
	m := st.m
	if st.dead || st.outEnd || st.sentEnd {
		return
	}
	st.outEnd = last
	if st.out == nil && len(m.waiting) == 0 {
		for len(p) > 0 && !m.stuck() {
			n := st.room(min(len(p), m.maxFrame))
			if n == 0 {
				break
			}
			m.data(st, p[:n], last && n == len(p) && st.outTrailers == nil)
			m.answerable(n, n == len(p))
			p = p[n:]
		}
		if len(p) == 0 {
			st.finishSending()
			return
		}
	}
	if len(p) > 0 {
		st.out = m.w.bufs.add(st.out, p)
		m.hold(len(p))
	}
	if st.out != nil {
		st.wait()
		m.sendWaiting()
	} else {
		st.finishSending()
	}
}

// finishSending sends the end, once nothing is in front of it.
func (st *stream) finishSending() {
	if !st.outEnd || st.sentEnd || st.out != nil {
		return
	}
	if t := st.outTrailers; t != nil {
		st.outTrailers = nil
		st.m.putBlock(st, t.bytes(), true)
		st.m.w.bufs.put(t)
		return
	}
	st.m.data(st, nil, true)
}

// stopSending forgets what was to be sent; the peer does not want it.
func (st *stream) stopSending() {
	st.unwait()
	for _, b := range [...]**buffer{&st.out, &st.outTrailers} {
		if *b != nil {
			st.m.w.bufs.put(*b)
			*b = nil
		}
	}
	st.outEnd, st.sentEnd = true, true
	st.m.release()
}

// trailer adds a trailer line, to be sent with the end.
func (st *stream) trailer(line []byte) {
	name, value, _ := bytes.Cut(line, colon)
	w := st.m.w
	w.hblock = hpack.Append(w.hblock[:0], name, bytes.Trim(value, " \t"))
	st.outTrailers = w.bufs.add(st.outTrailers, w.hblock)
}

var colon = []byte(":")

// putBlock sends a header block in as many frames as it takes.
func (m *mux) putBlock(st *stream, block []byte, end bool) {
	f := http2.EndHeaders
	if end {
		f |= http2.EndStream
		st.sentEnd = true
	}
	t := http2.Headers
	if !m.sized {
		// Our encoder uses no table; said once, the peer may announce any size.
		m.sized = true
		m.w.hblock2 = append(hpack.AppendSizeUpdate0(m.w.hblock2[:0]), block...)
		block = m.w.hblock2
	}
	for {
		n := min(len(block), m.maxFrame)
		g := f
		if n < len(block) {
			g &^= http2.EndHeaders
		}
		if t == http2.Continuation {
			g &^= http2.EndStream
		}
		m.wb = m.w.bufs.add(m.wb, http2.AppendHeader(m.w.frame[:0], n, t, g, st.id))
		m.put(block[:n])
		if block = block[n:]; len(block) == 0 {
			return
		}
		t = http2.Continuation
	}
}

// wait puts the stream among those whose content waits.
func (st *stream) wait() {
	if !st.starving {
		st.starving = true
		st.m.waiting = append(st.m.waiting, st)
	}
}

func (st *stream) unwait() {
	m := st.m
	if st.out != nil {
		m.held -= st.out.len()
	}
	if st.starving {
		st.starving = false
		if i := slices.Index(m.waiting, st); i >= 0 {
			m.waiting = slices.Delete(m.waiting, i, i+1)
		}
	}
}

// hold counts content that waits; above the bound the sources of all streams pause whose
// windows take nothing. On the way to a server they belong to different clients, who must not wait for each other.
func (m *mux) hold(n int) {
	m.held += n
	if m.held > m.bound && !m.holding && !m.toServer {
		m.holding = true
		for _, st := range m.list {
			if x, ok := st.owner.(*Exchange); ok && !st.takes() {
				x.fwd.hold()
			}
		}
	}
}

// release goes on with what hold has paused.
func (m *mux) release() {
	if !m.holding || m.held > m.bound/2 {
		return
	}
	m.holding = false
	m.wake()
}

// wake looks again at the streams that have nothing waiting, those first that have sent
// nothing for the longest: there may not be room for all.
func (m *mux) wake() {
	m.hungry = false
	list := append(m.w.h2scratch[:0], m.list...)
	m.w.h2scratch = list
	slices.SortFunc(list, func(a, b *stream) int { return cmp.Compare(a.lastSent, b.lastSent) })
	for _, st := range list {
		if st.out == nil {
			st.again()
		}
	}
}

// sendWaiting sends what waits, the most urgent first (RFC 9218 section 10): streams of
// one urgency in turn where they are incremental, else one after the other.
func (m *mux) sendWaiting() {
	if m.sending {
		return
	}
	m.sending = true
	for m.sendWindow > 0 && !m.stuck() && !m.s.failed {
		i := m.next()
		if i < 0 {
			break
		}
		m.sendFrom(i)
	}
	m.sending = false
	m.release()
	if m.holding || m.hungry && !m.crowded() { // some may have been waiting for their window alone
		m.wake()
	}
}

// crowded: the kernel takes no more, and what waits for it already is half of what may.
// Below that a stream may add a piece, and so be one of those that wait, and get their turn.
func (m *mux) crowded() bool { return m.stuck() && m.held >= m.bound/2 }

// next returns the place of the stream whose turn it is; -1: none can be sent of.
func (m *mux) next() int {
	best := -1
	for i, st := range m.waiting {
		if st.room(st.out.len()) > 0 && (best < 0 || st.urgency < m.waiting[best].urgency) {
			best = i
		}
	}
	return best
}

func (m *mux) sendFrom(i int) {
	st := m.waiting[i]
	b := st.out
	n := st.room(min(b.len(), m.maxFrame))
	all := n == b.len()
	m.data(st, b.bytes()[:n], all && st.outEnd && st.outTrailers == nil)
	m.answerable(n, all)
	b.r += n
	m.held -= n
	if !all {
		if st.incremental {
			m.waiting = append(slices.Delete(m.waiting, i, i+1), st)
		}
		if x, ok := st.owner.(*Exchange); ok {
			x.rearm() // the client has taken something
		}
		return
	}
	m.waiting = slices.Delete(m.waiting, i, i+1)
	st.starving, st.out = false, nil
	m.w.bufs.put(b)
	st.finishSending()
	if (m.holding || m.hungry) && !st.sentEnd {
		m.hungry = true
		if x, ok := st.owner.(*Exchange); ok {
			x.rearm()
		}
		return // at once it would take the room that others wait for; sendWaiting wakes all
	}
	st.owner.drained()
}

// blocked says whether the peer takes no more of this stream for now.
func (st *stream) blocked() bool {
	return st.out != nil || st.m.crowded() || st.m.holding && !st.takes()
}

// overtaken says whether a stream that waits does so because others of its connection
// had their turn, whose client has taken what a client must since the deadline was set.
func (st *stream) overtaken(f *Frontend) bool {
	least := max(1, int64(f.Timeouts.Body.Seconds()*float64(f.Limits.MinRate)))
	return st.sendWindow > 0 && st.m.sent-st.sawSent >= least
}

// unsent returns how much waits.
func (st *stream) unsent() int {
	if st.out == nil {
		return 0
	}
	return st.out.len()
}

// unstuck: the kernel takes bytes again.
func (m *mux) unstuck() {
	m.hungry = true
	m.sendWaiting()
}
