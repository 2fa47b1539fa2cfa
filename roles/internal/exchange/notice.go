package exchange

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// notices log what the loops refuse: a line per reason every noticeEvery at most, from a
// goroutine, since a log may block.
type notices struct {
	log  *slog.Logger // nil = nothing is logged
	keys string       // the section of the configuration, for cures
	last [NumRefusals + 1]noticeTime
	on   atomic.Bool // LogTo was called, stop was not
	c    chan notice
	done sync.WaitGroup
}

// noticeEvery is the least time between two lines of one kind.
const noticeEvery = 10 * time.Second

// shedNotice is the kind of those about connections that were ended.
const shedNotice = NumRefusals

type noticeTime struct {
	at atomic.Int64 // mono + 1; 0 = never
	_  [56]byte
}

type notice struct {
	kind  Refusal
	point string
	peer  netip.Addr
	ended int
	held  Memory
}

// LogTo has refusals logged. section is where the limits stand in the configuration: "lb" or
// "web". Called once.
func (s *Set) LogTo(log *slog.Logger, section string) {
	n := &s.notices
	n.log, n.keys = log, section
	n.c = make(chan notice, int(NumRefusals)+1)
	n.done.Go(func() {
		for x := range n.c {
			n.write(x)
		}
	})
	n.on.Store(true)
}

// stop ends the goroutine; no loop calls notices any more.
func (n *notices) stop() {
	if n.on.Swap(false) {
		close(n.c)
		n.done.Wait()
	}
}

// due says whether a line of this kind may be written, and takes its turn.
func (n *notices) due(w *Worker, kind Refusal) bool {
	if !n.on.Load() {
		return false
	}
	t, now := &n.last[kind].at, w.l.Mono()+1
	last := t.Load()
	return (last == 0 || now-last >= int64(noticeEvery)) && t.CompareAndSwap(last, now)
}

func (n *notices) send(x notice) {
	select {
	case n.c <- x:
	default: // the log blocks: the counters have it
	}
}

func (n *notices) refused(w *Worker, r Refusal, p *Point, peer netip.AddrPort) {
	if n.due(w, r) {
		n.send(notice{kind: r, point: p.name, peer: peer.Addr(), held: w.set.Memory()})
	}
}

func (n *notices) shed(w *Worker, ended int) {
	if n.due(w, shedNotice) {
		n.send(notice{kind: shedNotice, ended: ended, held: w.set.Memory()})
	}
}

// write is the sentence for the operator: what, where, whose, and the key that changes it.
func (n *notices) write(x notice) {
	cure := map[Refusal]string{
		RefusedTotal:    "raise " + n.keys + ".limits.connections",
		RefusedFrontend: "raise connections of the frontend",
		RefusedSource:   "raise " + n.keys + ".limits.connections_per_source, or name the address in " + n.keys + ".trusted_proxies if it passes on the connections of many clients",
		RefusedMemory:   "raise " + n.keys + ".limits.memory, or lower " + n.keys + ".limits.connections or buffer_bytes",
		shedNotice:      "raise " + n.keys + ".limits.memory, or lower " + n.keys + ".limits.connections or buffer_bytes",
	}[x.kind]
	switch x.kind {
	case shedNotice:
		n.log.Warn("memory bound reached: the connections that hold the most are ended", "ended", x.ended,
			"held_bytes", x.held.Held, "limit_bytes", x.held.Limit, "cure", cure)
	case RefusedMemory:
		n.log.Warn("connections are refused", "reason", x.kind.String(), "listener", x.point, "client", x.peer,
			"held_bytes", x.held.Held, "limit_bytes", x.held.Limit, "cure", cure)
	default:
		n.log.Warn("connections are refused", "reason", x.kind.String(), "listener", x.point, "client", x.peer, "cure", cure)
	}
}
