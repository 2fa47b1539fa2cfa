package backup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
	"stack/roles/db/txn"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of the randomised tests; 0 takes the time")
	ctx      = context.Background()
)

func seeded(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is a database over a file system in memory.
type server struct {
	st *store.Store
	db *txn.Engine
	e  *sql.Engine
}

func start(t testing.TB, fs vfs.FS, dir string) *server {
	t.Helper()
	return startWith(t, fs, dir, txn.Options{})
}

func startWith(t testing.TB, fs vfs.FS, dir string, opts txn.Options) *server {
	t.Helper()
	s, err := openWith(fs, dir, opts)
	must(t, err)
	return s
}

func open(fs vfs.FS, dir string) (*server, error) { return openWith(fs, dir, txn.Options{}) }

func openWith(fs vfs.FS, dir string, opts txn.Options) (*server, error) {
	s := &server{}
	var err error
	if s.st, err = store.Open(store.Options{Dir: dir, FS: fs, MemtableSize: 256 << 10}); err != nil {
		return nil, err
	}
	if s.db, err = txn.Open(s.st, opts); err != nil {
		return nil, errors.Join(err, s.st.Close())
	}
	if s.e, err = sql.New(s.st, s.db, sql.Options{}); err != nil {
		return nil, errors.Join(err, s.db.Close(), s.st.Close())
	}
	return s, nil
}

func (s *server) stop(t testing.TB) {
	t.Helper()
	must(t, errors.Join(s.e.Close(), s.db.Close(), s.st.Close()))
}

// fill makes tables with secondary indexes and large values.
func (s *server) fill(t testing.TB, rows int) {
	t.Helper()
	must(t, s.e.Do(ctx, "CREATE DATABASE shop",
		"CREATE TABLE shop.item (id INT PRIMARY KEY AUTO_INCREMENT, code VARCHAR(30) UNIQUE, n INT, note LONGTEXT, KEY (n))",
		"CREATE TABLE shop.pair (id INT PRIMARY KEY, other INT, KEY (other))"))
	for i := range rows {
		must(t, s.e.Do(ctx, fmt.Sprintf("INSERT INTO shop.item (code, n, note) VALUES ('c%d', %d, REPEAT('x%d', %d))", i, i%7, i, i%5*3000+1)))
	}
}

func (s *server) pairs(t testing.TB, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		must(t, s.e.Do(ctx, fmt.Sprintf("INSERT INTO shop.pair VALUES (%d, %d), (%d, %d)", 2*i, 2*i+1, 2*i+1, 2*i)))
	}
}

// sound checks everything that the server stores.
func (s *server) sound(t testing.TB) *Report {
	t.Helper()
	r, err := Running(ctx, s.st, s.db)
	must(t, err)
	if !r.OK() {
		t.Fatalf("the check finds %q", r.Problems)
	}
	return r
}

// A backup that is taken while clients write holds what was committed before it, no
// transaction by half, and becomes a server of its own.
func TestBackupAndRestore(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs, "db")
	s.fill(t, 60)
	var stop atomic.Bool
	var written atomic.Int64
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for i := w; !stop.Load(); i += 4 {
				if err := s.e.Do(ctx, fmt.Sprintf("INSERT INTO shop.pair VALUES (%d, %d), (%d, %d)", 2*i, 2*i+1, 2*i+1, 2*i)); err != nil {
					t.Error(err)
					return
				}
				written.Add(1)
			}
		})
	}
	for written.Load() < 50 {
		time.Sleep(time.Millisecond)
	}
	before := written.Load()
	m, err := Take(ctx, s.st, fs, "monday", "8.0.40-stack")
	must(t, err)
	stop.Store(true)
	wait.Wait()
	if m.Server != s.st.Server || !strings.HasPrefix(m.Executed, s.st.Server+":1-") || m.Version != "8.0.40-stack" {
		t.Errorf("the manifest says %+v", m)
	}
	s.stop(t)
	if r, err := Backup(ctx, store.Options{Dir: "monday", FS: fs}); err != nil || !r.OK() {
		t.Fatalf("check of the backup: %+v, %v", r, err)
	}

	uuid, again, err := Restore(ctx, fs, "monday", "db2", store.Options{Version: "8.0.40-stack"}, nil)
	must(t, err)
	if uuid == m.Server || again.Executed != m.Executed {
		t.Errorf("restored as server %s of %s, executed %s of %s", uuid, m.Server, again.Executed, m.Executed)
	}
	r := start(t, fs, "db2")
	defer r.stop(t)
	if r.st.Server != uuid || r.st.ExecutedWith(r.db.Executed().String()) != m.Executed {
		t.Errorf("the restored server is %s and has executed %s", r.st.Server, r.st.ExecutedWith(r.db.Executed().String()))
	}
	report := r.sound(t)
	if rows := int64(report.Rows); rows < 60+2*before {
		t.Errorf("%d rows are restored, %d were committed before the backup", rows, 60+2*before)
	}
	if (report.Rows-60)%2 != 0 {
		t.Error("half a transaction is restored")
	}
	// It goes on: AUTO_INCREMENT and its own GTIDs.
	must(t, r.e.Do(ctx, "INSERT INTO shop.item (code) VALUES ('new')", "DELETE FROM shop.item WHERE id = 61"))
	if got, want := r.st.ExecutedWith(r.db.Executed().String()), m.Executed+","+uuid+":1-2"; got != want {
		t.Errorf("executed %s, want %s", got, want)
	}
}

// A backup of a restored server keeps what both servers executed.
func TestHistoryIsKept(t *testing.T) {
	fs := vfs.NewMem()
	want := ""
	dir := "db0"
	for i := range 3 {
		s := start(t, fs, dir)
		if i == 0 {
			s.fill(t, 1)
		}
		s.pairs(t, 10*i, 2)
		own := s.db.Executed().String()
		m, err := Take(ctx, s.st, fs, fmt.Sprint("backup", i), "8")
		must(t, err)
		s.stop(t)
		if i > 0 {
			want += ","
		}
		if want += own; m.Executed != want {
			t.Fatalf("backup %d has executed %s, want %s", i, m.Executed, want)
		}
		dir = fmt.Sprint("db", i+1)
		_, _, err = Restore(ctx, fs, fmt.Sprint("backup", i), dir, store.Options{Version: "8"}, nil)
		must(t, err)
	}
}

// What cannot be backed up or restored is refused before anything is changed.
func TestRefused(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs, "db")
	s.fill(t, 3)
	must(t, fs.MkdirAll("full", 0o700))
	put(t, fs, "full/other", "mine")
	for dir, want := range map[string]string{
		"full": "is not empty", "db": "cannot be in the data directory", "db/sub": "cannot be in the data directory",
		"no/such/parent": "the directory above it",
	} {
		if _, err := Take(ctx, s.st, fs, dir, "8"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a backup to %s gives %v", dir, err)
		}
	}
	if got := content(t, fs, "full/other"); got != "mine" {
		t.Errorf("a file of somebody else is now %q", got)
	}
	_, err := Take(ctx, s.st, fs, "good", "8")
	must(t, err)
	for dir, want := range map[string]string{"full": "is not empty (other)", "db": "is in use", "good": "inside the data directory"} {
		if _, _, err := Restore(ctx, fs, "good", dir, store.Options{Version: "8"}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a restore to %s gives %v", dir, err)
		}
	}
	s.stop(t)
	if _, _, err := Restore(ctx, fs, "good", "db", store.Options{Version: "8"}, nil); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a restore over a database gives %v", err)
	}
	if _, _, err := Restore(ctx, fs, "full", "new", store.Options{Version: "8"}, nil); err == nil || !strings.Contains(err.Error(), "no finished backup: it has no BACKUP.json") {
		t.Errorf("a restore from no backup gives %v", err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	s = start(t, fs, "db")
	defer s.stop(t)
	if _, err := Take(stopped, s.st, fs, "half", "8"); !errors.Is(err, context.Canceled) {
		t.Errorf("a backup that is stopped gives %v", err)
	}
	if _, err := fs.Stat("half"); err == nil {
		t.Error("a backup that was stopped leaves files")
	}
}

// Each file of a backup, damaged in any way, is named, and what a restore has copied of it
// is opened by nobody.
func TestDamagedBackup(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs, "db")
	s.fill(t, 30)
	m, err := Take(ctx, s.st, fs, "good", "8")
	must(t, err)
	s.stop(t)
	round := 0
	for _, name := range append(m.Files, File{Name: manifestFile}) {
		for how, damage := range map[string]func(string) string{
			"flipped": func(b string) string { return flip(b, len(b)/2) },
			"cut":     func(b string) string { return b[:len(b)/2] },
			"grown":   func(b string) string { return b + "{" },
			"missing": nil,
		} {
			if how == "grown" && name.Name == manifestFile || how != "missing" && name.Bytes < 2 && name.Name != manifestFile {
				continue // what stands behind the object is not looked at
			}
			round++
			path := filepath.Join("good", filepath.FromSlash(name.Name))
			was := content(t, fs, path)
			if damage == nil {
				must(t, fs.Remove(path))
			} else {
				put(t, fs, path, damage(was))
			}
			dir := fmt.Sprint("new", round)
			_, _, err := Restore(ctx, fs, "good", dir, store.Options{Version: "8"}, nil)
			if err == nil || !strings.Contains(err.Error(), filepath.Base(name.Name)) {
				t.Errorf("%s %s: %v", name.Name, how, err)
			}
			if _, err := Verify(ctx, fs, "good"); err == nil || !strings.Contains(err.Error(), filepath.Base(name.Name)) {
				t.Errorf("%s %s: verify says %v", name.Name, how, err)
			}
			if name.Name != manifestFile {
				if _, err := open(fs, dir); err == nil || !strings.Contains(err.Error(), "was not finished") {
					t.Errorf("%s %s: what the restore has left opens: %v", name.Name, how, err)
				}
			}
			put(t, fs, path, was)
			if round%9 == 0 {
				_, _, err = Restore(ctx, fs, "good", dir, store.Options{Version: "8"}, nil)
				must(t, err)
			}
		}
	}
	if round < 20 {
		t.Errorf("only %d kinds of damage were tried", round)
	}
}

// The machine loses power at every step of a backup and of a restore. What is left is
// whole, or nothing opens it and the step can be done again.
func TestCrash(t *testing.T) {
	r := seeded(t)
	fs := crashfs.New()
	var clones []*vfs.MemFS
	var mu sync.Mutex
	keep := 0.0 // share of the writes before which the power fails
	hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && r.Float64() < keep {
			clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * r.IntN(3), RNG: rand.New(rand.NewPCG(r.Uint64(), 3))}))
		}
		return nil
	}))
	crash := func(share float64) {
		mu.Lock()
		defer mu.Unlock()
		keep = share
	}
	s := start(t, hooked, "db")
	s.fill(t, 40)
	crash(0.5)
	_, err := Take(ctx, s.st, hooked, "good", "8")
	must(t, err)
	crash(0)
	s.stop(t)
	clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{}))
	whole := 0
	for i, clone := range clones {
		if _, err := Read(clone, "good"); err != nil {
			continue
		}
		whole++
		if _, _, err := Restore(ctx, clone, "good", "new", store.Options{Version: "8"}, nil); err != nil {
			t.Fatalf("clone %d of %d has a backup that does not restore: %v", i, len(clones), err)
		}
	}
	t.Logf("backup: %d crashes, %d with a whole backup", len(clones), whole)
	if len(clones) < 5 || whole == len(clones) {
		t.Errorf("%d crashes, %d with a whole backup: the test sees nothing", len(clones), whole)
	}
	clones = nil
	crash(0.3)
	_, _, err = Restore(ctx, hooked, "good", "new", store.Options{Version: "8"}, nil)
	must(t, err)
	crash(0)
	clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{}))
	whole = 0
	for i, clone := range clones {
		begun := false
		if names, err := clone.List("new"); err == nil {
			for _, name := range names {
				begun = begun || name != "LOCK"
			}
		}
		if !begun {
			continue // nothing has begun: there is nothing that could be taken for a database
		}
		s, err := open(clone, "new")
		if err != nil {
			if !strings.Contains(err.Error(), "was not finished") {
				t.Fatalf("clone %d of %d: %v", i, len(clones), err)
			}
			_, _, err = Restore(ctx, clone, "good", "new", store.Options{Version: "8"}, nil)
			must(t, err)
			s = start(t, clone, "new")
		} else {
			whole++
		}
		if rows := s.sound(t).Rows; rows != 40 {
			t.Fatalf("clone %d of %d: %d rows", i, len(clones), rows)
		}
		s.stop(t)
	}
	t.Logf("restore: %d crashes, %d after its end", len(clones), whole)
	if whole == 0 || whole == len(clones) {
		t.Error("the test sees nothing")
	}
}

func put(t testing.TB, fs vfs.FS, path, text string) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write([]byte(text))
	must(t, errors.Join(err, f.Sync(), f.Close()))
}

func content(t testing.TB, fs vfs.FS, path string) string {
	t.Helper()
	f, err := fs.Open(path)
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	return string(b)
}

// flip changes one bit.
func flip(b string, at int) string {
	out := []byte(b)
	out[at] ^= 1
	return string(out)
}
