package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func purgeTo(l *Log, number uint32) error {
	_, err := l.PurgeTo(ctx, number)
	return err
}

// node is a store with a log and the part of the commit leader.
type node struct {
	t      testing.TB
	st     *store.Store
	l      *Log
	last   int64
	origin *Origin // of the transactions
}

func open(t testing.TB, fs vfs.FS, opts Options) *node {
	t.Helper()
	n, err := tryOpen(t, store.Options{Dir: "db", FS: fs, Reserve: 1, MemtableSize: 1 << 20}, opts)
	must(t, err)
	t.Cleanup(n.close)
	return n
}

func tryOpen(t testing.TB, so store.Options, opts Options) (*node, error) {
	t.Helper()
	st, err := store.Open(so)
	must(t, err)
	n := &node{t: t, st: st}
	executed, err := store.Get(st.DB, store.MetaExecutedKey())
	must(t, err)
	if executed != nil {
		_, last, _ := strings.Cut(string(executed), ":1-")
		_, err := fmt.Sscan(last, &n.last)
		must(t, err)
	}
	if n.l, err = Open(st, string(executed), n.last, opts); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return n, nil
}

func (n *node) close() {
	if n.l != nil {
		n.l.Close()
		must(n.t, n.st.Close())
		n.l = nil
	}
}

func (n *node) executed() string { return n.upTo(n.last) }

// String and Add are the executed set of the leader.
func (n *node) String() string  { return n.executed() }
func (n *node) Add(id event.ID) { n.last = id.Number }

func (n *node) upTo(number int64) string {
	if number == 0 {
		return ""
	}
	return fmt.Sprintf("%s:1-%d", n.st.Server, number)
}

// future is what clients take for the time: SET timestamp.
var future = time.Unix(math.MaxInt32, 0)

// commit puts a group of transactions with texts of this size into the log.
func (n *node) commit(sizes ...int) { n.t.Helper(); n.group(false, true, sizes...) }

func (n *node) group(rotate, sync bool, sizes ...int) {
	n.t.Helper()
	b := n.st.DB.NewBatch()
	defer b.Close()
	g, err := n.l.Begin(b, n)
	must(n.t, err)
	if rotate {
		must(n.t, g.Rotate())
	}
	for _, size := range sizes {
		next := event.ID{UUID: n.l.uuid, Number: n.last + 1}
		q := event.Query{Begun: future, Text: fmt.Sprintf("%d %s", next.Number, strings.Repeat("x", size))}
		must(n.t, g.Add(&Transaction{Head: event.AppendQuery(nil, 1, &q), Origin: n.origin}, next))
	}
	n.end(g, b, sync)
}

// end commits a group.
func (n *node) end(g *Group, b *pebble.Batch, sync bool) {
	n.t.Helper()
	must(n.t, g.End())
	if n.last > 0 {
		must(n.t, b.Set(store.MetaExecutedKey(), []byte(n.executed()), nil))
	}
	how := pebble.Sync
	if !sync {
		how = pebble.NoSync
	}
	must(n.t, b.Commit(how))
	n.l.Committed(g, sync)
}

// commitLarge puts a transaction into the log as a file of its own.
func (n *node) commitLarge() {
	n.t.Helper()
	tx := &Transaction{Head: event.AppendQuery(nil, 1, &event.Query{Begun: future, Text: "BEGIN"}), Rows: true, Origin: n.origin}
	f, err := n.l.WriteLarge(tx, noEvents{}, bytes.NewReader(nil), n.executed())
	must(n.t, err)
	defer f.Close()
	b := n.st.DB.NewBatch()
	defer b.Close()
	g, err := n.l.Begin(b, n)
	must(n.t, err)
	must(n.t, g.AddFile(f, event.ID{UUID: n.l.uuid, Number: n.last + 1}))
	must(n.t, g.Durable())
	n.end(g, b, true)
}

// noEvents are those of a transaction without rows.
type noEvents struct{}

func (noEvents) Size() int64      { return 0 }
func (noEvents) FileSize() uint64 { return 0 }

// numbers reads the transactions from a reader until there are no more.
func numbers(t testing.TB, r *Reader) (list []int64) {
	t.Helper()
	at := r.Position()
	for {
		ev, err := r.TryNext()
		must(t, err)
		if ev == nil {
			return list
		}
		if ev.Position != at && ev.Offset != firstOffset && r.skip == nil {
			t.Fatalf("an event at %s after one that ends at %s", ev.Position, at)
		}
		at = Position{ev.File, ev.End}
		must(t, event.Verify(ev.Bytes))
		if event.Type(ev.Bytes[4]) == event.TypeGTID {
			g, err := event.ParseGTID(ev.Bytes)
			must(t, err)
			list = append(list, g.Number)
		}
	}
}

func (n *node) all() []int64 {
	n.t.Helper()
	r, err := n.l.Open(Position{File: n.l.Files()[0].Number})
	must(n.t, err)
	defer r.Close()
	return numbers(n.t, r)
}

// whole fails unless the log holds from, from + 1, … up to the last transaction.
func (n *node) whole(from int64) {
	n.t.Helper()
	list := n.all()
	for i, got := range list {
		if got != from+int64(i) {
			n.t.Fatalf("transaction %d where %d should be", got, from+int64(i))
		}
	}
	if want := n.last - from + 1; int64(len(list)) != want {
		n.t.Fatalf("%d transactions from %d on, want %d", len(list), from, want)
	}
	snapshot := n.st.DB.NewSnapshot() // the sealer goes on
	must(n.t, errors.Join(Check(snapshot, n.st.Server, uint64(n.last)), snapshot.Close()))
}

var ctx = context.Background()

// Positions and bytes are the same whether an event is in the tail or in a file.
func TestSealingChangesNothing(t *testing.T) {
	n := open(t, vfs.NewMem(), Options{SealSize: 1 << 40})
	n.commit(10)
	n.commit(20, 30, 40)
	n.commit(3 << 20)
	n.commit(1)
	read := func() (list []string) {
		r, err := n.l.Open(Position{File: 1})
		must(t, err)
		defer r.Close()
		for {
			ev, err := r.TryNext()
			must(t, err)
			if ev == nil || ev.File > 1 {
				return list
			}
			list = append(list, fmt.Sprintf("%s %d %x", ev.Position, ev.End, ev.Bytes[:min(len(ev.Bytes), 100)]))
		}
	}
	n.group(true, true)
	before := read()
	must(t, n.l.WaitSealed(ctx))
	if f := n.l.Files()[0]; f.Sealed != f.Size {
		t.Fatalf("%+v", f)
	}
	if after := read(); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Fatalf("before %d events, after %d, or they differ", len(before), len(after))
	}
	n.commit(5)
	n.whole(1)
}

// A reader goes on while the log is written, sealed and rotated beside it, and may begin
// at any event.
func TestReaderBesideTheWriter(t *testing.T) {
	n := open(t, vfs.NewMem(), Options{SealSize: 2 << 10, FileSize: 8 << 10})
	r, err := n.l.Open(Position{File: 1})
	must(t, err)
	defer r.Close()
	var wait sync.WaitGroup
	const total = 600
	wait.Go(func() {
		next := int64(1)
		for next <= total {
			ev, err := r.Next(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if event.Type(ev.Bytes[4]) != event.TypeGTID {
				continue
			}
			if g, err := event.ParseGTID(ev.Bytes); err != nil || g.Number != next {
				t.Errorf("transaction %d where %d should be: %v", g.Number, next, err)
				return
			}
			next++
			if next%50 == 0 {
				again, err := n.l.Open(r.Position())
				if err != nil {
					t.Error(err)
					return
				}
				again.Close()
			}
		}
	})
	for n.last < total {
		n.commit(rand.IntN(200), rand.IntN(200))
	}
	wait.Wait()
	must(t, n.l.WaitSealed(ctx))
	n.whole(1)
	c, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	for {
		if _, err := r.Next(c); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
	}
}

// A transaction of another server has its place whether or not that has said when it was committed.
func TestOriginWithoutTime(t *testing.T) {
	fs := vfs.NewMem()
	n := open(t, fs, Options{})
	for _, o := range []*Origin{nil, {Server: 9}, {Server: 9, Committed: 1700000000123456}, {Server: 9}} {
		n.origin = o
		n.commit(10, 20)
		n.commit(30)
		n.commitLarge()
	}
	n.commit(40)
	check := func(n *node) {
		t.Helper()
		r, err := n.l.Open(Position{File: 1})
		must(t, err)
		defer r.Close()
		if got := fmt.Sprint(numbers(t, r)); got != "[1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17]" {
			t.Errorf("the log holds %s", got)
		}
	}
	check(n)
	n.group(true, true)
	must(t, n.l.WaitSealed(ctx))
	check(n)
	n.close()
	check(open(t, fs, Options{}))
}

// By GTID a reader gets exactly the transactions that are missing.
func TestReaderByGTID(t *testing.T) {
	n := open(t, vfs.NewMem(), Options{})
	for range 5 {
		n.commit(1, 1)
		n.group(true, true)
	}
	n.commit(1)
	for have := int64(0); have <= n.last; have++ {
		text := ""
		if have > 0 {
			text = fmt.Sprintf("%s:1-%d", n.st.Server, have)
		}
		set, err := event.ParseGTIDs(text)
		must(t, err)
		r, err := n.l.OpenGTID(set)
		must(t, err)
		list := numbers(t, r)
		r.Close()
		if int64(len(list)) != n.last-have || len(list) > 0 && list[0] != have+1 {
			t.Fatalf("with 1-%d: %v", have, list)
		}
	}
	must(t, purgeTo(n.l, 4))
	set, err := event.ParseGTIDs(n.st.Server + ":1-3")
	must(t, err)
	if _, err := n.l.OpenGTID(set); !errors.Is(err, ErrPurged) {
		t.Fatalf("transactions that are gone: %v", err)
	}
	n.whole(7)
}

func TestPositionsThatAreNone(t *testing.T) {
	n := open(t, vfs.NewMem(), Options{})
	n.commit(100)
	end := n.l.Position()
	for _, p := range []Position{{9, 4}, {1, end.Offset + 1}} {
		if _, err := n.l.Open(p); !errors.Is(err, ErrNoFile) {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, sealed := range []bool{false, true} {
		if sealed {
			n.group(true, true)
			must(t, n.l.WaitSealed(ctx))
		}
		for offset := uint64(5); offset < end.Offset; offset++ {
			r, err := n.l.Open(Position{1, offset})
			must(t, err)
			if ev, err := r.TryNext(); err != nil && !errors.Is(err, ErrNoFile) || err == nil && ev == nil {
				t.Fatalf("offset %d, sealed %v: %v, %v", offset, sealed, ev, err)
			}
			r.Close()
		}
	}
	for _, name := range []string{"", "binlog.", "binlog.1", "binlog.000000", "../binlog.000001", "binlog.000001x", "binlog.99999999999"} {
		if _, err := ParseFileName(name); !errors.Is(err, ErrNoFile) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if number, err := ParseFileName("binlog.1000000"); err != nil || number != 1000000 {
		t.Errorf("%d, %v", number, err)
	}
}

// Files go by size and by age, whatever time clients have set, the one that is written never.
func TestBounds(t *testing.T) {
	n := open(t, vfs.NewMem(), Options{})
	fill := func(files int) {
		for range files {
			n.commit(100 << 10)
			n.group(true, true)
		}
		must(t, n.l.WaitSealed(ctx))
	}
	fill(6)
	n.l.SetBounds(0, 250<<10)
	must(t, waitFor(func() bool { return len(n.l.Files()) == 3 }))
	n.whole(5)
	n.l.SetBounds(time.Hour, 0)
	fill(1)
	if got := len(n.l.Files()); got != 4 {
		t.Fatalf("%d files, all younger than the bound", got)
	}
	n.l.SetBounds(time.Nanosecond, 0)
	n.commitLarge()
	n.group(true, true)
	must(t, waitFor(func() bool { n.l.wake(); return len(n.l.Files()) <= 2 }))
	if last := n.l.Files()[len(n.l.Files())-1]; last.Number != n.l.Position().File {
		t.Fatal("the file that is written has gone")
	}
}

// At a start the file goes on where it has no transactions yet, else another begins.
func TestStartBeginsAFile(t *testing.T) {
	fs := vfs.NewMem()
	n := open(t, fs, Options{})
	first := n.l.Position()
	n.close()
	n = open(t, fs, Options{})
	if n.l.Position() != first {
		t.Fatalf("%s after a start, %s before", n.l.Position(), first)
	}
	n.commit(1)
	n.close()
	n = open(t, fs, Options{})
	if p := n.l.Position(); p.File != 2 {
		t.Fatalf("the log goes on at %s", p)
	}
	must(t, n.l.WaitSealed(ctx))
	n.whole(1)
}

// Copies of the file system that lose what was not synced, taken at any moment of
// sealing: each opens, holds every transaction that was committed, once, and its files
// become what they would have been.
func TestCrashWhileSealing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 6))
	fs := vfs.NewCrashableMem()
	opts := Options{SealSize: 2 << 10, FileSize: 6 << 10}
	n := open(t, fs, opts)
	var committed atomic.Int64
	var wait sync.WaitGroup
	budget := make(chan struct{}, 100)
	wait.Go(func() {
		for range budget {
			n.commit(rand.IntN(300), rand.IntN(300))
			committed.Store(n.last)
		}
	})
	rounds := 60
	if testing.Short() {
		rounds = 25
	}
	for i := range rounds {
		target := committed.Load() + int64(r.IntN(20))
		for range 14 {
			budget <- struct{}{}
		}
		must(t, waitFor(func() bool { return committed.Load() >= target }))
		before := committed.Load()
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: i % 3 * 50, RNG: rand.New(rand.NewPCG(r.Uint64(), 7))})
		after := open(t, clone, opts)
		if after.last < before {
			t.Fatalf("%d transactions were committed, %d are there", before, after.last)
		}
		after.whole(1)
		after.commit(5)
		after.group(true, true)
		must(t, after.l.WaitSealed(ctx))
		after.whole(1)
		after.close()
	}
	close(budget)
	wait.Wait()
}

// What a crash left in a file beyond its mark is cut off; files without a name in the
// index go; a file that has lost bytes is forgotten with those before it.
func TestStartMatchesTheFiles(t *testing.T) {
	fs := vfs.NewMem()
	n := open(t, fs, Options{})
	for range 3 {
		n.commit(1000)
		n.group(true, true)
	}
	must(t, n.l.WaitSealed(ctx))
	files := n.l.Files()
	n.close()
	write := func(name string, at int64, b string) {
		f, err := fs.OpenReadWrite("db/binlog/"+name, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.WriteAt([]byte(b), at)
		must(t, errors.Join(err, f.Close()))
	}
	write("binlog.000003", int64(files[2].Size), "left by a crash")
	write("binlog.000077", 0, "left by a crash")
	write("binlog.000003.cut", 0, "left by a crash")
	write("mine", 0, "not ours")
	n = open(t, fs, Options{})
	n.whole(1)
	names, err := fs.List("db/binlog")
	must(t, err)
	if got := len(names); got != 4 {
		t.Fatalf("files are %q", names)
	}
	info, err := fs.Stat("db/binlog/binlog.000003")
	must(t, err)
	if uint64(info.Size()) != files[2].Size {
		t.Fatalf("the file has %d bytes, want %d", info.Size(), files[2].Size)
	}
	n.close()

	must(t, fs.Remove("db/binlog/binlog.000002"))
	n = open(t, fs, Options{})
	n.whole(3)
	if first := n.l.Files()[0].Number; first != 3 {
		t.Fatalf("the log begins with file %d", first)
	}
	if _, err := fs.Stat("db/binlog/binlog.000001"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file before the hole is there: %v", err)
	}
}

// A tail with a hole is refused.
func TestHoleInTheTail(t *testing.T) {
	fs := vfs.NewMem()
	n := open(t, fs, Options{})
	n.commit(1)
	at := n.l.Position()
	n.commit(1)
	n.commit(1)
	must(t, n.st.DB.Delete(store.LogKey(at.File, at.Offset), pebble.Sync))
	if err := Check(n.st.DB, n.st.Server, uint64(n.last)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("check: %v", err)
	}
	n.close()
	if _, err := tryOpen(t, store.Options{Dir: "db", FS: fs, Reserve: 1}, Options{}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// A file that cannot be made durable ends the process; one that cannot be written, as on
// a full disk, is tried again, and the tail keeps what it has.
func TestFaultsWhileSealing(t *testing.T) {
	var failSync, failWrite atomic.Bool
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !strings.Contains(op.Path, "binlog.0") {
			return nil
		}
		if failWrite.Load() && op.Kind == errorfs.OpFileWriteAt || failSync.Load() && op.Kind == errorfs.OpFileSync {
			return errorfs.ErrInjected
		}
		return nil
	}))
	var fatal atomic.Int32
	n, err := tryOpen(t, store.Options{Dir: "db", FS: fs, Reserve: 1, Fatal: func(string) { fatal.Add(1) }}, Options{})
	must(t, err)
	defer n.close()
	failWrite.Store(true)
	n.commit(100)
	n.group(true, true)
	c, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := n.l.WaitSealed(c); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("sealed to a disk that takes nothing: %v", err)
	}
	n.whole(1)
	failWrite.Store(false)
	must(t, n.l.WaitSealed(ctx))
	n.whole(1)
	if fatal.Load() != 0 {
		t.Fatal("a failed write ended the process")
	}
	failSync.Store(true)
	n.commit(100)
	n.group(true, true)
	must(t, waitFor(func() bool { return fatal.Load() > 0 }))
}

// Readers get ErrClosed when the log ends.
func TestCloseWakesReaders(t *testing.T) {
	n := open(t, vfs.NewMem(), Options{})
	r, err := n.l.Open(n.l.Position())
	must(t, err)
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		_, err := r.Next(ctx)
		done <- err
	}()
	n.close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// Group commit and relaxed durability: what is applied and not synced is not seen.
func TestUnsyncedIsNotSeen(t *testing.T) {
	n := open(t, vfs.NewMem(), Options{})
	n.group(false, false, 1, 1)
	n.group(true, false, 1)
	if list := n.all(); len(list) != 0 {
		t.Fatalf("seen: %v", list)
	}
	n.l.Synced()
	n.whole(1)
}

func waitFor(cond func() bool) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if cond() {
			return nil
		}
	}
	return errors.New("the awaited state was not reached in 30 s")
}
