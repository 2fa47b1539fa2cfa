package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// versioned is an entry of temporary storage: version n of a key, newer ones before older ones.
func versioned(key string, n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(key), ^n))
}

// Temporary storage is what a sorted map would be, however many runs it consists of and have been
// merged, also for iterators that were opened before runs were added.
func TestScratchIsASortedMap(t *testing.T) {
	st, err := Open(Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, ordered := range []bool{true, false} {
		t.Run(fmt.Sprintf("ordered %v", ordered), func(t *testing.T) { scratchIsASortedMap(t, st, ordered) })
	}
	if names, err := st.fs.List("db/tmp"); err != nil || len(names) != 0 {
		t.Errorf("temporary storage stays: %v, %v", names, err)
	}
}

func scratchIsASortedMap(t *testing.T, st *Store, ordered bool) {
	r := rand.New(rand.NewPCG(1, 2))
	c, err := st.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	model := map[string]string{}
	var keys []string // of the model, in order
	var n uint64
	type opened struct {
		it   *ScratchIter
		keys []string
	}
	var old []opened
	for run := range 3*mergeAtOnce + 5 {
		group := map[string]string{}
		for i := range 40 {
			n++
			key := fmt.Sprintf("a%06d.", r.IntN(4000))
			if ordered {
				key = fmt.Sprintf("a%06d.", run*20+i)
			}
			// Some large, so that runs have several blocks.
			group[versioned(key, n)] = fmt.Sprint(n, string(bytes.Repeat([]byte{byte(n)}, int(n%7*n%5000))))
			group[versioned(fmt.Sprintf("b%06d.", r.IntN(100_000)), n)] = ""
		}
		sorted := make([]string, 0, len(group))
		for k, v := range group {
			sorted, model[k] = append(sorted, k), v
		}
		slices.Sort(sorted)
		err := c.Add(func(w *RunWriter) error {
			for i, k := range sorted {
				if i > 0 && k[0] != sorted[i-1][0] {
					if err := w.Cut(); err != nil {
						return err
					}
				}
				if err := w.Set([]byte(k), []byte(group[k])); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, sorted...)
		slices.Sort(keys)
		if run%50 == 20 {
			it := c.NewIter(nil, nil)
			it.First()
			old = append(old, opened{it, slices.Clone(keys)})
		}
		if ordered && run == 2*mergeAtOnce {
			// Behind the rows of all runs, in front of their entries: nothing is read.
			if err := c.Find([]byte("a999999."), nothing(t)); err != nil || c.lookup {
				t.Error("something was read for a key behind all others", err)
			}
		}
	}
	if len(c.runs) > 3+5 {
		t.Errorf("%d runs are left", len(c.runs))
	}
	for _, o := range old {
		walk(t, o.it, o.it.Valid(), o.it.Next, o.keys, model)
		if err := o.it.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 200 {
		from, to := r.IntN(len(keys)), r.IntN(len(keys))
		if from > to {
			from, to = to, from
		}
		it := c.NewIter([]byte(keys[from]), []byte(keys[to]))
		walk(t, it, it.First(), it.Next, keys[from:to], model)
		seek := from + r.IntN(to-from+1)
		walk(t, it, it.SeekGE([]byte(keys[seek])), it.Next, keys[seek:to], model)
		backwards := slices.Clone(keys[from:to])
		slices.Reverse(backwards)
		walk(t, it, it.Last(), it.Prev, backwards, model)
		if err := it.Close(); err != nil {
			t.Error(err)
		}
		key := keys[from][:len(keys[from])-versionSize]
		var got, want []string
		for _, k := range keys {
			if len(k) == len(key)+versionSize && k[:len(key)] == key {
				want = append(want, k+model[k])
			}
		}
		if err := c.Find([]byte(key), func(version, value []byte) (bool, error) {
			got = append(got, key+string(version)+string(value))
			return true, nil
		}); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%d versions of %q, want %d (%v)", len(got), key, len(want), err)
		}
	}
	if err := c.Find([]byte("nosuch"), nothing(t)); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func nothing(t *testing.T) func(version, value []byte) (bool, error) {
	return func(version, value []byte) (bool, error) { t.Errorf("found % x", version); return true, nil }
}

func walk(t *testing.T, it *ScratchIter, ok bool, next func() bool, keys []string, model map[string]string) {
	t.Helper()
	for _, k := range keys {
		if !ok || !it.Valid() || string(it.Key()) != k || string(it.Value()) != model[k] {
			t.Fatalf("%v instead of %q (%v)", ok, k, it.Err())
		}
		ok = next()
	}
	if ok || it.Err() != nil {
		t.Fatalf("goes on behind its end, or %v", it.Err())
	}
}

// A block that has changed on the disk is an error, not other rows.
func TestScratchSeesDamage(t *testing.T) {
	fs := vfs.NewMem()
	st, err := Open(Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	c, err := st.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Add(func(w *RunWriter) error { return w.Set([]byte(versioned("key", 1)), []byte("value")) }); err != nil {
		t.Fatal(err)
	}
	f, err := fs.OpenReadWrite(c.runs[0].path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 5); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	it := c.NewIter(nil, nil)
	if it.First() || !errors.Is(it.Close(), ErrCorrupt) {
		t.Error("a damaged block is read")
	}
	if err := c.Find([]byte("key"), nothing(t)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged block is read: %v", err)
	}
}

func FuzzScratchBlock(f *testing.F) {
	f.Add([]byte{9, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0x80})
	f.Add([]byte{9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		offsets, err := entriesOfBlock(nil, data)
		if err != nil {
			return
		}
		end := 0
		for _, at := range offsets {
			if int(at) != end {
				t.Fatalf("an entry at %d, the one before ends at %d", at, end)
			}
			key, value, next, err := entryAt(data, int(at))
			if err != nil || len(key) < versionSize || len(key)+len(value) > next-int(at) {
				t.Fatalf("the entry at %d: %d + %d bytes, %v", at, len(key), len(value), err)
			}
			end = next
		}
		if end != len(data) {
			t.Fatalf("%d bytes of %d", end, len(data))
		}
	})
}
