package store

// filter is a Bloom filter: it says of a hash that was never added that it was not, for all but
// one in a hundred.
type filter []uint64

const (
	filterBits   = 10 // per hash
	filterProbes = 6
)

func newFilter(hashes int) filter { return make(filter, (hashes*filterBits+63)/64+1) }

// filterBytes is the memory of a filter for so many hashes.
func filterBytes(hashes int) int64 { return int64(hashes) * filterBits / 8 }

func (f filter) add(h uint64) {
	n, step := uint64(len(f))*64, h>>33|1
	for range filterProbes {
		bit := h % n
		f[bit/64] |= 1 << (bit % 64)
		h += step
	}
}

// may reports whether the hash may have been added.
func (f filter) may(h uint64) bool {
	n, step := uint64(len(f))*64, h>>33|1
	for range filterProbes {
		bit := h % n
		if f[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
		h += step
	}
	return true
}
