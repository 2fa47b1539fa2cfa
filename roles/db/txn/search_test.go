package txn

import (
	"fmt"
	"testing"
	"time"

	"stack/roles/internal/timing"
)

// Many who wait for one row, each with a row of its own in the index, or for one range: who comes
// last looks at each of them once, not at each pair.
func TestSearchBehindManyWaiters(t *testing.T) {
	const n = 2000
	for name, end := range map[string]string{"for a row": "", "for a range": "hou"} {
		t.Run(name, func(t *testing.T) {
			l := newLocks()
			k := l.at(space)
			owners, last := make([]Owner, n), (*lockRequest)(nil)
			must(t, lockNow(ctx, l, &owners[0], "hot", end, Exclusive, noWait))
			for i := range owners[1:] {
				o := &owners[i+1]
				must(t, lockNow(ctx, l, o, fmt.Sprint("own", i), "", Exclusive, noWait))
				last = &lockRequest{owner: o, keys: k, point: end == "", start: []byte("hot"), end: []byte(end), done: make(chan struct{}), mode: Exclusive}
				k.enqueue(last)
			}
			timing.Median(t, name, 20*time.Millisecond, 5, func() time.Duration {
				began := time.Now()
				if circle := findCircle(last); circle != nil {
					t.Fatalf("a circle of %d", len(circle))
				}
				return time.Since(began)
			})
			k.enqueue(&lockRequest{owner: &owners[0], keys: k, point: true, start: fmt.Append(nil, "own", n-2), done: make(chan struct{}), mode: Exclusive})
			if circle := findCircle(last); circle == nil || l.breakCircle(circle) == nil {
				t.Errorf("a circle of %d is not ended", len(circle))
			}
		})
	}
}

// A search finds a way exactly where there is one from each to the next, whoever jumps over whom in the
// queues; and it is one that breakCircle takes.
func TestSearchFindsEveryWay(t *testing.T) {
	rnd := seeded(t)
	ways, none := 0, 0
	for range 5_000 {
		l := newLocks()
		owners := make([]Owner, 6)
		request := func(o *Owner) *lockRequest {
			from := byte(rnd.IntN(4))
			r := &lockRequest{owner: o, keys: l.at(space), point: rnd.IntN(3) > 0, start: []byte{from}, mode: LockMode(rnd.IntN(2))}
			if !r.point {
				r.end = []byte{from + 1 + byte(rnd.IntN(3))}
			}
			return r
		}
		for range 6 {
			if r := request(&owners[rnd.IntN(len(owners))]); r.keys.blocker(r) == nil {
				r.keys.grant(r)
			}
		}
		for range 10 {
			r := request(&owners[rnd.IntN(len(owners))])
			if r.owner.waiting.Load() != nil {
				continue
			}
			if b := r.keys.blocker(r); b != nil {
				r.done, r.witness = make(chan struct{}), b
				r.keys.enqueue(r)
			}
		}
		for i := range owners {
			q := owners[i].waiting.Load()
			if q == nil {
				continue
			}
			reached := map[*Owner]bool{}
			var reach func(r *lockRequest)
			reach = func(r *lockRequest) {
				for j := range owners {
					if o := &owners[j]; !reached[o] && r != nil && r.keys.waitsFor(r, o) {
						reached[o] = true
						reach(o.waiting.Load())
					}
				}
			}
			reach(q)
			for j := range owners {
				way := findWay(q, &owners[j])
				if (way != nil) != reached[&owners[j]] {
					t.Fatalf("from %d to %d: a way of %d, want one: %v", i, j, len(way), reached[&owners[j]])
				}
				for n, r := range way {
					if next := append(way, &lockRequest{owner: &owners[j]})[n+1].owner; !r.keys.waitsFor(r, next) {
						t.Fatalf("step %d of a way of %d is none", n, len(way))
					}
				}
				if way != nil {
					ways++
				} else {
					none++
				}
			}
		}
	}
	if ways < 1000 || none < 1000 {
		t.Errorf("%d ways, %d times none: the test sees nothing", ways, none)
	}
}
