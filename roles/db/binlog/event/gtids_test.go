package event

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever the order, the set is what was added, written as the shortest text.
func TestGTIDs(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		var g GTIDs
		if g.String() != "" {
			t.Fatalf("the empty set is %q", g.String())
		}
		want := map[ID]bool{}
		for range 1 + r.IntN(40) {
			id := ID{UUID: [16]byte{15: byte(r.IntN(2))}, Number: int64(1 + r.IntN(30))}
			want[id] = true
			g.Add(id)
		}
		set, err := ParseGTIDs(g.String())
		if err != nil {
			t.Fatal(err)
		}
		for u := range 2 {
			for n := range 32 {
				id := ID{UUID: [16]byte{15: byte(u)}, Number: int64(n + 1)}
				if id.In(set) != want[id] {
					t.Fatalf("%s of %s: %v", g.String(), id, want[id])
				}
			}
		}
		if g.String() != set.String() {
			t.Fatalf("%s, and in short %s", g.String(), set)
		}
	}
}
