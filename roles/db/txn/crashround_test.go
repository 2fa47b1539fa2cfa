package txn

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/store/crashfs"
)

var roundsFlag = flag.Int("rounds", 0, "rounds of the crash tests; 0: 50 in short mode, else 2000")

func rounds() int {
	switch {
	case *roundsFlag > 0:
		return *roundsFlag
	case testing.Short():
		return 50
	}
	return 2000
}

// The power fails in the middle of an operation of the file system, again and again, with
// writers and readers at work or in the middle of the recovery from the crash before. What
// was not synced is lost, in part or whole. After each crash everything is there that a
// commit, a reader or a reader of the log was told of, nothing is half there, and the log
// and the table say the same.
func TestCrashRounds(t *testing.T) {
	const chain = 8 // crashes of one data directory
	r := seeded(t)
	recoveries := 0
	var fs *crashfs.Mem
	var l *ledger
	for round := range rounds() {
		if round%chain == 0 {
			fs, l = newLedgerFS(t), &ledger{}
		}
		unsynced := []int{0, 0, 30, 70, 100}[r.IntN(5)]
		at := 1 + r.Int64N(600)
		if round%4 == 3 {
			at = 1 + r.Int64N(30) // a recovery has some 40 operations
		}
		clone, was, recovering := crashRound(t, fs, l, at, vfs.CrashCloneCfg{
			UnsyncedDataPercent: unsynced, RNG: rand.New(rand.NewPCG(r.Uint64(), 3)),
		})
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
		if recovering {
			recoveries++
		}
		func() {
			defer func() {
				if t.Failed() {
					t.Logf("round %d, %d %% of what was not synced kept", round, unsynced)
				}
			}()
			fs = crashfs.Of(clone)
			e, stop, err := openLedger(fs.CrashClone(vfs.CrashCloneCfg{}), nil)
			must(t, err)
			was.check(t, e)
			must(t, stop())
		}()
	}
	t.Logf("%d crashes, %d of them in a recovery", rounds(), recoveries)
	if rounds() >= 20 && (recoveries == 0 || recoveries == rounds()) {
		t.Error("the crashes are not spread over recovery and work")
	}
}

// newLedgerFS is a file system with the empty table.
func newLedgerFS(t *testing.T) *crashfs.Mem {
	fs := crashfs.New()
	e, stop, err := openLedger(fs, nil)
	must(t, err)
	createTable(t, e, people(t))
	must(t, stop())
	return fs
}

// crashRound opens a server, lets it work, and returns the file system as a crash in the
// operation with number at leaves it, and what had been told by then.
func crashRound(t *testing.T, fs *crashfs.Mem, l *ledger, at int64, how vfs.CrashCloneCfg) (clone *vfs.MemFS, was told, recovering bool) {
	var operations atomic.Int64
	var opened atomic.Bool
	until, crash := context.WithCancel(context.Background())
	defer crash()
	hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && operations.Add(1) == at {
			was, recovering = l.told(), !opened.Load()
			clone = fs.CrashClone(how)
			crash()
		}
		return nil
	}))
	e, stop, err := openLedger(hooked, nil)
	must(t, err)
	opened.Store(true)
	l.run(until, e, func(err error) { t.Error(err) }).Wait()
	must(t, stop())
	// What happened after the crash was told by nobody.
	for w := range was.counters {
		l.acked[w].Store(was.counters[w])
		l.seen[w].Store(was.counters[w])
	}
	l.log.Store(was.log)
	return clone, was, recovering
}

// fault is an error of the disk that hits one kind of operation on one kind of file.
type fault struct {
	what  string // class of file and operation
	skip  int64  // operations that succeed before
	times int64  // operations that fail
}

// fileClass names what a file is for.
func fileClass(path string) string {
	switch name := path[strings.LastIndexByte(path, '/')+1:]; {
	case strings.HasPrefix(name, "MANIFEST"), strings.HasPrefix(name, "marker."):
		return "manifest" // also of what large transactions keep outside memory
	case strings.Contains(path, "/tmp"):
		return "tmp"
	case strings.Contains(path, "/binlog"):
		return "binlog"
	case strings.HasSuffix(name, ".log"):
		return "WAL"
	case strings.HasSuffix(name, ".sst"):
		return "table"
	}
	return "other"
}

var operationClass = map[errorfs.OpKind]string{
	errorfs.OpCreate: "create", errorfs.OpReuseForWrite: "create", errorfs.OpMkdirAll: "create",
	errorfs.OpLink: "rename", errorfs.OpRename: "rename",
	errorfs.OpRemove: "remove", errorfs.OpRemoveAll: "remove",
	errorfs.OpFileWrite: "write", errorfs.OpFileWriteAt: "write",
	errorfs.OpFileSync: "sync", errorfs.OpFileSyncData: "sync", errorfs.OpFileSyncTo: "sync",
	errorfs.OpFileRead: "read", errorfs.OpFileReadAt: "read",
	errorfs.OpOpen: "open",
}

// Operations of the disk fail while clients work. Where that is a sync of what commits rely
// on, the process ends; else a statement, a commit or work in the background fails, and is
// done again when the disk is well. Nothing that was told is lost either way.
func TestDiskErrorRounds(t *testing.T) {
	r := seeded(t)
	var faults []string
	for _, file := range []string{"WAL", "manifest", "table", "binlog", "tmp"} {
		for _, operation := range []string{"create", "write", "sync", "rename", "remove", "read", "open"} {
			faults = append(faults, file+" "+operation)
		}
	}
	outcomes := map[string]int{}
	n := rounds() / 5 // a server that has ended cannot be taken down in a test, and keeps its memory
	for round := range n {
		f := &fault{what: faults[r.IntN(len(faults))], skip: r.Int64N(60), times: []int64{1, 1, 3, 1000}[r.IntN(4)]}
		how := vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * r.IntN(3), RNG: rand.New(rand.NewPCG(r.Uint64(), 3))}
		outcome := errorRound(t, f, how)
		outcomes[f.what+": "+outcome]++
		if t.Failed() {
			t.Fatalf("round %d: %+v: %s", round, *f, outcome)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%4d %s", outcomes[k], k)
	}
}

// mayEnd says whether the process may end by a fault, and mustEnd whether it has to.
func (f *fault) mayEnd() bool {
	return strings.HasPrefix(f.what, "WAL") || strings.HasPrefix(f.what, "manifest") || f.what == "binlog sync"
}

func (f *fault) mustEnd() bool {
	return f.what == "WAL sync" || f.what == "manifest sync" || f.what == "binlog sync"
}

// errorRound lets clients work while a fault hits, then takes the power, and compares.
func errorRound(t *testing.T, f *fault, how vfs.CrashCloneCfg) (outcome string) {
	fs, l := newLedgerFS(t), &ledger{}
	var armed atomic.Bool
	var matched, hits atomic.Int64
	hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !armed.Load() || fileClass(op.Path)+" "+operationClass[op.Kind] != f.what {
			return nil
		}
		if n := matched.Add(1); n <= f.skip || n > f.skip+f.times {
			return nil
		}
		hits.Add(1)
		return fmt.Errorf("%s of %s: %w", operationClass[op.Kind], op.Path, errorfs.ErrInjected)
	}))
	var ended atomic.Pointer[string]
	until, end := context.WithCancel(context.Background())
	defer end()
	var once sync.Once
	var clone *vfs.MemFS
	var was told
	e, stop, err := openLedger(hooked, func(reason string) {
		once.Do(func() {
			was, clone = l.told(), fs.CrashClone(how)
			ended.Store(&reason)
			end()
		})
		select {} // the process is no more
	})
	must(t, err)
	armed.Store(true)
	var failures atomic.Int64
	working := l.run(until, e, func(err error) {
		failures.Add(1)
		time.Sleep(time.Millisecond)
	})
	progress := func() (sum int64) {
		for _, n := range l.told().counters {
			sum += n
		}
		return sum
	}
	// The fault hits or does not come; then the disk is well again and work has to go on.
	deadline := time.Now().Add(20 * time.Second)
	for start := progress(); until.Err() == nil && time.Now().Before(deadline) && hits.Load() < min(f.times, 20) && progress() < start+150; {
		time.Sleep(time.Millisecond)
	}
	armed.Store(false)
	for start := progress(); until.Err() == nil && progress() < start+ledgerWriters*4; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("work does not go on after %d errors of the disk", hits.Load())
			break
		}
	}
	if f.mustEnd() && hits.Load() > 0 {
		// What failed is perhaps in the background, and others work faster.
		for ended.Load() == nil && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
	if ended.Load() == nil {
		was, clone = l.told(), fs.CrashClone(how)
	}
	end()
	if reason := ended.Load(); reason != nil {
		outcome = "the process ended"
		if !f.mayEnd() {
			t.Errorf("the process ended: %s", *reason)
		}
	} else {
		working.Wait()
		must(t, stop())
		outcome = "nothing failed"
		if hits.Load() > 0 {
			outcome = "work in the background failed"
		}
		if failures.Load() > 0 {
			outcome = "statements failed"
		}
		if f.mustEnd() && hits.Load() > 0 {
			t.Error("a sync failed and the process went on")
		}
	}
	e, stop, err = openLedger(clone, nil)
	must(t, err)
	was.check(t, e)
	must(t, stop())
	return outcome
}
