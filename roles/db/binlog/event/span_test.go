package event

import (
	"bytes"
	"testing"

	"github.com/dolthub/go-mysql-server/sql/types"
)

// TIME with each number of digits: the bytes that MySQL documents (my_time_packed_to_binary),
// and every value comes back.
func TestSpans(t *testing.T) {
	for _, c := range []struct {
		micros int64
		digits int
		want   []byte
	}{
		{0, 0, []byte{0x80, 0, 0}},
		{3723_000000, 0, []byte{0x80, 0x10, 0x83}},
		{-1_000000, 0, []byte{0x7f, 0xff, 0xff}},
		{-1_000000, 2, []byte{0x7f, 0xff, 0xff, 0x00}},
		{-990000, 2, []byte{0x7f, 0xff, 0xff, 0x9d}},
		{-10000, 2, []byte{0x7f, 0xff, 0xff, 0xff}},
		{100000, 1, []byte{0x80, 0, 0, 10}},
		{1_500000, 3, []byte{0x80, 0, 0x01, 0x13, 0x88}},
		{-1, 6, []byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff}},
	} {
		if got := appendSpan(nil, c.micros, c.digits); !bytes.Equal(got, c.want) {
			t.Errorf("%d with %d digits: % x, want % x", c.micros, c.digits, got, c.want)
		}
	}
	step := int64(1_000_000)
	for digits := range 7 {
		column := column{code: typeTime, digits: digits}
		for n := int64(-3000); n <= 3000; n += 7 {
			for _, micros := range []int64{n * step, n * 1_000_003 * step % (3020399_000000 / step * step)} {
				b := appendSpan(nil, micros, digits)
				if got, err := column.span(b); err != nil || got != types.Timespan(micros) {
					t.Fatalf("%d with %d digits: % x is %v %v", micros, digits, b, got, err)
				}
			}
		}
		step /= 10
	}
}
