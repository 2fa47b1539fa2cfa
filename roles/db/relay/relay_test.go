package relay

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func id(n int) event.ID { return event.ID{UUID: [16]byte{1}, Number: int64(n)} }

// bed is a relay log with small segments on a store.
type bed struct {
	st *store.Store
	*Log
}

func openBed(t testing.TB, fs vfs.FS, executed int) *bed {
	t.Helper()
	st, err := store.Open(store.Options{Dir: "data", FS: fs, CacheBytes: 1 << 20, MemtableSize: 1 << 20})
	must(t, err)
	l, err := Open(st, func(x event.ID) bool { return x.Number <= int64(executed) })
	must(t, err)
	l.max = 4096
	return &bed{st, l}
}

func (b *bed) close(t testing.TB) {
	t.Helper()
	must(t, errors.Join(b.Log.Close(), b.st.Close()))
}

// transaction is the records of a transaction, of events that say which it is.
func transaction(n, parts, size int) (list []*Record) {
	for i := range parts {
		list = append(list, &Record{
			First: i == 0, Last: i == parts-1, ID: id(n), Original: time.UnixMicro(int64(n)), File: "binlog.000001", Offset: uint64(n),
			Events: [][]byte{fmt.Appendf(nil, "%d.%d", n, i), bytes.Repeat([]byte{byte(n)}, size)},
		})
	}
	return list
}

func (b *bed) add(t testing.TB, n, parts, size int) {
	t.Helper()
	for _, r := range transaction(n, parts, size) {
		must(t, b.Append(r))
	}
}

// read is the numbers of the transactions that a reader gets, whose records are whole and in order.
func (b *bed) read(t testing.TB) (list []int) {
	t.Helper()
	r := b.Reader()
	defer r.Close()
	for parts := 0; ; {
		if rand.IntN(3) == 0 {
			if _, err := r.Peek(); err != nil {
				t.Fatal(err)
			}
		}
		rec, err := r.Next()
		must(t, err)
		if rec == nil {
			if parts > 0 || r.Ready() {
				t.Fatalf("the log ends inside transaction %v", list)
			}
			return list
		}
		n := int(rec.ID.Number)
		if rec.First {
			list, parts = append(list, n), 0
		}
		if got := string(rec.Events[0]); list[len(list)-1] != n || got != fmt.Sprintf("%d.%d", n, parts) || rec.Offset != uint64(n) || rec.Original.UnixMicro() != int64(n) {
			t.Fatalf("transaction %v goes on with %q of %d at %d", list, got, n, rec.Offset)
		}
		if parts++; rec.Last {
			parts = 0
		}
	}
}

func span2(from, to int) (list []int) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

func same(t testing.TB, what string, got, want []int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// What was synced is read, whole transactions alone, in order, over segments; what was not is not.
func TestLog(t *testing.T) {
	fs := vfs.NewMem()
	b := openBed(t, fs, 0)
	for n := 1; n <= 30; n++ {
		b.add(t, n, 1+n%4, 500)
		same(t, "before the sync", b.read(t), span2(1, n-1))
		must(t, b.Sync())
		same(t, "after it", b.read(t), span2(1, n))
	}
	for _, r := range transaction(31, 8, 3000)[:5] {
		must(t, b.Append(r))
	}
	must(t, b.Sync())
	b.Drop()
	b.add(t, 31, 1, 10)
	must(t, b.Sync())
	same(t, "after a transaction that was dropped", b.read(t), span2(1, 31))
	if set := b.Set(); set != id(1).String()+"-31" || b.Pending() != 31 {
		t.Fatalf("%s, %d pending", set, b.Pending())
	}
	b.close(t)
	b = openBed(t, fs, 12)
	same(t, "opened again", b.read(t), span2(13, 31))
	if b.Pending() != 19 {
		t.Fatalf("%d pending", b.Pending())
	}
	b.add(t, 32, 1, 10)
	must(t, b.Sync())
	same(t, "and written", b.read(t), span2(13, 32))
	b.close(t)
}

// Segments whose transactions are applied are written over, and their number stays small.
func TestSegmentsAreUsedAgain(t *testing.T) {
	fs := vfs.NewMem()
	b := openBed(t, fs, 0)
	r := b.Reader()
	for n := 1; n <= 400; n++ {
		b.add(t, n, 1+n%3, 700)
		must(t, b.Sync())
		for r.Ready() {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if n%5 == 0 {
			b.Applied(r.At())
		}
	}
	r.Close()
	names, err := fs.List(b.dir)
	must(t, err)
	if len(names) > 4+sparesKept {
		t.Errorf("%d segments: %v", len(names), names)
	}
	if b.Pending() != 0 || b.Bytes() > 5*4096 {
		t.Errorf("%d pending, %d bytes", b.Pending(), b.Bytes())
	}
	b.close(t)
	b = openBed(t, fs, 398)
	same(t, "opened again", b.read(t), span2(399, 400))
	b.close(t)
}

// A tail is taken off for good.
func TestCut(t *testing.T) {
	fs := vfs.NewMem()
	b := openBed(t, fs, 0)
	for n := 1; n <= 40; n++ {
		b.add(t, n, 1+n%3, 900)
		must(t, b.Sync())
	}
	bad := func(x event.ID) bool { return x.Number >= 17 && x.Number != 20 }
	var seen []int
	n, err := b.Tail(bad, func(r *Record) error {
		if r.First {
			seen = append(seen, int(r.ID.Number))
		}
		return nil
	})
	must(t, err)
	same(t, "the tail", seen, span2(17, 40))
	executed := func(x event.ID) bool { return x.Number <= 3 }
	if n != 24 {
		t.Errorf("%d transactions", n)
	}
	must(t, b.Cut(executed, bad))
	same(t, "cut", b.read(t), span2(4, 16))
	if set := b.Set(); !strings.HasSuffix(set, "-16") {
		t.Error(set)
	}
	for range 2 {
		b.close(t)
		b = openBed(t, fs, 3)
		same(t, "opened again", b.read(t), span2(4, 16))
	}
	for n := 17; n <= 50; n++ {
		b.add(t, n, 2, 400)
		must(t, b.Sync())
	}
	same(t, "written on", b.read(t), span2(4, 50))
	must(t, b.Cut(executed, func(event.ID) bool { return true }))
	same(t, "all cut", b.read(t), nil)
	b.add(t, 4, 1, 10)
	must(t, b.Sync())
	must(t, b.Reset())
	same(t, "reset", b.read(t), nil)
	if b.Set() != "" || b.Pending() != 0 {
		t.Errorf("%q, %d pending", b.Set(), b.Pending())
	}
	b.close(t)
	b = openBed(t, fs, 0)
	same(t, "opened after the reset", b.read(t), nil)
	b.add(t, 5, 1, 10)
	must(t, b.Sync())
	same(t, "and written", b.read(t), span2(5, 5))
	b.close(t)
}

// Crashes at any time, of disks that keep some of what was not synced: everything that was synced and not applied is there
// once, in order, and behind it at most what was appended.
func TestCrashes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	fs := crashfs.New()
	applied, synced := 0, 0
	for round := range rounds {
		b := openBed(t, fs, applied)
		got := b.read(t)
		end := applied + len(got)
		same(t, fmt.Sprintf("round %d", round), got, span2(applied+1, end))
		if end < synced {
			t.Fatalf("round %d: it ends at %d, %d were synced", round, end, synced)
		}
		synced = end
		reader := b.Reader()
		next := end + 1
		var clone *vfs.MemFS
		stop := r.IntN(60)
		for step := 0; step <= stop; step++ {
			switch r.IntN(10) {
			case 0:
				must(t, b.Sync())
				synced = next - 1
			case 1:
				list := transaction(next, 1+r.IntN(6), r.IntN(3000))
				for _, rec := range list[:r.IntN(len(list))] {
					must(t, b.Append(rec))
				}
				b.Drop()
				synced = next - 1 // Drop syncs what is whole
			case 2:
				for reader.Ready() && r.IntN(8) > 0 {
					rec, err := reader.Next()
					must(t, err)
					if rec.Last {
						applied = int(rec.ID.Number)
						b.Applied(reader.At())
					}
				}
			case 3:
				if r.IntN(4) > 0 {
					break
				}
				from := applied + 1 + r.IntN(max(1, next-applied))
				must(t, b.Sync())
				reader.Close()
				must(t, b.Cut(func(x event.ID) bool { return x.Number <= int64(applied) }, func(x event.ID) bool { return x.Number >= int64(from) }))
				next = min(next, from)
				synced = next - 1
				reader = b.Reader()
			default:
				b.add(t, next, 1+r.IntN(3), r.IntN(2000))
				next++
			}
		}
		if r.IntN(3) == 0 { // the process is killed alone, and what it has written counts from then on
			reader.Close()
			b.close(t)
			b = openBed(t, fs, applied)
			got := b.read(t)
			if end := applied + len(got); end < synced {
				t.Fatalf("round %d: after a kill it ends at %d, %d were synced", round, end, synced)
			} else {
				synced = end
			}
			reader = b.Reader()
			if r.IntN(2) == 0 {
				b.add(t, synced+1, 1, 10)
				if r.IntN(2) == 0 {
					must(t, b.Sync())
					synced++
				}
			}
		}
		clone = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		reader.Close()
		b.close(t)
		fs = crashfs.Of(clone)
	}
}

// Damage in what was synced is told; it does not end the log silently. What nothing was synced behind may be what a crash
// has left.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		what    string
		segment func(b *bed) uint64
		at      int64
		damaged bool
	}{
		{"the first segment", func(b *bed) uint64 { return b.segments[0].number }, 2000, true},
		{"the newest segment", func(b *bed) uint64 { return b.now }, 200, true},
		{"its beginning", func(b *bed) uint64 { return b.now }, 10, true},
		{"the last frame", func(b *bed) uint64 { return b.now }, 1300, false},
	} {
		fs := vfs.NewMem()
		b := openBed(t, fs, 0)
		for n := 1; n <= 6; n++ {
			b.add(t, n, 1, 1000)
			must(t, b.Sync())
		}
		if len(b.segments) != 2 || b.size < 2000 || b.size > 2500 {
			t.Fatalf("%d segments, %d bytes in the last", len(b.segments), b.size)
		}
		path := b.path(c.segment(b))
		b.close(t)
		f, err := fs.OpenReadWrite(path, category)
		must(t, err)
		if _, err := f.WriteAt([]byte{'x'}, c.at); err != nil {
			t.Fatal(err)
		}
		must(t, f.Close())
		st, err := store.Open(store.Options{Dir: "data", FS: fs})
		must(t, err)
		_, err = Open(st, func(event.ID) bool { return false })
		if damaged := errors.Is(err, ErrDamaged); damaged != c.damaged || !damaged && err != nil {
			t.Errorf("%s is damaged: %v", c.what, err)
		}
		must(t, st.Close())
	}
}

// A block that cannot be read is damage, also where the segment before is named.
func TestUnreadable(t *testing.T) {
	mem := vfs.NewMem()
	b := openBed(t, mem, 0)
	b.add(t, 1, 1, 1000)
	must(t, b.Sync())
	path := b.path(b.now)
	b.close(t)
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && op.Path == path {
			return syscall.EIO
		}
		return nil
	}))
	st, err := store.Open(store.Options{Dir: "data", FS: fs})
	must(t, err)
	defer st.Close()
	if _, err := Open(st, func(event.ID) bool { return false }); !errors.Is(err, ErrDamaged) || !errors.Is(err, syscall.EIO) {
		t.Errorf("opened: %v", err)
	}
}

// What was written of a transaction whose end does not come is no damage, though frames of it say that its first part was
// durable.
func TestCutBehindWhatWasDurable(t *testing.T) {
	fs := vfs.NewMem()
	b := openBed(t, fs, 0)
	b.add(t, 1, 1, 100)
	parts := transaction(2, 3, 700)
	must(t, b.Append(parts[0]))
	must(t, b.Sync())
	must(t, b.Append(parts[1]))
	b.Drop()
	tail := func() {
		t.Helper()
		if n, err := b.Tail(func(x event.ID) bool { return x.Number > 1 }, func(*Record) error { return nil }); n != 0 || err != nil {
			t.Errorf("the tail has %d transactions, %v", n, err)
		}
	}
	tail()
	b.close(t)
	b = openBed(t, fs, 0)
	tail()
	same(t, "what is there", b.read(t), span2(1, 1))
	must(t, b.Cut(func(event.ID) bool { return false }, func(x event.ID) bool { return x.Number > 0 }))
	same(t, "behind the cut", b.read(t), nil)
	b.close(t)
}

// A log of an earlier version is none that counts.
func TestEarlierVersion(t *testing.T) {
	fs := vfs.NewMem()
	openBed(t, fs, 0).close(t)
	f, err := fs.Create("data/relay/00000000000000000007"+oldSuffix, category)
	must(t, err)
	must(t, f.Close())
	st, err := store.Open(store.Options{Dir: "data", FS: fs})
	must(t, err)
	defer st.Close()
	if _, err := Open(st, func(event.ID) bool { return false }); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range transaction(7, 2, 30) {
		f.Add(r.append(nil))
	}
	f.Add((&Record{ID: id(1), File: strings.Repeat("x", 300)}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := parseRecord(r.append(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Fatalf("%v became %v, %v", r, again, err)
		}
	})
}

// Whatever is in the files: the log opens with what is whole, or says that it is damaged.
func FuzzOpen(f *testing.F) {
	fs := vfs.NewMem()
	b := openBed(f, fs, 0)
	for n := 1; n <= 4; n++ {
		b.add(f, n, 1+n%2, 20)
		must(f, b.Sync())
	}
	path := b.path(b.now)
	name := path[strings.LastIndexByte(path, '/')+1:]
	b.close(f)
	file, err := fs.Open(path)
	must(f, err)
	info, err := file.Stat()
	must(f, err)
	whole := make([]byte, info.Size())
	if _, err := file.ReadAt(whole, 0); err != nil {
		f.Fatal(err)
	}
	must(f, file.Close())
	f.Add(whole, name)
	f.Add(whole[:len(whole)-3], name)
	f.Add(whole, "00000000000000000001"+suffix)
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		if name == "" || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
			t.Skip()
		}
		fs := vfs.NewMem()
		must(t, fs.MkdirAll("data/relay", 0o700))
		st, err := store.Open(store.Options{Dir: "data", FS: fs, CacheBytes: 1 << 20, MemtableSize: 1 << 20})
		must(t, err)
		defer st.Close()
		file, err := fs.Create("data/relay/"+name, category)
		must(t, err)
		_, err = file.Write(b)
		must(t, errors.Join(err, file.Close()))
		l, err := Open(st, func(event.ID) bool { return false })
		if err != nil {
			return
		}
		defer l.Close()
		r := l.Reader()
		defer r.Close()
		for {
			rec, err := r.Next()
			must(t, err)
			if rec == nil {
				return
			}
		}
	})
}
