package loop

import (
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inbox is the queue of functions posted to a loop: a lock-free stack, turned round
// when it is taken, and an eventfd that is written only when it was empty.
type inbox struct {
	head atomic.Pointer[posted]
	fd   int
	list []func()
}

type posted struct {
	f    func()
	next *posted
}

// ended is the head of an inbox whose loop takes nothing more.
var ended = &posted{}

// Post runs f on the loop soon, at the end of a turn. Any goroutine. It reports false
// if the loop has ended: f is then not called.
func (l *Loop) Post(f func()) bool {
	p := &posted{f: f}
	for {
		head := l.inbox.head.Load()
		if head == ended {
			return false
		}
		p.next = head
		if l.inbox.head.CompareAndSwap(head, p) {
			if head == nil {
				one := uint64(1)
				unix.Write(l.inbox.fd, (*[8]byte)(unsafe.Pointer(&one))[:])
			}
			return true
		}
	}
}

// Ready empties the eventfd; the functions run at the end of the turn.
func (b *inbox) Ready(Event) {
	var n [8]byte
	unix.Read(b.fd, n[:])
}

func (b *inbox) waiting() bool { return b.head.Load() != nil }

func (b *inbox) take() []func() { return b.unroll(b.head.Swap(nil)) }

func (b *inbox) close() []func() { return b.unroll(b.head.Swap(ended)) }

func (b *inbox) unroll(p *posted) []func() {
	clear(b.list)
	b.list = b.list[:0]
	for ; p != nil && p != ended; p = p.next {
		b.list = append(b.list, p.f)
	}
	slices.Reverse(b.list)
	return b.list
}
