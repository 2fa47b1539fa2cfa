package txn

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/db/store"
	"stack/roles/internal/timing"
)

const space = lockSpace(7)

// asking is a request that runs in a goroutine of its own.
type asking struct {
	owner *Owner
	done  chan error
}

// ask requests a lock, a range where end is not empty, and returns when it is decided or
// waits.
func ask(t *testing.T, l *locks, o *Owner, start, end string, mode LockMode) *asking {
	t.Helper()
	a := &asking{o, make(chan error, 1)}
	go func() { a.done <- lockNow(ctx, l, o, start, end, mode, time.Minute) }()
	a.settle(t)
	return a
}

func lockNow(ctx context.Context, l *locks, o *Owner, start, end string, mode LockMode, wait time.Duration) error {
	if end == "" {
		_, err := l.point(ctx, o, space, []byte(start), mode, wait)
		return err
	}
	return l.span(ctx, o, space, store.KeyRange{Start: []byte(start), End: []byte(end)}, mode, wait)
}

func (a *asking) settle(t *testing.T) {
	t.Helper()
	must(t, waitFor(func() bool { return len(a.done) > 0 || a.owner.waiting.Load() != nil }))
}

func (a *asking) waits() bool { return len(a.done) == 0 }

// result waits for the end.
func (a *asking) result(t *testing.T) error {
	t.Helper()
	select {
	case err := <-a.done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the request was not decided within a minute")
		return nil
	}
}

func (a *asking) granted(t *testing.T) {
	t.Helper()
	if err := a.result(t); err != nil {
		t.Fatal(err)
	}
}

func TestLockConflicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		s1, e1 string
		m1     LockMode
		s2, e2 string
		m2     LockMode
		wait   bool
	}{
		{"same key", "b", "", Exclusive, "b", "", Exclusive, true},
		{"other key", "b", "", Exclusive, "c", "", Exclusive, false},
		{"key that the other begins with", "b", "", Exclusive, "bb", "", Exclusive, false},
		{"shared key", "b", "", Shared, "b", "", Shared, false},
		{"shared, then exclusive", "b", "", Shared, "b", "", Exclusive, true},
		{"exclusive, then shared", "b", "", Exclusive, "b", "", Shared, true},
		{"key in range", "b", "d", Exclusive, "c", "", Exclusive, true},
		{"key in shared range", "b", "d", Shared, "c", "", Shared, false},
		{"write in shared range", "b", "d", Shared, "c", "", Exclusive, true},
		{"first key of range", "b", "d", Exclusive, "b", "", Exclusive, true},
		{"end of range", "b", "d", Exclusive, "d", "", Exclusive, false},
		{"below range", "b", "d", Exclusive, "a", "", Exclusive, false},
		{"range over key", "c", "", Exclusive, "b", "d", Shared, true},
		{"range beside key", "d", "", Exclusive, "b", "d", Shared, false},
		{"ranges", "b", "d", Exclusive, "c", "e", Exclusive, true},
		{"ranges that touch", "b", "d", Exclusive, "d", "e", Exclusive, false},
		{"shared ranges", "b", "d", Shared, "c", "e", Shared, false},
		{"range inside", "b", "e", Exclusive, "c", "d", Shared, true},
		{"empty range", "b", "e", Exclusive, "d", "c", Shared, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLocks()
			var a, b Owner
			must(t, lockNow(ctx, l, &a, c.s1, c.e1, c.m1, noWait))
			must(t, lockNow(ctx, l, &a, c.s1, c.e1, c.m1, noWait)) // what one has is free
			err := lockNow(ctx, l, &b, c.s2, c.e2, c.m2, noWait)
			if errors.Is(err, ErrLocked) != c.wait || !c.wait && err != nil {
				t.Fatalf("without waiting: %v", err)
			}
			second := ask(t, l, &b, c.s2, c.e2, c.m2)
			if second.waits() != c.wait {
				t.Fatalf("waits: %v", !c.wait)
			}
			l.releaseAll(&a)
			second.granted(t)
			l.releaseAll(&b)
			empty(t, l)
		})
	}
}

// empty checks that nothing is left behind.
func empty(t *testing.T, l *locks) {
	t.Helper()
	l.spaces.Range(func(_, v any) bool {
		k := v.(*keyLocks)
		if k.first != nil || k.last != nil || len(k.ranged) > 0 || k.points.seek(nil) != nil {
			t.Errorf("space %d is not empty", k.space)
		}
		return true
	})
	if _, now := l.waits(); now != 0 {
		t.Errorf("%d wait", now)
	}
}

func TestLockQueueIsFair(t *testing.T) {
	l := newLocks()
	var a, b, c, d Owner
	must(t, lockNow(ctx, l, &a, "k", "", Shared, noWait))
	writer := ask(t, l, &b, "k", "", Exclusive)
	reader := ask(t, l, &c, "k", "", Shared)   // behind the writer, though it could be had
	other := ask(t, l, &d, "j", "", Exclusive) // in nobody's way
	other.granted(t)
	if !writer.waits() || !reader.waits() {
		t.Fatal("somebody passed the queue")
	}
	l.releaseAll(&a)
	writer.granted(t)
	if !reader.waits() {
		t.Fatal("a reader beside a writer")
	}
	l.releaseAll(&b)
	reader.granted(t)
	l.releaseAll(&c)
	l.releaseAll(&d)
	empty(t, l)
}

// One who holds a lock that others wait for gets more of it before them.
func TestLockUpgradePassesTheQueue(t *testing.T) {
	l := newLocks()
	var a, b, c Owner
	must(t, lockNow(ctx, l, &a, "k", "", Shared, noWait))
	b1 := ask(t, l, &b, "k", "", Exclusive)
	must(t, lockNow(ctx, l, &a, "k", "", Exclusive, noWait))
	c1 := ask(t, l, &c, "a", "z", Shared)
	must(t, lockNow(ctx, l, &a, "l", "", Exclusive, noWait))
	l.releaseAll(&a)
	b1.granted(t)
	l.releaseAll(&b)
	c1.granted(t)
	l.releaseAll(&c)
	empty(t, l)
}

func TestLockWaitEnds(t *testing.T) {
	l := newLocks()
	var a, b, c Owner
	must(t, lockNow(ctx, l, &a, "k", "", Exclusive, noWait))
	if err := lockNow(ctx, l, &b, "k", "", Exclusive, 20*time.Millisecond); !errors.Is(err, ErrLockWaitTimeout) {
		t.Fatal(err)
	}
	killed, kill := context.WithCancel(ctx)
	first := &asking{&b, make(chan error, 1)}
	go func() { first.done <- lockNow(killed, l, &b, "k", "", Exclusive, time.Minute) }()
	first.settle(t)
	second := ask(t, l, &c, "k", "", Exclusive)
	kill()
	if err := first.result(t); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if !second.waits() {
		t.Fatal("granted beside the holder")
	}
	l.releaseAll(&a)
	second.granted(t)
	l.releaseAll(&b)
	l.releaseAll(&c)
	empty(t, l)
}

// One that waits behind another goes on when that one gives up.
func TestLockQueueClosesUp(t *testing.T) {
	l := newLocks()
	var a, b, c Owner
	must(t, lockNow(ctx, l, &a, "k", "", Shared, noWait))
	killed, kill := context.WithCancel(ctx)
	gone := make(chan error)
	go func() { gone <- lockNow(killed, l, &b, "a", "z", Exclusive, time.Minute) }()
	must(t, waitFor(func() bool { return b.waiting.Load() != nil }))
	reader := ask(t, l, &c, "k", "", Shared)
	if !reader.waits() {
		t.Fatal("passed the queue")
	}
	kill()
	reader.granted(t)
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.releaseAll(&a)
	l.releaseAll(&c)
	empty(t, l)
}

func TestLockUnlock(t *testing.T) {
	l := newLocks()
	var a, b Owner
	fresh, err := l.point(ctx, &a, space, []byte("k"), Shared, noWait)
	if must(t, err); !fresh {
		t.Fatal("not fresh")
	}
	waiting := ask(t, l, &b, "k", "", Exclusive)
	l.unlock(&a, space, []byte("k"))
	waiting.granted(t)
	if fresh, err := l.point(ctx, &b, space, []byte("k"), Shared, noWait); err != nil || fresh {
		t.Fatal(fresh, err)
	}
	l.releaseAll(&b)
	empty(t, l)
}

func TestLockVersions(t *testing.T) {
	l := newLocks()
	var a Owner
	k := l.at(space)
	must(t, lockNow(ctx, l, &a, "k", "", Shared, noWait))
	if l.releaseAll(&a); k.version.Load() != 0 {
		t.Error("the version moved for a reader")
	}
	must(t, lockNow(ctx, l, &a, "k", "", Exclusive, noWait))
	a.writes.Add(1)
	if l.releaseAll(&a); k.version.Load() == 0 {
		t.Error("the version did not move for a writer")
	}
}

func TestDeadlockVictim(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes [3]int64
		spared []int
		victim int
	}{
		{"the one who closes the circle, of equals", [3]int64{1, 1, 1}, nil, 2},
		{"the one with the fewest writes", [3]int64{5, 2, 3}, nil, 1},
		{"the first", [3]int64{0, 2, 3}, nil, 0},
		{"not one that is spared", [3]int64{0, 5, 3}, []int{0}, 2},
		{"not the one who closes the circle, spared", [3]int64{5, 6, 0}, []int{2}, 0},
		{"of those who are spared the one with the fewest writes", [3]int64{5, 2, 3}, []int{0, 1, 2}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLocks()
			owners := make([]Owner, 3)
			keys := []string{"a", "b", "c"}
			for i := range owners {
				owners[i].writes.Store(c.writes[i])
				owners[i].spared.Store(slices.Contains(c.spared, i))
				must(t, lockNow(ctx, l, &owners[i], keys[i], "", Exclusive, noWait))
			}
			var requests []*asking
			for i := range owners {
				requests = append(requests, ask(t, l, &owners[i], keys[(i+1)%3], "", Exclusive))
			}
			if err := requests[c.victim].result(t); !errors.Is(err, ErrDeadlock) {
				t.Fatal(err)
			}
			for i := 2; i >= 0; i-- { // whoever waits for the victim goes on, then the rest
				at := (c.victim + i) % 3
				l.releaseAll(&owners[(at+1)%3])
				if at != c.victim {
					requests[at].granted(t)
				}
			}
			l.releaseAll(&owners[(c.victim+1)%3])
			for i := range owners {
				l.releaseAll(&owners[i])
			}
			empty(t, l)
			if n := l.deadlocks.Load(); n != 1 {
				t.Errorf("%d deadlocks counted", n)
			}
		})
	}
}

// A deadlock is found within 100 ms, also one of many in a crowd: 50 owners in a circle with 100 locks each, and as many
// who wait for them outside of it.
func TestDeadlocksAreFoundWithin100Milliseconds(t *testing.T) {
	for _, circle := range []int{2, 3, 50} {
		l := newLocks()
		timing.Median(t, fmt.Sprint("a circle of ", circle), 100*time.Millisecond, 20, func() time.Duration {
			owners, outside := make([]Owner, circle), make([]Owner, circle)
			key := func(i int) string { return fmt.Sprintf("k%03d", i%circle) }
			for i := range owners {
				must(t, lockNow(ctx, l, &owners[i], key(i), "", Exclusive, noWait))
				for n := range 100 {
					must(t, lockNow(ctx, l, &owners[i], fmt.Sprintf("other%d.%d", i, n), "", Exclusive, noWait))
				}
			}
			last := circle - 1
			var waiting, behind []*asking
			for i := range last {
				waiting = append(waiting, ask(t, l, &owners[i], key(i+1), "", Exclusive))
			}
			for i := range outside {
				behind = append(behind, ask(t, l, &outside[i], fmt.Sprintf("other%d.0", i), "", Shared))
			}
			began := time.Now()
			if err := lockNow(ctx, l, &owners[last], key(0), "", Exclusive, time.Minute); !errors.Is(err, ErrDeadlock) {
				t.Fatal(err)
			}
			took := time.Since(began)
			for i := last; i >= 0; i-- {
				l.releaseAll(&owners[i])
				behind[i].granted(t)
				if i > 0 {
					waiting[i-1].granted(t)
				}
			}
			for i := range outside {
				l.releaseAll(&outside[i])
			}
			empty(t, l)
			return took
		})
	}
}

// A circle through the queue: nobody holds what the waiting one asks for, but it must
// stay behind one that waits.
func TestDeadlockThroughTheQueue(t *testing.T) {
	l := newLocks()
	var a, b, c Owner
	a.writes.Store(1)
	b.writes.Store(1)
	must(t, lockNow(ctx, l, &a, "k", "", Shared, noWait))
	must(t, lockNow(ctx, l, &c, "x", "", Exclusive, noWait))
	wb := ask(t, l, &b, "k", "", Exclusive) // for a
	wc := ask(t, l, &c, "k", "", Shared)    // behind b
	wa := ask(t, l, &a, "x", "", Exclusive) // for c
	if err := wc.result(t); !errors.Is(err, ErrDeadlock) {
		t.Fatal(err)
	}
	l.releaseAll(&c)
	wa.granted(t)
	l.releaseAll(&a)
	wb.granted(t)
	l.releaseAll(&b)
	empty(t, l)
}

func TestLockEscalation(t *testing.T) {
	l := newLocks()
	l.limit = 100
	var a, b Owner
	key := func(n int) string { return fmt.Sprintf("k%05d", n) }
	for n := range 100 {
		must(t, lockNow(ctx, l, &a, key(n*2), "", Exclusive, noWait))
	}
	if h := a.held[0]; len(h.points) != 0 || len(h.x) != 1 {
		t.Fatalf("%d points, %d ranges", len(h.points), len(h.x))
	}
	if err := lockNow(ctx, l, &b, key(51), "", Exclusive, noWait); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	must(t, lockNow(ctx, l, &b, key(201), "", Exclusive, noWait))
	l.releaseAll(&a)
	must(t, lockNow(ctx, l, &b, key(51), "", Exclusive, noWait))
	// With another's lock in between it goes on with points, up to four times as many.
	for n := range 399 {
		must(t, lockNow(ctx, l, &a, key(n*2), "", Exclusive, time.Minute))
	}
	last := ask(t, l, &a, key(399*2), "", Exclusive)
	if !last.waits() {
		t.Fatal("does not wait with 400 points")
	}
	l.releaseAll(&b)
	last.granted(t)
	if h := a.held[0]; len(h.points) != 0 || len(h.x) != 1 {
		t.Fatalf("%d points, %d ranges", len(h.points), len(h.x))
	}
	l.releaseAll(&a)
	empty(t, l)
}

// Ranges apart from each other become one as points do, those of each mode for themselves.
func TestLockEscalationOfRanges(t *testing.T) {
	for _, mode := range []LockMode{Shared, Exclusive} {
		l := newLocks()
		l.limit = 100
		var a, b Owner
		take := func(n int, wait time.Duration) error { // in no order
			n = n * 7 % 400 * 2
			return lockNow(ctx, l, &a, fmt.Sprintf("k%05d", n), fmt.Sprintf("k%05d", n+1), mode, wait)
		}
		if mode == Shared {
			must(t, lockNow(ctx, l, &a, "a", "b", Exclusive, noWait))
		}
		ranges := func() int { return len(*a.held[0].ranges(mode)) }
		for n := range 100 {
			must(t, take(n, noWait))
		}
		if n := ranges(); n != 1 {
			t.Fatalf("%d ranges", n)
		}
		if err := lockNow(ctx, l, &b, "k00101", "", Exclusive, noWait); !errors.Is(err, ErrLocked) {
			t.Fatal(err)
		}
		must(t, lockNow(ctx, l, &b, "b", "", Exclusive, noWait)) // between those of the other mode
		l.releaseAll(&a)
		// With another's lock in between it goes on with ranges, up to four times as many.
		must(t, lockNow(ctx, l, &b, "k00101", "", Exclusive, noWait))
		if mode == Shared {
			must(t, lockNow(ctx, l, &a, "a", "b", Exclusive, noWait))
		}
		for n := range 399 {
			must(t, take(n, time.Minute))
		}
		last := &asking{&a, make(chan error, 1)}
		go func() { last.done <- take(399, time.Minute) }()
		if last.settle(t); !last.waits() {
			t.Fatal("does not wait with 400 ranges")
		}
		l.releaseAll(&b)
		last.granted(t)
		if n := ranges(); n != 1 {
			t.Fatalf("%d ranges", n)
		}
		l.releaseAll(&a)
		empty(t, l)
	}
}

func TestRangeSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var s rangeSet
		var want [64]bool
		for range 12 {
			from := rnd.IntN(60)
			to := from + 1 + rnd.IntN(4)
			s.add([]byte{byte(from)}, []byte{byte(to)})
			for i := from; i < to; i++ {
				want[i] = true
			}
		}
		for i := range 63 {
			if s.holds([]byte{byte(i)}) != want[i] {
				t.Fatalf("holds(%d), %v", i, s)
			}
			for j := i + 1; j < 64; j++ {
				part := want[i:j]
				if s.covers([]byte{byte(i)}, []byte{byte(j)}) == slices.Contains(part, false) {
					t.Fatalf("covers(%d, %d), %v", i, j, s)
				}
				if s.overlaps([]byte{byte(i)}, []byte{byte(j)}) != slices.Contains(part, true) {
					t.Fatalf("overlaps(%d, %d), %v", i, j, s)
				}
			}
		}
		for i := 1; i < len(s); i++ {
			if string(s[i-1].end) >= string(s[i].start) {
				t.Fatalf("not joined: %v", s)
			}
		}
	}
}

var lockSteps = flag.Int("lock-steps", 3000, "steps of TestLockModel")

// modelLock is a lock, or a request, of the naive model.
type modelLock struct {
	owner      int
	start, end int // end is exclusive
	mode       LockMode
}

func (a modelLock) conflicts(b modelLock) bool {
	return a.owner != b.owner && !compatible(a.mode, b.mode) && a.start < b.end && b.start < a.end
}

// lockModel does by brute force what locks does.
type lockModel struct {
	granted []modelLock
	queue   []modelLock
	victims uint64 // so far
}

// blocks lists the owners that the request at place i of the queue (or, at its end, a
// new one) waits for.
func (m *lockModel) blocks(r modelLock, i int) (list []int) {
	for _, g := range m.granted {
		if g.conflicts(r) {
			list = append(list, g.owner)
		}
	}
	for _, w := range m.queue[:i] {
		if !w.conflicts(r) {
			continue
		}
		behind := slices.ContainsFunc(m.granted, func(g modelLock) bool { return g.owner == r.owner && g.conflicts(w) })
		if !behind {
			list = append(list, w.owner)
		}
	}
	return list
}

func (m *lockModel) has(r modelLock) bool {
	for at := r.start; at < r.end; at++ {
		if !slices.ContainsFunc(m.granted, func(g modelLock) bool {
			return g.owner == r.owner && g.start <= at && at < g.end && g.mode >= r.mode
		}) {
			return false
		}
	}
	return true
}

func (m *lockModel) settle() {
	for i := 0; i < len(m.queue); {
		if r := m.queue[i]; len(m.blocks(r, i)) == 0 {
			m.granted = append(m.granted, r)
			m.queue = slices.Delete(m.queue, i, i+1)
			i = 0
		} else {
			i++
		}
	}
}

// circle says whether an owner waits, over others, for itself.
func (m *lockModel) circle(owner int) bool {
	seen := map[int]bool{}
	var visit func(o int) bool
	visit = func(o int) bool {
		for i, r := range m.queue {
			if r.owner != o {
				continue
			}
			for _, b := range m.blocks(r, i) {
				if b == owner {
					return true
				}
				if !seen[b] {
					seen[b] = true
					if visit(b) {
						return true
					}
				}
			}
		}
		return false
	}
	return visit(owner)
}

func (m *lockModel) drop(owner int) {
	m.granted = slices.DeleteFunc(m.granted, func(g modelLock) bool { return g.owner == owner })
	m.queue = slices.DeleteFunc(m.queue, func(g modelLock) bool { return g.owner == owner })
	m.settle()
}

const modelOwners = 6

// circles lists the owners that wait for themselves.
func (m *lockModel) circles() (list []int) {
	for i := range modelOwners {
		if m.circle(i) {
			list = append(list, i)
		}
	}
	return list
}

// takeVictims waits until requests have ended with ErrDeadlock so that nobody waits for himself
// any more, and takes out all that have. There may be more than that takes: where one
// request closes two circles it may end itself after another's.
func (m *lockModel) takeVictims(t *testing.T, l *locks, pending *[modelOwners]*asking) (list []int) {
	t.Helper()
	circles := m.circles()
	if len(circles) == 0 {
		return nil
	}
	must(t, waitFor(func() bool {
		for i, p := range pending {
			if p == nil || len(p.done) == 0 {
				continue
			}
			err := <-p.done
			if !errors.Is(err, ErrDeadlock) {
				p.done <- err
				continue
			}
			if !slices.Contains(circles, i) {
				t.Fatalf("owner %d was in no circle", i)
			}
			list, pending[i] = append(list, i), nil
			m.victims++
			m.queue = slices.DeleteFunc(m.queue, func(g modelLock) bool { return g.owner == i })
		}
		if len(m.circles()) != 0 {
			return false
		}
		l.search.Lock() // the search that has found the first victim has ended
		defer l.search.Unlock()
		return m.victims == l.deadlocks.Load()
	}))
	m.settle()
	return list
}

// Random requests and releases of some owners, against the model: who is granted, who
// waits, and that every circle, and nothing else, ends with a victim.
func TestLockModel(t *testing.T) {
	rnd := seeded(t)
	l, m := newLocks(), &lockModel{}
	const owners, keys = modelOwners, 12
	var all [owners]Owner
	var pending [owners]*asking
	key := func(n int) string { return string(rune('a' + n)) }
	for step := range *lockSteps {
		at := rnd.IntN(owners)
		if pending[at] != nil {
			continue // it waits
		}
		if rnd.IntN(6) == 0 {
			l.releaseAll(&all[at])
			m.drop(at)
		} else {
			all[at].writes.Store(int64(rnd.IntN(3)))
			start := rnd.IntN(keys)
			r := modelLock{at, start, start + 1, LockMode(rnd.IntN(2))}
			end := ""
			if rnd.IntN(3) == 0 {
				r.end += 1 + rnd.IntN(4)
				end = key(r.end)
			}
			// The model knows whole keys only: a range ends before one.
			pending[at] = ask(t, l, &all[at], key(start), end, r.mode)
			if !m.has(r) {
				m.queue = append(m.queue, r)
				m.settle()
			}
		}
		for _, i := range m.takeVictims(t, l, &pending) {
			l.releaseAll(&all[i])
			m.drop(i)
		}
		for i, p := range pending {
			if p == nil {
				continue
			}
			waits := slices.ContainsFunc(m.queue, func(r modelLock) bool { return r.owner == i })
			if !waits {
				if err := p.result(t); err != nil {
					t.Fatalf("step %d: owner %d: %v", step, i, err)
				}
				pending[i] = nil
			} else if !p.waits() {
				t.Fatalf("step %d: owner %d was let through: %v", step, i, <-p.done)
			}
		}
	}
	for left := true; left; {
		left = false
		for i, p := range pending {
			if p == nil {
				l.releaseAll(&all[i])
			} else if left = true; len(p.done) > 0 {
				p.granted(t)
				pending[i] = nil
			}
		}
	}
	empty(t, l)
}

// Many owners at once: exclusive means alone, shared means no writer, and everybody
// gets on.
func TestLockStress(t *testing.T) {
	l := newLocks()
	const keys = 8
	var readers, writers [keys]atomic.Int32
	var wait sync.WaitGroup
	rounds := 2000
	if testing.Short() {
		rounds = 400
	}
	for w := range 12 {
		wait.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 9))
			for range rounds {
				var o Owner
				var mine [keys]LockMode
				var has [keys]bool
				for range 1 + rnd.IntN(3) {
					from, mode := rnd.IntN(keys), LockMode(rnd.IntN(2))
					to := from + 1
					end := ""
					if rnd.IntN(3) == 0 {
						to = min(keys, from+1+rnd.IntN(3))
						end = string(rune('a' + to))
					}
					err := lockNow(ctx, l, &o, string(rune('a'+from)), end, mode, time.Minute)
					if errors.Is(err, ErrDeadlock) {
						break
					}
					if err != nil {
						t.Error(err)
						return
					}
					for i := from; i < to; i++ {
						switch {
						case !has[i]:
							has[i], mine[i] = true, mode
						case mine[i] >= mode:
							continue
						default: // upgraded
							readers[i].Add(-1)
							mine[i] = mode
						}
						if mode == Exclusive {
							if writers[i].Add(1) != 1 || readers[i].Load() != 0 {
								t.Errorf("key %d: not alone", i)
							}
						} else if readers[i].Add(1); writers[i].Load() != 0 {
							t.Errorf("key %d: shared with a writer", i)
						}
					}
				}
				for i := range keys {
					if has[i] && mine[i] == Exclusive {
						writers[i].Add(-1)
					} else if has[i] {
						readers[i].Add(-1)
					}
				}
				l.releaseAll(&o)
			}
		})
	}
	wait.Wait()
	empty(t, l)
}

// A hot key: an uncontended lock and one behind 63 others.
func BenchmarkLock(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			l := newLocks()
			b.SetParallelism(clients)
			b.RunParallel(func(pb *testing.PB) {
				var o Owner
				for pb.Next() {
					if _, err := l.point(ctx, &o, space, []byte("key"), Exclusive, time.Minute); err != nil {
						b.Error(err)
					}
					l.releaseAll(&o)
				}
			})
		})
	}
}
