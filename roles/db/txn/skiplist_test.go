package txn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The skip lists are what a sorted list of their keys is, whether keys come in order, by
// chance, go again, or all at once.
func TestSkipLists(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var p lockPoints
	l := newList()
	var locked, written []string
	last := 0
	key := func() string {
		if rnd.IntN(2) == 0 {
			last++
			return fmt.Sprintf("k%06d", last)
		}
		return fmt.Sprintf("k%06d", rnd.IntN(last+1))
	}
	put := func(list []string, k string) []string {
		if i, ok := slices.BinarySearch(list, k); !ok {
			return slices.Insert(list, i, k)
		}
		return list
	}
	for step := range 20_000 {
		switch k := key(); rnd.IntN(8) {
		case 0, 1, 2:
			p.findOrInsert([]byte(k))
			locked = put(locked, k)
			if _, made := l.findOrInsert([]byte(k)); made == slices.Contains(written, k) {
				t.Fatalf("step %d: %s made %v", step, k, made)
			}
			written = put(written, k)
		case 3, 4, 5, 6:
			if i := rnd.IntN(len(locked) + 1); i < len(locked) {
				if rnd.IntN(2) == 0 {
					i = len(locked) - 1
				}
				p.remove(p.find([]byte(locked[i])))
				locked = slices.Delete(locked, i, i+1)
			}
		case 7:
			if rnd.IntN(100) == 0 {
				p.clear()
				locked = nil
			}
		}
		k := key()
		i, ok := slices.BinarySearch(locked, k)
		if n := p.seek([]byte(k)); (n == nil) != (i == len(locked)) || n != nil && string(n.key) != locked[i] {
			t.Fatalf("step %d: seek %s in the locks gives %v, want %v", step, k, n, locked[i:])
		}
		if (p.find([]byte(k)) != nil) != ok || p.count != len(locked) {
			t.Fatalf("step %d: %s is there: %v; %d points, want %d", step, k, ok, p.count, len(locked))
		}
		i, _ = slices.BinarySearch(written, k)
		if n := l.seekGE([]byte(k)); (n == nil) != (i == len(written)) || n != nil && string(n.key) != written[i] {
			t.Fatalf("step %d: seek %s in the writes gives %v, want %v", step, k, n, written[i:])
		}
	}
}
