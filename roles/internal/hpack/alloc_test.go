//go:build !race

package hpack

import "testing"

// The race detector drops objects of a sync.Pool at random, hence the tag.
func TestNothingIsAllocated(t *testing.T) {
	for _, h := range []head{loadHead, browserHead} {
		first, later := encoded(h)
		var d Decoder
		d.Init(4096)
		sink := &nothing{}
		for range 20 { // the table is full
			d.Decode(first, plenty, sink)
		}
		for _, block := range [][]byte{first, later} {
			n := testing.AllocsPerRun(1000, func() {
				if err := d.Decode(block, plenty, sink); err != nil {
					t.Fatal(err)
				}
			})
			if n != 0 {
				t.Errorf("%v allocations per block %x", n, block)
			}
		}
	}
	names, values := answer()
	dst := make([]byte, 0, 4096)
	n := testing.AllocsPerRun(1000, func() {
		dst = AppendStatus(AppendSizeUpdate0(dst[:0]), 302)
		for i := range names {
			dst = Append(dst, names[i], values[i])
		}
		dst = AppendString(dst, "Via", "2 stack")
	})
	if n != 0 {
		t.Errorf("%v allocations per head written", n)
	}
}
