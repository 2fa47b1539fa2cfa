package txn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/store"
)

// A write set of many runs, which are merged, with marks, rollbacks and iterators between them,
// holds what a map would.
func TestWriteSetOfManyRunsMatchesTheModel(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		t.Run(fmt.Sprint("ordered ", ordered), func(t *testing.T) { testManyRuns(t, ordered) })
	}
}

func testManyRuns(t *testing.T, ordered bool) {
	r := seeded(t)
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: 2500})
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	w := tx.set
	type val struct {
		v       string
		deleted bool
	}
	now := map[string]val{}
	type point struct {
		mark  Mark
		state map[string]val
	}
	var points []point
	next := 0
	key := func() string {
		ix := uint32(5 + r.IntN(3))
		n := r.IntN(3000)
		if ordered {
			if next++; r.IntN(10) > 0 {
				n = next
			}
		}
		k := string([]byte{byte(store.SpaceRows), 0, 0, 0, byte(ix)}) + fmt.Sprintf("%05d", n)
		if r.IntN(3) == 0 {
			k += string([]byte{0, byte(r.IntN(3))})
		}
		return k
	}
	check := func() {
		for range 30 {
			k := key()
			v, deleted, found, err := w.get([]byte(k), w.seq)
			must(t, err)
			want, ok := now[k]
			if found != ok || deleted != want.deleted || found && !deleted && string(v) != want.v {
				t.Fatalf("key %q: %q %v %v, want %v %v", k, v, deleted, found, want, ok)
			}
		}
	}
	all := func() {
		for _, reverse := range []bool{false, true} {
			keys := slices.Sorted(maps.Keys(now))
			if reverse {
				slices.Reverse(keys)
			}
			it := w.iter(nil, nil, reverse, w.seq)
			for _, k := range keys {
				if !it.valid || string(it.key) != k || it.deleted != now[k].deleted || !it.deleted && string(it.value) != now[k].v {
					t.Fatalf("iterator at %q (%v), want %q %v", it.key, it.valid, k, now[k])
				}
				it.next()
			}
			if it.valid {
				t.Fatalf("iterator has %q besides", it.key)
			}
			must(t, it.err())
			must(t, it.close())
		}
	}
	for i := range 12_000 {
		switch n := r.IntN(200); {
		case n == 0 && len(points) < 6:
			points = append(points, point{tx.Mark(), maps.Clone(now)})
		case n == 1 && len(points) > 0:
			k := r.IntN(len(points))
			if !tx.RollbackTo(points[k].mark) {
				t.Fatal("a mark is gone")
			}
			now, points = maps.Clone(points[k].state), points[:k+1]
		case n == 2 && len(points) > 0:
			k := r.IntN(len(points))
			tx.Release(points[k].mark)
			points = slices.Delete(points, k, k+1)
		case n == 3:
			check()
		case n < 40:
			k := key()
			must(t, w.delete([]byte(k)))
			now[k] = val{deleted: true}
		default:
			k := key()
			v := fmt.Sprint(i)
			must(t, w.set([]byte(k), []byte(v)))
			now[k] = val{v: v}
		}
		if i%1500 == 1499 {
			all()
		}
	}
	check()
	all()
}

// Where the runs of a write set cannot be merged, a statement fails and nothing of it stays; those
// before it and after it do.
func TestNothingStaysOfAStatementWhoseRunsAreNotMerged(t *testing.T) {
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".run") {
			return errors.New("input/output error")
		}
		return nil
	}))
	e, _ := openMem(t, fs, Options{WriteSetLimit: 2500})
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	w, failed := tx.set, 0
	var want []string
	broken.Store(true)
	for i := 0; i < 3000; i += 20 {
		var keys []string
		var err error
		start := tx.Mark()
		for n := i; n < i+20 && err == nil; n++ {
			key := string([]byte{byte(store.SpaceRows), 0, 0, 0, 5}) + fmt.Sprintf("%05d", n)
			keys = append(keys, key)
			err = w.set([]byte(key), []byte("v"))
		}
		if err != nil {
			broken.Store(false)
			failed++
			tx.RollbackTo(start)
		} else {
			want = append(want, keys...)
		}
		tx.Release(start)
	}
	if failed != 1 {
		t.Fatalf("%d statements have failed", failed)
	}
	var got []string
	it := w.iter(nil, nil, false, w.seq)
	for ; it.valid; it.next() {
		got = append(got, string(it.key))
	}
	must(t, errors.Join(it.err(), it.close()))
	if !slices.Equal(got, want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
}
