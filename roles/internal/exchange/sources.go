package exchange

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
)

// sources counts the connections of each client address without a lock and in a fixed
// size: connections whose places are all taken are not counted, which takes more
// addresses than Limits.Connections lets in.
//
// A word is a tag, from a keyed hash of the address, and a count; 0 is free. An address
// has the words of two buckets of a cache line each. Two loops that bring a new address
// at once may use two words for it; their sum is what counts, so that is harmless. A
// connection keeps the word that it is counted in. Tags have 40 bits: that two of the
// 16 addresses that share a bucket have the same one does not happen.
type sources struct {
	seed    maphash.Seed
	buckets []sourceBucket
}

type sourceBucket [8]atomic.Uint64

const (
	sourceCount = 1<<24 - 1 // the bits of a word that count; Limits.Connections is below
	mostBuckets = 1 << 19   // 32 MiB
)

// newSources makes a table for as many connections, at half of its load.
func newSources(connections int) *sources {
	n := 64
	for n < mostBuckets && n*4 < connections {
		n *= 2
	}
	return &sources{seed: maphash.MakeSeed(), buckets: make([]sourceBucket, n)}
}

// fits says whether the table is as large as newSources would make it.
func (t *sources) fits(connections int) bool {
	return t != nil && (len(t.buckets) >= mostBuckets || len(t.buckets)*4 >= connections)
}

// sourceKey is what is counted as one: an IPv4 address, or the /64 of an IPv6 address,
// which one customer has to himself.
func sourceKey(a netip.Addr) (key [16]byte) {
	key = a.As16()
	if !a.Is4() && !a.Is4In6() {
		clear(key[8:])
	}
	return key
}

// add counts one more connection of key. It returns the word to give to drop, nil if
// there was no place, and how many connections key has now.
func (t *sources) add(key [16]byte) (word *atomic.Uint64, n int) {
	h := maphash.Bytes(t.seed, key[:])
	tag := (h | 1<<63) &^ sourceCount
	mask := uint64(len(t.buckets) - 1)
	pair := [2]*sourceBucket{&t.buckets[h&mask], &t.buckets[h>>20&mask]}
	for {
		word = find(pair, tag)
		if word == nil {
			return nil, 0
		}
		if v := word.Load(); v == 0 && word.CompareAndSwap(0, tag|1) || v&^sourceCount == tag && word.CompareAndSwap(v, v+1) {
			break
		}
	}
	for i, b := range pair {
		if i == 1 && b == pair[0] {
			break
		}
		for j := range b {
			if v := b[j].Load(); v&^sourceCount == tag {
				n += int(v & sourceCount)
			}
		}
	}
	return word, n
}

// find returns a word of tag, else a free one, else nil.
func find(pair [2]*sourceBucket, tag uint64) (free *atomic.Uint64) {
	for _, b := range pair {
		for j := range b {
			switch v := b[j].Load(); {
			case v&^sourceCount == tag:
				return &b[j]
			case v == 0 && free == nil:
				free = &b[j]
			}
		}
	}
	return free
}

// dropSource counts one connection less; a word without any is free again.
func dropSource(word *atomic.Uint64) {
	for {
		v := word.Load()
		n := v - 1
		if n&sourceCount == 0 {
			n = 0
		}
		if word.CompareAndSwap(v, n) {
			return
		}
	}
}
