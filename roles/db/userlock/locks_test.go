package userlock

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func take(t *testing.T, o *Owner, name string) {
	t.Helper()
	if taken, err := o.Try(name); !taken || err != nil {
		t.Fatalf("%s for %d: %v %v", name, o.id, taken, err)
	}
}

func ask(t *testing.T, o *Owner, name string) *Request {
	t.Helper()
	r, err := o.Ask(name)
	if r == nil || err != nil {
		t.Fatalf("%s for %d: does not wait: %v", name, o.id, err)
	}
	return r
}

func granted(r *Request) bool {
	select {
	case <-r.Granted():
		return true
	default:
		return false
	}
}

func TestLocksAreCountedAndGivenBack(t *testing.T) {
	var l Locks
	a, b := l.Owner(1), l.Owner(2)
	take(t, a, "x")
	take(t, a, "x")
	take(t, a, "y")
	if taken, err := b.Try("x"); taken || err != nil {
		t.Error("two have x", err)
	}
	if released, exists := b.Release("x"); released || !exists {
		t.Error("one released the lock of another")
	}
	if released, exists := b.Release("z"); released || exists {
		t.Error("z was there")
	}
	a.Release("x")
	if id, held := l.HolderOf("x"); id != 1 || !held {
		t.Error("x was taken twice, and is free after one release")
	}
	if released, exists := a.Release("x"); !released || !exists {
		t.Error("x was not released")
	}
	take(t, b, "x")
	take(t, a, "y")
	if n := a.ReleaseAll(); n != 2 {
		t.Errorf("%d were released", n)
	}
	take(t, b, "y")
}

func TestWaitersGetTheLockInOrder(t *testing.T) {
	var l Locks
	var owners [5]*Owner
	var requests [5]*Request
	for i := range owners {
		owners[i] = l.Owner(uint32(i))
		if i == 0 {
			take(t, owners[0], "x")
			continue
		}
		requests[i] = ask(t, owners[i], "x")
	}
	if id, waits := requests[3].Behind(); id != 0 || !waits {
		t.Errorf("waits for %d", id)
	}
	if requests[2].Leave() {
		t.Error("who has left has the lock")
	}
	owners[0].Release("x")
	if !granted(requests[1]) || granted(requests[3]) {
		t.Fatal("the lock did not go to the first")
	}
	if _, waits := requests[1].Behind(); waits || !requests[1].Leave() {
		t.Error("who has the lock still waits")
	}
	owners[1].ReleaseAll()
	if !granted(requests[3]) || granted(requests[4]) || granted(requests[2]) {
		t.Fatal("the lock did not go to the next")
	}
	if taken, _ := owners[0].Try("x"); taken {
		t.Error("a lock was taken before those who wait")
	}
	take(t, owners[3], "x")
	owners[3].Release("x")
	if granted(requests[4]) {
		t.Error("a lock that is held once more was given away")
	}
}

func TestTheRequestThatClosesACircleIsRefused(t *testing.T) {
	for owners := 2; owners <= 5; owners++ {
		var l Locks
		var o []*Owner
		var requests []*Request
		for i := range owners {
			o = append(o, l.Owner(uint32(i)))
			take(t, o[i], fmt.Sprint(i))
		}
		for i := range owners - 1 {
			requests = append(requests, ask(t, o[i], fmt.Sprint(i+1)))
		}
		last := o[owners-1]
		if r, err := last.Ask("0"); r != nil || !errors.Is(err, ErrDeadlock) {
			t.Fatalf("%d owners: %v", owners, err)
		}
		if taken, err := last.Try("0"); taken || err != nil {
			t.Error("a look without waiting is not refused", err)
		}
		last.ReleaseAll()
		if !granted(requests[owners-2]) {
			t.Errorf("%d owners: nobody got the lock of the refused one", owners)
		}
		if r := ask(t, last, "0"); granted(r) {
			t.Error("the lock of another was granted")
		}
	}
}

// Nothing is kept of names that nobody holds, whoever waited for them and left.
func TestNamesAreForgotten(t *testing.T) {
	var l Locks
	a, b := l.Owner(1), l.Owner(2)
	for i := range 100_000 {
		name := fmt.Sprint("name", i)
		take(t, a, name)
		switch i % 3 {
		case 0:
			ask(t, b, name).Leave()
			a.Release(name)
		case 1:
			ask(t, b, name)
			a.ReleaseAll()
			b.ReleaseAll()
		default:
			a.Release(name)
		}
		if len(l.held) > 0 || len(a.held) > 0 || len(b.held) > 0 {
			t.Fatalf("%s is kept", name)
		}
	}
	if l.held != nil || a.held != nil {
		t.Error("empty maps are kept: they do not shrink")
	}
}

func TestAnOwnerHoldsSoManyAtMost(t *testing.T) {
	var l Locks
	a, b := l.Owner(1), l.Owner(2)
	for i := range MaxHeld {
		take(t, a, fmt.Sprint(i))
	}
	take(t, b, "b's")
	for _, name := range []string{"more", "b's"} {
		if taken, err := a.Try(name); taken || !errors.Is(err, ErrTooMany) {
			t.Errorf("%s: %v %v", name, taken, err)
		}
		if r, err := a.Ask(name); r != nil || !errors.Is(err, ErrTooMany) {
			t.Errorf("%s: %v", name, err)
		}
	}
	take(t, a, "1")
	a.Release("0")
	take(t, a, "more")
	if n := a.ReleaseAll(); n != MaxHeld+1 {
		t.Errorf("%d were held", n)
	}
}

// Many owners take locks of few names, wait, leave, and close circles: never do two hold one, everybody
// goes on, and nothing is left.
func TestManyOwnersAtOnce(t *testing.T) {
	var l Locks
	const names, owners, rounds = 4, 8, 2000
	var holders [names]atomic.Int32
	var wait sync.WaitGroup
	for i := range owners {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			o := l.Owner(uint32(i))
			mine := map[int]bool{}
			for range rounds {
				n := r.IntN(names)
				request, err := o.Ask(fmt.Sprint(n))
				taken := request == nil && err == nil
				if request != nil {
					if r.IntN(4) > 0 {
						select {
						case <-request.Granted():
						case <-time.After(time.Minute):
							t.Error("a request was not granted within a minute")
						}
					}
					request.Behind()
					taken = request.Leave()
				}
				if taken && !mine[n] {
					mine[n] = true
					if holders[n].Add(1) != 1 {
						t.Error("two hold one lock")
					}
				}
				if err != nil || r.IntN(3) == 0 {
					for n := range mine {
						holders[n].Add(-1)
					}
					clear(mine)
					o.ReleaseAll()
				}
			}
			for n := range mine {
				holders[n].Add(-1)
			}
			o.ReleaseAll()
		})
	}
	wait.Wait()
	if len(l.held) > 0 {
		t.Errorf("%d locks are left", len(l.held))
	}
}
