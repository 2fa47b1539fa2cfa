package exchange

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

func TestSourceKeys(t *testing.T) {
	key := func(s string) [16]byte { return sourceKey(netip.MustParseAddr(s)) }
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:0:0:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
	} {
		if same := key(c.a) == key(c.b); same != c.same {
			t.Errorf("%s and %s counted as one: %v", c.a, c.b, same)
		}
	}
}

// Counts are exact while several threads add and drop, and everything is free in the end.
func TestSourcesUnderConcurrency(t *testing.T) {
	table := newSources(1000)
	const addresses, workers, rounds = 300, 4, 20_000
	var open [addresses]atomic.Int64
	var wg sync.WaitGroup
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			type held struct {
				word *atomic.Uint64
				addr int
			}
			var mine []held
			for range rounds {
				if len(mine) > 1 && rnd.IntN(2) == 0 {
					i := rnd.IntN(len(mine))
					open[mine[i].addr].Add(-1)
					dropSource(mine[i].word)
					mine[i] = mine[len(mine)-1]
					mine = mine[:len(mine)-1]
					continue
				}
				a := rnd.IntN(addresses)
				word, n := table.add(sourceKey(netip.AddrFrom4([4]byte{10, 0, byte(a >> 8), byte(a)})))
				if word == nil {
					t.Error("no place for an address")
					return
				}
				// Ours is in n, and so is what others have surely open.
				if n < 1 {
					t.Errorf("count %d", n)
				}
				open[a].Add(1)
				mine = append(mine, held{word, a})
			}
			for _, h := range mine[1:] { // one stays: its count must be found exactly
				open[h.addr].Add(-1)
				dropSource(h.word)
			}
		})
	}
	wg.Wait()
	total := 0
	for a := range open {
		if n := int(open[a].Load()); n > 0 {
			word, got := table.add(sourceKey(netip.AddrFrom4([4]byte{10, 0, byte(a >> 8), byte(a)})))
			if got != n+1 {
				t.Errorf("address %d: %d, want %d", a, got, n+1)
			}
			dropSource(word)
			total += n
		}
	}
	if total != workers {
		t.Fatalf("%d connections are left", total)
	}
	sum := 0
	for i := range table.buckets {
		for j := range table.buckets[i] {
			sum += int(table.buckets[i][j].Load() & sourceCount)
		}
	}
	if sum != workers {
		t.Errorf("the table counts %d", sum)
	}
}

// More addresses than places are not counted, and nothing else happens.
func TestSourcesAreBounded(t *testing.T) {
	table := newSources(100)
	var words []*atomic.Uint64
	for i := range 100_000 {
		word, n := table.add(sourceKey(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})))
		if word != nil {
			words = append(words, word)
			if n != 1 {
				t.Fatalf("a new address has %d", n)
			}
		}
	}
	if most := len(table.buckets) * len(table.buckets[0]); len(words) > most || len(words) < most/2 {
		t.Errorf("%d addresses in %d places", len(words), most)
	}
	for _, w := range words {
		dropSource(w)
	}
	for i := range table.buckets {
		for j := range table.buckets[i] {
			if v := table.buckets[i][j].Load(); v != 0 {
				t.Fatalf("a word is left: %x", v)
			}
		}
	}
	if !newSources(65536).fits(65536) || newSources(100).fits(100_000) {
		t.Error("sizes")
	}
}

func BenchmarkSources(b *testing.B) {
	table, key := newSources(65536), sourceKey(netip.MustParseAddr("192.0.2.1"))
	for b.Loop() {
		word, _ := table.add(key)
		dropSource(word)
	}
}
