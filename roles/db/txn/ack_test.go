package txn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
)

// policy of tests: members a, b and c; a time-out that is never met unless a test wants it.
func ackPolicy(need int, strict bool, timeout time.Duration) AckPolicy {
	return AckPolicy{Need: need, Members: []string{"a", "b", "c"}, Timeout: timeout, Strict: strict}
}

// insertLater commits a row and answers with the outcome.
func insertLater(e *Engine, table *store.Table, id int64, with ...func(*Txn)) chan error {
	done := make(chan error, 1)
	go func() {
		tx := e.Begin(RepeatableRead)
		defer tx.Rollback()
		for _, f := range with {
			f(tx)
		}
		if err := tx.InsertRow(ctx, table, person(id, fmt.Sprint("m", id), 1, "")); err != nil {
			done <- err
			return
		}
		done <- tx.Commit(ctx)
	}()
	return done
}

func waiting(t *testing.T, done chan error) {
	t.Helper()
	select {
	case err := <-done:
		t.Fatalf("the commit was answered: %v", err)
	default:
	}
}

func ids(t *testing.T, e *Engine, table *store.Table) []string {
	t.Helper()
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	return all(t, tx, table, Scan{})
}

func logged(t *testing.T, e *Engine, seq uint64) {
	t.Helper()
	must(t, waitFor(func() bool { return e.AckStatus().Logged >= seq }))
}

// A commit is readable in the log at once, and visible, unlocked and answered when enough
// members have it; acknowledgements of others, of lower epochs and of less do not count.
func TestCommitsWaitForAcknowledgements(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t)) // transaction 1
	if _, err := e.AcceptEpoch(3); err != nil {
		t.Fatal(err)
	}
	must(t, e.OpenForWrites(3))
	must(t, e.SetAckPolicy(ackPolicy(2, true, time.Hour)))
	before := e.Binlog().Position()
	first := insertLater(e, table, 1)
	logged(t, e, 2)
	if e.Binlog().Position() == before {
		t.Error("readers of the log do not see what members are to acknowledge")
	}
	second := insertLater(e, table, 2) // the next group is applied meanwhile
	logged(t, e, 3)
	must(t, e.Acknowledge("a", 3, 3))
	must(t, e.Acknowledge("a", 3, 3)) // one member is one member
	must(t, e.Acknowledge("b", 3, 1))
	if err := e.Acknowledge("b", 2, 3); !errors.Is(err, ErrStaleEpoch) {
		t.Errorf("an acknowledgement of a lower epoch: %v", err)
	}
	if err := e.Acknowledge("z", 3, 3); err == nil {
		t.Error("somebody who is no member has acknowledged")
	}
	if err := e.Acknowledge("b", 3, 9); err == nil {
		t.Error("a member has acknowledged what was never made")
	}
	e.MemberGone("a") // what it has said stays true
	expect(t, ids(t, e, table))
	waiting(t, first)
	locked := e.Begin(RepeatableRead)
	locked.SetLockWaitTimeout(time.Millisecond)
	if _, err := locked.Get(ctx, table, []any{int64(1)}, nil, LockShared); !errors.Is(err, ErrLockWaitTimeout) {
		t.Errorf("the row of a commit that waits is not locked: %v", err)
	}
	locked.Rollback()
	must(t, e.Acknowledge("b", 3, 2))
	must(t, <-first)
	expect(t, ids(t, e, table), "[1 m1 1 ]")
	waiting(t, second)
	must(t, e.Acknowledge("c", 3, 3))
	must(t, <-second)
	if n := e.Executed().Seq; n != 3 {
		t.Errorf("executed %d", n)
	}
}

// The executed set and the position in the log that are told together belong together, also while commits wait.
func TestExecutedAt(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Hour)))
	set, at := e.ExecutedAt()
	if end := e.Binlog().Position(); at != end {
		t.Fatalf("at %s, and the log ends at %s", at, end)
	}
	outcome := insertLater(e, table, 1)
	logged(t, e, 2)
	if s, p := e.ExecutedAt(); s != set || p != at {
		t.Errorf("while a commit waits: %s at %s, before it %s at %s", s, p, set, at)
	}
	must(t, e.Acknowledge("a", 0, 2))
	must(t, <-outcome)
	if s, p := e.ExecutedAt(); s == set || p == at || p != e.Binlog().Position() {
		t.Errorf("after it: %s at %s", s, p)
	}
}

// Strict: after the time-out new commits are refused with the reason, reads and rollbacks go
// on, and all comes back with the acknowledgements.
func TestStrictRefusesNewCommits(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Millisecond)))
	first := insertLater(e, table, 1)
	must(t, waitFor(func() bool { return e.AckStatus().Stalled }))
	for range 3 * publishAhead { // more than can wait
		counted := e.Begin(RepeatableRead)
		_, err := counted.NextAutoIncrement(table) // is logged by the rollback
		must(t, err)
		counted.Rollback()
		err = <-insertLater(e, table, 2)
		var why *NotAcknowledgedError
		if !errors.As(err, &why) || !errors.Is(err, ErrNotAcknowledged) || why.Need != 1 {
			t.Fatalf("a commit while replicas are silent: %v", err)
		}
	}
	waiting(t, first)
	expect(t, ids(t, e, table))
	if n := e.AckStatus().Logged; n != 2 {
		t.Errorf("refused commits are in the log: it holds %d", n)
	}
	must(t, e.Acknowledge("b", 0, 2))
	must(t, <-first)
	if s := e.AckStatus(); s.Stalled || !s.Since.IsZero() || s.Unacked != "" {
		t.Errorf("status %+v", s)
	}
	second := insertLater(e, table, 2)
	logged(t, e, 3)
	must(t, e.Acknowledge("b", 0, 3))
	must(t, <-second)
}

// More groups than may wait hold the leader back, until one is published; a time-out ends
// that too.
func TestUnpublishedGroupsAreBounded(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Hour)))
	var outcomes []chan error
	for id := int64(1); id <= publishAhead+20; id++ {
		outcomes = append(outcomes, insertLater(e, table, id))
		if id <= publishAhead+1 { // one is out of the channel, and a group each
			logged(t, e, uint64(id)+1)
		}
	}
	time.Sleep(5 * time.Millisecond) // what is wrong shows with any time
	if n := e.AckStatus().Logged; n != publishAhead+2 {
		t.Fatalf("%d transactions are in the log, %d may be", n, publishAhead+2)
	}
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Millisecond)))
	must(t, waitFor(func() bool { return e.AckStatus().Stalled }))
	for _, c := range outcomes[publishAhead+1:] {
		if err := <-c; !errors.Is(err, ErrNotAcknowledged) {
			t.Fatalf("behind a full stage: %v", err)
		}
	}
	must(t, e.Acknowledge("a", 0, publishAhead+2))
	for _, c := range outcomes[:publishAhead+1] {
		must(t, <-c)
	}
}

// Degrade: after the time-out commits go on; from which one is on disk before the first is
// answered, and forgotten when members have it.
func TestDegradeRecordsWhereItBegan(t *testing.T) {
	fs := crashfs.New()
	e, stop := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, false, time.Millisecond)))
	must(t, <-insertLater(e, table, 1))
	want := e.Executed().Server + ":2"
	after, closeAfter := openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if s := after.AckStatus(); s.Unacked != want {
		t.Errorf("after a crash the record is %q, want %q", s.Unacked, want)
	}
	closeAfter()
	must(t, <-insertLater(e, table, 2))
	if s := e.AckStatus(); !s.Degraded || s.Unacked != want || s.Since.IsZero() {
		t.Errorf("status %+v", s)
	}
	must(t, e.Acknowledge("a", 0, 2)) // not there yet
	if s := e.AckStatus(); !s.Degraded {
		t.Error("a member that lacks a commit has caught up")
	}
	must(t, e.Acknowledge("a", 0, 3))
	if s := e.AckStatus(); s.Degraded || s.Unacked != "" || !s.Since.IsZero() {
		t.Errorf("status %+v", s)
	}
	must(t, e.SetAckPolicy(ackPolicy(1, false, time.Hour)))
	third := insertLater(e, table, 3)
	logged(t, e, 4)
	waiting(t, third)
	must(t, e.Acknowledge("a", 0, 4))
	must(t, <-third)
	stop()
	after, _ = openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if s := after.AckStatus(); s.Unacked != "" {
		t.Errorf("the record %q is still there", s.Unacked)
	}
}

// A transaction that a higher epoch cuts, between two of its writes or before its commit, is told apart from one that
// comes to a server that is read-only: its client is to repeat it elsewhere. Nothing of it stays.
func TestHigherEpochCutsTransactions(t *testing.T) {
	e, _ := openMem(t, crashfs.New(), Options{})
	table := createTable(t, e, people(t))
	before := e.ExecutedSet()
	var begun [2]*Txn
	for i := range begun {
		begun[i] = e.Begin(RepeatableRead)
		defer begun[i].Rollback()
		must(t, begun[i].InsertRow(ctx, table, person(int64(i), fmt.Sprint("m", i), 1, "")))
	}
	_, err := e.AcceptEpoch(7)
	must(t, err)
	if err := begun[0].InsertRow(ctx, table, person(5, "m5", 1, "")); !errors.Is(err, ErrRoleLost) {
		t.Errorf("its next write: %v", err)
	}
	if err := begun[1].Commit(ctx); !errors.Is(err, ErrRoleLost) {
		t.Errorf("its commit: %v", err)
	}
	expect(t, ids(t, e, table))
	if got := e.ExecutedSet(); got != before {
		t.Errorf("executed %s, before %s", got, before)
	}
}

// A higher epoch makes the server read-only at once. Commits that wait are neither answered
// as failed nor seen by anybody, and their rows stay locked, until the server is opened
// again: then they are part of the data.
func TestHigherEpochFences(t *testing.T) {
	fs := crashfs.New()
	e, stop := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Hour)))
	outcome := insertLater(e, table, 1)
	logged(t, e, 2)
	if err := e.Acknowledge("a", 7, 2); !errors.Is(err, ErrFenced) {
		t.Fatalf("an acknowledgement of a higher epoch: %v", err)
	}
	if err := <-outcome; !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("the commit was answered %v", err)
	}
	if e.Epoch() != 7 || !e.ReadOnly() {
		t.Fatalf("epoch %d, read-only %v", e.Epoch(), e.ReadOnly())
	}
	if err := <-insertLater(e, table, 2); !errors.Is(err, ErrReadOnly) || errors.Is(err, ErrRoleLost) {
		t.Errorf("a write after the fence: %v", err)
	}
	counted := e.Begin(RepeatableRead) // what has nothing to be seen shows nothing else
	_, err := counted.NextAutoIncrement(table)
	must(t, err)
	counted.Rollback()
	expect(t, ids(t, e, table))
	locking := func() error {
		tx := e.Begin(RepeatableRead)
		defer tx.Rollback()
		tx.SetLockWaitTimeout(time.Millisecond)
		_, err := tx.Get(ctx, table, []any{int64(1)}, nil, LockShared)
		return err
	}
	if err := locking(); !errors.Is(err, ErrLockWaitTimeout) {
		t.Errorf("the row of a dropped commit: %v", err)
	}
	if _, err := e.AcceptEpoch(6); !errors.Is(err, ErrStaleEpoch) {
		t.Errorf("a lower epoch: %v", err)
	}
	if err := e.OpenForWrites(6); !errors.Is(err, ErrStaleEpoch) {
		t.Errorf("open in a lower epoch: %v", err)
	}
	executed, err := e.AcceptEpoch(7) // twice is once, and tells what is in the log
	must(t, err)
	if want := e.Executed().Server + ":1-2"; executed != want {
		t.Errorf("executed %q, want %q", executed, want)
	}
	after, closeAfter := openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if after.Epoch() != 7 {
		t.Errorf("after a crash the epoch is %d", after.Epoch())
	}
	closeAfter()
	must(t, e.OpenForWrites(7))
	expect(t, ids(t, e, table), "[1 m1 1 ]")
	must(t, locking())
	second := insertLater(e, table, 2)
	logged(t, e, 3)
	must(t, e.Acknowledge("a", 7, 3))
	must(t, <-second)
	stop()
}

// What a source of a lower epoch sends is not applied any more.
func TestStaleSourceIsRefused(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	createTable(t, e, people(t))
	if _, err := e.AcceptEpoch(2); err != nil {
		t.Fatal(err)
	}
	apply := func(epoch uint64, number int64) error {
		tx := e.Begin(RepeatableRead)
		defer tx.Rollback()
		tx.Apply(binlog.Origin{ID: event.ID{UUID: [16]byte{9}, Number: number}, Server: 9, Committed: 1})
		tx.ApplyEpoch(epoch)
		tx.LogStatement(event.Query{})
		must(t, tx.InsertRow(ctx, e.Catalog().Table("site", "people"), person(number, fmt.Sprint(number), 1, "")))
		return tx.Commit(ctx)
	}
	must(t, apply(2, 1))
	must(t, apply(0, 2))
	if err := apply(1, 3); !errors.Is(err, ErrStaleEpoch) {
		t.Errorf("applied in a lower epoch: %v", err)
	}
}

// A build whose next view waits behind commits when a higher epoch comes leaves nothing behind: a view
// that stays would keep what is dropped on the disk.
func TestFenceLeavesNoViewOfABuild(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Hour)))
	outcome := insertLater(e, table, 1)
	logged(t, e, 2)
	before := e.queue.groups.Load()
	cut := make(chan error, 1)
	go func() {
		_, _, err := e.cut(newCapture(captureLimit, table.Primary.Desc.ID))
		cut <- err
	}()
	must(t, waitFor(func() bool { return e.queue.groups.Load() > before }))
	_, err := e.AcceptEpoch(7)
	must(t, err)
	for _, err := range []error{<-outcome, <-cut} {
		if !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatalf("what waited was answered %v", err)
		}
	}
	must(t, e.OpenForWrites(7))
	open := func() int {
		e.viewsMu.Lock()
		defer e.viewsMu.Unlock()
		return len(e.views)
	}
	if waitFor(func() bool { return open() == 1 }) != nil {
		t.Errorf("%d views are open, one is current", open())
	}
}

// A client that goes leaves its commit, which ends without it.
func TestClientLeavesItsCommit(t *testing.T) {
	e, stop := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, true, time.Hour)))
	client, leave := context.WithCancel(ctx)
	outcome := insertLater(e, table, 1, func(tx *Txn) { tx.Abandon(client) })
	logged(t, e, 2)
	leave()
	if err := <-outcome; !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("the client that left was told %v", err)
	}
	if n := e.Stats().Active; n != 1 {
		t.Errorf("%d transactions are open", n)
	}
	must(t, e.Acknowledge("a", 0, 2))
	must(t, waitFor(func() bool { return e.Stats().Active == 0 }))
	expect(t, ids(t, e, table), "[1 m1 1 ]")

	// One that stops lets nobody wait.
	stays := insertLater(e, table, 2)
	logged(t, e, 3)
	leaves := insertLater(e, table, 3, func(tx *Txn) { tx.Abandon(client) })
	if err := <-leaves; !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("the client that left was told %v", err)
	}
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	if err := <-stays; !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("at the end of the server the commit was answered %v", err)
	}
	<-stopped
}

// Members acknowledge, fall back, go and return at random, epochs rise, time-outs pass. What
// is answered or seen under strict is on enough members, in the epoch it was answered in; in
// copies of the disk that lose what was not synced the epoch is the one promised and, under
// degrade, the record of what is unacknowledged is there.
func TestAcknowledgementsModel(t *testing.T) {
	r := seeded(t)
	n := 30
	if testing.Short() {
		n = 6
	}
	for round := range n {
		strict := round%3 > 0
		need := 1 + r.IntN(2)
		ackRound(t, rand.New(rand.NewPCG(r.Uint64(), 1)), need, strict)
		if t.Failed() {
			t.Fatalf("round %d: need %d, strict %v", round, need, strict)
		}
	}
}

func ackRound(t *testing.T, r *rand.Rand, need int, strict bool) {
	fs := crashfs.New()
	e, stop := openMem(t, fs, Options{})
	defer stop()
	table := createTable(t, e, people(t))
	policy := ackPolicy(need, strict, time.Duration(1+r.IntN(4))*time.Millisecond)
	must(t, e.SetAckPolicy(policy))

	// What is on each member's disk, raised before it is acknowledged. A fall in place of a
	// member's disk counts from then on: a commit that was told before stays told.
	var disks [3]atomic.Uint64
	enough := func() uint64 {
		var has []uint64
		for i := range disks {
			has = append(has, disks[i].Load())
		}
		slices.Sort(has)
		return has[len(has)-need]
	}
	var told, unknown, refused atomic.Int64
	var most atomic.Uint64 // told under strict
	var end atomic.Bool
	var wait sync.WaitGroup
	var next atomic.Int64
	for range 6 {
		wait.Go(func() {
			for !end.Load() {
				tx := e.Begin(RepeatableRead)
				id := next.Add(1)
				err := tx.InsertRow(ctx, table, person(id, fmt.Sprint(id), 1, ""))
				if err == nil {
					err = tx.Commit(ctx)
				}
				pos := tx.Position().Seq
				tx.Rollback()
				switch {
				case err == nil:
					told.Add(1)
					if has := enough(); strict && pos > has {
						t.Errorf("commit %d was answered, %d members have %d", pos, need, has)
						return
					}
					for now := most.Load(); pos > now && !most.CompareAndSwap(now, pos); now = most.Load() {
					}
				case errors.Is(err, ErrOutcomeUnknown):
					unknown.Add(1)
				case errors.Is(err, ErrNotAcknowledged), errors.Is(err, ErrReadOnly):
					refused.Add(1)
					time.Sleep(100 * time.Microsecond)
				default:
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
	}
	wait.Go(func() { // a reader
		for !end.Load() {
			if seen, has := e.Executed().Seq, enough(); strict && seen > max(has, 1) {
				t.Errorf("transaction %d is seen, %d members have %d", seen, need, has)
				return
			}
		}
	})
	epoch := uint64(0)
	for range 400 {
		m := r.IntN(3)
		switch k := r.IntN(100); {
		case k < 70:
			to := e.AckStatus().Logged
			if had := disks[m].Load(); to > had {
				to = had + r.Uint64N(to-had+1)
			}
			if disks[m].Load() < to {
				disks[m].Store(to)
			}
			if err := e.Acknowledge(policy.Members[m], epoch, to); err != nil {
				t.Errorf("acknowledge: %v", err)
			}
		case k < 75:
			e.MemberGone(policy.Members[m])
		case k < 80:
			time.Sleep(policy.Timeout)
		case k < 83 && epoch > 0:
			if err := e.Acknowledge(policy.Members[m], epoch-1, e.AckStatus().Logged); !errors.Is(err, ErrStaleEpoch) {
				t.Errorf("a lower epoch: %v", err)
			}
		case k < 86:
			epoch++
			executed, err := e.AcceptEpoch(epoch)
			must(t, err)
			if r.IntN(2) == 0 {
				after, closeAfter := openMem(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * r.IntN(3), RNG: rand.New(rand.NewPCG(r.Uint64(), 3))}), Options{})
				if after.Epoch() != epoch || after.ExecutedSet() != executed {
					t.Errorf("promised epoch %d with %s, after a crash it is %d with %s", epoch, executed, after.Epoch(), after.ExecutedSet())
				}
				closeAfter()
			}
			// As a primary that is taken again: what is in its log is the data.
			for m := range disks {
				disks[m].Store(max(disks[m].Load(), e.AckStatus().Logged))
			}
			must(t, e.OpenForWrites(epoch))
		case k < 88:
			answered := most.Load()
			was := e.AckStatus()
			after, closeAfter := openMem(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * r.IntN(3), RNG: rand.New(rand.NewPCG(r.Uint64(), 3))}), Options{})
			if after.Executed().Seq < answered {
				t.Errorf("commit %d was answered and is not on the disk, which has %d", answered, after.Executed().Seq)
			}
			if was.Unacked != "" && after.AckStatus().Unacked == "" && e.AckStatus().Unacked == was.Unacked {
				t.Errorf("commits are unacknowledged from %s, after a crash nobody knows", was.Unacked)
			}
			if strict && (was.Unacked != "" || was.Degraded) {
				t.Errorf("strict: %+v", was)
			}
			closeAfter()
		}
	}
	end.Store(true)
	// Writers that wait are set free by the members.
	freed := make(chan struct{})
	go func() {
		wait.Wait()
		close(freed)
	}()
	for done := false; !done; {
		for m := range disks {
			to := e.AckStatus().Logged
			disks[m].Store(max(disks[m].Load(), to))
			must(t, e.Acknowledge(policy.Members[m], epoch, to))
		}
		select {
		case <-freed:
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	t.Logf("need %d, strict %v: %d told, %d unknown, %d refused, epoch %d", need, strict, told.Load(), unknown.Load(), refused.Load(), epoch)
	if told.Load() == 0 {
		t.Error("no commit was answered")
	}
}

// One that is degraded already, and stood still, asks the others before it goes on without them.
func TestFrozenDegradedPrimaryAsksFirst(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	must(t, e.SetAckPolicy(ackPolicy(1, false, time.Millisecond)))
	must(t, <-insertLater(e, table, 1))
	e.Asked()
	must(t, <-insertLater(e, table, 2))
	e.acks.mu.Lock()
	e.acks.asked = time.Now().Add(-time.Hour) // as long as it was frozen
	e.acks.mu.Unlock()
	third := insertLater(e, table, 3)
	logged(t, e, 4)
	time.Sleep(3 * askedAgain) // what is wrong shows with any time
	waiting(t, third)
	e.Asked()
	must(t, <-third)
	e.acks.mu.Lock()
	e.acks.asked = time.Now().Add(-time.Hour)
	e.acks.mu.Unlock()
	fourth := insertLater(e, table, 4)
	logged(t, e, 5)
	_, err := e.AcceptEpoch(7) // it was replaced
	must(t, err)
	if err := <-fourth; !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a commit of a primary that was replaced was answered %v", err)
	}
}

// A process that stood still for longer than the time-out may have been replaced meanwhile: it gives the replicas
// their time again before it answers without them.
func TestFrozenPrimaryWaitsAnew(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	must(t, e.SetAckPolicy(ackPolicy(1, false, time.Hour)))
	passed := make(chan bool, 1)
	go func() { passed <- e.acks.await(&group{first: 1, last: 1, synced: time.Now().Add(-2 * time.Hour)}) }()
	must(t, waitFor(func() bool {
		e.acks.mu.Lock()
		defer e.acks.mu.Unlock()
		return !e.acks.looked.IsZero()
	}))
	_, err := e.AcceptEpoch(7)
	must(t, err)
	if <-passed {
		t.Error("a commit was answered that nobody has acknowledged")
	}
	if s := e.AckStatus(); s.Unacked != "" {
		t.Errorf("unacknowledged from %s", s.Unacked)
	}
}
