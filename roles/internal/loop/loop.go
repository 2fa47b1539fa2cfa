// Package loop runs epoll event loops: descriptors and their readiness, timers,
// functions posted by other goroutines, a cached clock, and the few system calls
// that connections need, without allocation.
//
// It owns the epoll descriptor and the thread of each loop. It never owns a
// connection (whoever adds a descriptor closes it), knows no protocol and never
// blocks anywhere but in its own wait, which the Go scheduler sees and which is
// bounded. See epoll(7), eventfd(2), and docs/dataplane.md for the reasons.
package loop

import (
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Event says why a Source is called: a set of these bits.
type Event uint32

// The bits of an Event.
const (
	In    Event = unix.EPOLLIN
	Out   Event = unix.EPOLLOUT
	RdHup Event = unix.EPOLLRDHUP // the peer will send no more
	Hup   Event = unix.EPOLLHUP
	Err   Event = unix.EPOLLERR
	Again Event = 1 << 30 // asked for by Loop.Again
)

// Source is what a descriptor belongs to. Ready is called on the loop.
type Source interface {
	Ready(ev Event)
}

// Token names a registration. It stays harmless after Remove: each use of a slot
// has its own generation, so that an event for a closed descriptor never reaches
// the next owner of its number.
type Token struct{ slot, gen uint32 }

type slot struct {
	src   Source
	gen   uint32
	again bool
}

const (
	maxEvents = 256
	// maxWait bounds a wait, so that Alive can tell an idle loop from a stuck one.
	maxWait = 250 // ms
	// stuck is how long a loop may go without a turn before Alive complains.
	stuck = time.Second
	// A loop that had busy events in the last millisecond and has nothing left to do lets
	// others gather for a moment before it asks for them: to be woken for each costs more
	// than to handle it (docs/decisions/036).
	busy   = 16
	gather = 40 * time.Microsecond
)

// Loop is one event loop. Except for Post, Load and AddLoad all methods are called
// on its own thread: from a Source, a timer or a posted function.
type Loop struct {
	index  int
	group  *Group
	ep     int
	events [maxEvents]unix.EpollEvent
	slots  []slot
	free   []uint32
	ready  []Token // asked to be called again
	spare  []Token
	spared []func()
	later  []func()
	wheel  wheel
	inbox  inbox

	now   time.Time
	mono  int64 // nanoseconds since the group's start
	pace  pace
	date  [len(http.TimeFormat)]byte
	dated int64 // the second that date shows

	after   func()
	ending  func()
	stopped bool
	_       [64]byte
	turned  atomic.Int64 // mono of the last turn
	turns   atomic.Uint64
	load    atomic.Int64
	_       [64]byte
}

// Index returns the loop's number in its group.
func (l *Loop) Index() int { return l.index }

// Now returns the time at the start of the turn.
func (l *Loop) Now() time.Time { return l.now }

// Mono returns the same as nanoseconds on the monotonic clock, since the group's start.
func (l *Loop) Mono() int64 { return l.mono }

// Date returns the time in the form of the Date field (RFC 9110 section 5.6.7),
// valid until the turn ends.
func (l *Loop) Date() []byte {
	if s := l.now.Unix(); s != l.dated {
		l.dated = s
		l.now.UTC().AppendFormat(l.date[:0], http.TimeFormat)
	}
	return l.date[:]
}

// AfterEach sets what is called after every call of a Source, timer or posted function.
func (l *Loop) AfterEach(f func()) { l.after = f }

// AtEnd sets what is called at the end of every turn, before the loop waits.
func (l *Loop) AtEnd(f func()) { l.ending = f }

// Turns returns how often the loop has turned. Any goroutine.
func (l *Loop) Turns() uint64 { return l.turns.Load() }

// Load returns the number of connections, as told by AddLoad. Any goroutine.
func (l *Loop) Load() int64 { return l.load.Load() }

// AddLoad counts connections of this loop. Any goroutine.
func (l *Loop) AddLoad(n int64) { l.load.Add(n) }

// Add registers a descriptor, edge-triggered, for reading, writing and hang-up,
// once for its whole life.
func (l *Loop) Add(fd int, src Source) (Token, error) {
	return l.add(fd, src, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
}

func (l *Loop) add(fd int, src Source, events uint32) (Token, error) {
	t := l.Reserve(src)
	ev := unix.EpollEvent{Events: events, Fd: int32(t.slot), Pad: int32(t.gen)}
	if e := epollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &ev); e != 0 {
		l.Remove(t)
		return Token{}, fmt.Errorf("watch descriptor %d: %w", fd, e)
	}
	return t, nil
}

// Reserve makes a token without a descriptor, for Again alone.
func (l *Loop) Reserve(src Source) Token {
	var i uint32
	if n := len(l.free); n > 0 {
		i = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		i = uint32(len(l.slots))
		l.slots = append(l.slots, slot{gen: 1})
	}
	l.slots[i].src = src
	return Token{i, l.slots[i].gen}
}

// Remove ends a registration; no event reaches the source afterwards. The caller
// closes the descriptor, which takes it out of the kernel's set. Where the open file
// lives on elsewhere (it is passed on), use Detach.
func (l *Loop) Remove(t Token) {
	if !l.valid(t) {
		return
	}
	s := &l.slots[t.slot]
	s.src, s.again = nil, false
	s.gen++
	if s.gen == 0 { // 0 is no generation, so that the zero Token is never valid
		s.gen = 1
	}
	l.free = append(l.free, t.slot)
}

// Detach is Remove for a descriptor that stays open.
func (l *Loop) Detach(t Token, fd int) {
	if l.valid(t) {
		epollCtl(l.ep, unix.EPOLL_CTL_DEL, fd, nil)
		l.Remove(t)
	}
}

func (l *Loop) valid(t Token) bool {
	return int(t.slot) < len(l.slots) && l.slots[t.slot].gen == t.gen && t.gen != 0
}

// Again has the source called with the event Again at the end of this turn, or of
// the next if it is asked for from there: other connections come first.
func (l *Loop) Again(t Token) {
	if l.valid(t) && !l.slots[t.slot].again {
		l.slots[t.slot].again = true
		l.ready = append(l.ready, t)
	}
}

// Later runs f at the end of the turn, outside of all other callbacks.
func (l *Loop) Later(f func()) { l.later = append(l.later, f) }

func (l *Loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // a thread that ended would take along the processes it started (PR_SET_PDEATHSIG)
	setTimerSlack(time.Microsecond)
	defer setTimerSlack(0)
	for !l.stopped {
		l.turn()
	}
	for _, f := range l.inbox.close() {
		f()
		l.done()
	}
	for len(l.later) > 0 {
		l.runLater()
	}
	unix.Close(l.ep)
	unix.Close(l.inbox.fd)
}

// turn is the hot path of everything; bench/ and BenchmarkEcho guard it.
func (l *Loop) turn() {
	wait := 0
	if len(l.ready) == 0 && len(l.later) == 0 && !l.inbox.waiting() {
		wait = l.wheel.next(maxWait)
		if l.pace.last >= busy {
			pause(gather)
		}
	}
	n := epollWait(l.ep, &l.events, wait)
	l.tick()
	l.pace.count(l.mono/int64(time.Millisecond), n)
	for i := range n {
		ev := &l.events[i]
		t := Token{uint32(ev.Fd), uint32(ev.Pad)}
		if s := &l.slots[t.slot]; s.gen == t.gen && s.src != nil {
			s.src.Ready(Event(ev.Events))
			l.done()
		}
	}
	l.wheel.advance(l.mono/int64(time.Millisecond), l.done)
	if len(l.ready) > 0 {
		l.runReady()
	}
	if len(l.later) > 0 {
		l.runLater()
	}
	if l.inbox.waiting() {
		for _, f := range l.inbox.take() {
			f()
			l.done()
		}
	}
	if l.ending != nil {
		l.ending()
	}
}

// pace counts the events of each millisecond.
type pace struct {
	tick      int64
	now, last int // events of tick and of the one before
}

func (p *pace) count(tick int64, n int) {
	if tick != p.tick {
		p.last = p.now
		if tick != p.tick+1 {
			p.last = 0
		}
		p.tick, p.now = tick, 0
	}
	p.now += n
}

func (l *Loop) tick() {
	l.now = time.Now()
	l.mono = int64(l.now.Sub(l.group.start))
	l.turned.Store(l.mono)
	l.turns.Add(1)
}

func (l *Loop) done() {
	if l.after != nil {
		l.after()
	}
}

func (l *Loop) runReady() {
	list := l.ready
	l.ready = l.spare[:0]
	for _, t := range list {
		if !l.valid(t) {
			continue
		}
		s := &l.slots[t.slot]
		s.again = false
		s.src.Ready(Again)
		l.done()
	}
	l.spare = list
}

func (l *Loop) runLater() {
	list := l.later
	l.later = l.spared[:0]
	for i, f := range list {
		list[i] = nil
		f()
		l.done()
	}
	l.spared = list
}

// epollWait polls without telling the scheduler when it does not wait, and lets the
// scheduler take the processor away while it does: a garbage collection then never
// waits for a loop that sleeps.
func epollWait(ep int, events *[maxEvents]unix.EpollEvent, ms int) int {
	var n uintptr
	var e syscall.Errno
	if ms == 0 {
		n, _, e = syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(events)), maxEvents, 0, 0, 0)
	} else {
		n, _, e = syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(events)), maxEvents, uintptr(ms), 0, 0)
	}
	if e != 0 {
		return 0 // EINTR; nothing else can happen to a valid set
	}
	return int(n)
}
