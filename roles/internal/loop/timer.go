package loop

import (
	"math/bits"
	"time"
)

// Timer is a deadline of a connection, part of it rather than allocated. Moving a
// deadline to a later time, the common case, only writes a number: the timer finds
// out when its old place in the wheel comes up.
type Timer struct {
	next, prev *Timer
	at         int64 // tick of its place in the wheel; 0 = not in it
	when       int64 // tick of the deadline; 0 = none
	owner      Expirer
}

// Expirer is called on the loop when its timer's deadline has passed.
type Expirer interface {
	Expired(t *Timer)
}

const (
	fine  = 1024 // slots of 1 ms
	shift = 10
)

// wheel has a fine ring of 1 ms ticks up to about 1 s and a coarse one of 1.024 s up to
// 17 minutes, whose slots move to the fine ring when their time comes. Later deadlines
// wait in the last coarse slot and are placed anew.
type wheel struct {
	loop   *Loop
	cur    int64 // the last tick that was run
	fine   [fine]*Timer
	coarse [fine]*Timer
	set    [fine / 64]uint64 // which fine slots are not empty
}

// Arm sets the deadline d from now, at least 1 ms; an earlier deadline of the same
// timer is replaced.
func (l *Loop) Arm(t *Timer, owner Expirer, d time.Duration) {
	t.owner = owner
	t.when = (l.mono+int64(d))/int64(time.Millisecond) + 1
	if t.at == 0 || t.when < t.at {
		l.wheel.remove(t)
		l.wheel.insert(t)
	}
}

// Disarm clears the deadline.
func (l *Loop) Disarm(t *Timer) { t.when = 0 }

// Left returns how long it is until the deadline, to the millisecond; 0 without one.
func (l *Loop) Left(t *Timer) time.Duration {
	if t.when == 0 {
		return 0
	}
	return time.Duration(max(0, t.when*int64(time.Millisecond)-l.mono))
}

// Drop clears the deadline and takes the timer out of the wheel; needed before its
// memory is used for something else.
func (l *Loop) Drop(t *Timer) {
	t.when = 0
	l.wheel.remove(t)
	t.owner = nil
}

func (w *wheel) insert(t *Timer) {
	at := max(t.when, w.cur+1)
	var head **Timer
	if at-w.cur < fine {
		i := at % fine
		w.set[i/64] |= 1 << (i % 64)
		head = &w.fine[i]
	} else {
		if block := w.cur>>shift + fine - 1; at>>shift > block {
			at = block << shift
		}
		head = &w.coarse[at>>shift%fine]
	}
	t.at = at
	t.prev, t.next = nil, *head
	if t.next != nil {
		t.next.prev = t
	}
	*head = t
}

func (w *wheel) remove(t *Timer) {
	if t.at == 0 {
		return
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else if i := t.at % fine; w.fine[i] == t {
		w.fine[i] = t.next
	} else {
		w.coarse[t.at>>shift%fine] = t.next
	}
	t.next, t.prev, t.at = nil, nil, 0
}

// advance runs every tick up to now.
func (w *wheel) advance(now int64, done func()) {
	for w.cur < now {
		w.cur++
		i := w.cur % fine
		if i == 0 {
			w.cascade(w.cur >> shift % fine)
		}
		if w.set[i/64]&(1<<(i%64)) == 0 {
			continue
		}
		for t := w.fine[i]; t != nil; t = w.fine[i] {
			w.remove(t)
			if t.when == 0 {
				continue
			}
			if t.when > w.cur {
				w.insert(t)
				continue
			}
			t.when = 0
			t.owner.Expired(t)
			done()
		}
		w.set[i/64] &^= 1 << (i % 64)
	}
}

// cascade places the timers of a coarse slot whose time has come; one that is due at
// this very tick runs at the next.
func (w *wheel) cascade(block int64) {
	t := w.coarse[block]
	w.coarse[block] = nil
	for t != nil {
		next := t.next
		t.next, t.prev, t.at = nil, nil, 0
		if t.when != 0 {
			w.insert(t)
		}
		t = next
	}
}

// next returns the milliseconds until something may be due, 1..most.
func (w *wheel) next(most int) int {
	elapsed := w.loop.mono/int64(time.Millisecond) - w.cur
	for d := int64(1); d <= int64(most); {
		i := (w.cur + d) % fine
		word := w.set[i/64] >> (i % 64)
		if word != 0 {
			d += int64(bits.TrailingZeros64(word))
			return int(min(int64(most), max(1, d-elapsed)))
		}
		d += 64 - i%64
	}
	return most
}
