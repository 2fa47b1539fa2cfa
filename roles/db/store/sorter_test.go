package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Whatever the order in which keys come, and however little memory there is, they go in
// order, and equal ones in the order in which they came.
func TestSorter(t *testing.T) {
	st, err := Open(Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, limit := range []int{1, 1000, 1 << 20} {
		r := rand.New(rand.NewPCG(7, uint64(limit)))
		s := st.NewSorter(limit)
		var want, got []string
		for n := range 500 {
			key, value := fmt.Sprintf("%03d", r.IntN(200)), fmt.Sprintf("v%05d", n)
			want = append(want, key+value)
			if err := s.Add([]byte(key), []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(want)
		if err := s.Each(func(key, value []byte) error { got = append(got, string(key)+string(value)); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %d keys, want %d in order", limit, len(got), len(want))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := st.fs.List("db/tmp"); err != nil || len(names) != 0 {
		t.Errorf("temporary storage stays: %v, %v", names, err)
	}
}
