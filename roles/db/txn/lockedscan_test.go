package txn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// randomRange is a part of one of the table's indexes.
func randomRange(t testing.TB, r *rand.Rand, table *store.Table) Scan {
	s := Scan{Index: table.Primary, Reverse: r.IntN(2) == 0}
	from, to := r.IntN(40), 0
	to = from + r.IntN(12)
	lo, hi := any(int64(from)), any(int64(to))
	switch r.IntN(4) {
	case 0:
		s.Index = table.Index("age")
		lo, hi = int32(from%6), int32(to%6)
	case 1:
		s.Index = table.Index("mail")
		lo, hi = fmt.Sprintf("m%02d", from), fmt.Sprintf("m%02d", to)
	}
	var err error
	s.Range, err = s.Index.Range(store.Bound{Values: []any{lo}, Inclusive: true}, store.Bound{Values: []any{hi}, Inclusive: r.IntN(2) == 0})
	must(t, err)
	if s.Index == table.Primary && r.IntN(4) == 0 {
		s.Range, err = s.Index.Range(store.Bound{Values: []any{lo}, Inclusive: true}, store.Bound{Values: []any{lo}, Inclusive: true})
		must(t, err)
		s.Point, s.Reverse = true, false
	}
	return s
}

// read returns the rows of a locking read.
func read(tx *Txn, table *store.Table, s Scan) ([]string, []sql.Row, error) {
	rows, err := tx.Scan(ctx, table, s)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var text []string
	var list []sql.Row
	for rows.Next() {
		list = append(list, rows.Row())
		text = append(text, shorten(rows.Row()))
	}
	return text, list, rows.Err()
}

func shorten(row sql.Row) string {
	note, _ := row[3].(string)
	return fmt.Sprint(row[0], row[1], row[2], len(note))
}

// change writes a random row of the small key space.
func change(tx *Txn, r *rand.Rand, table *store.Table) error {
	id := int64(r.IntN(40))
	row := person(id, fmt.Sprintf("m%02d", r.IntN(40)), int32(r.IntN(6)), strings.Repeat("n", r.IntN(3)*5000))
	if r.IntN(4) == 0 {
		row[1] = nil
	}
	old, err := tx.Get(ctx, table, []any{id}, nil, LockExclusive)
	switch {
	case err != nil:
	case old == nil:
		err = tx.InsertRow(ctx, table, row)
	case r.IntN(3) == 0:
		err = tx.DeleteRow(ctx, table, old)
	default:
		row[0] = int64(r.IntN(40))
		err = tx.UpdateRow(ctx, table, old, row)
	}
	var dup *DuplicateKeyError
	if errors.As(err, &dup) {
		return nil
	}
	return err
}

// Readers that lock find the same rows again, whatever others insert, move and delete
// beside them; under READ COMMITTED the rows that were returned stay as they are.
func TestLockedRangesStay(t *testing.T) {
	seed := seeded(t).Uint64()
	rounds := 250
	if testing.Short() {
		rounds = 60
	}
	for _, isolation := range []Isolation{RepeatableRead, ReadCommitted} {
		e, _ := openMem(t, vfs.NewMem(), Options{})
		table := createTable(t, e, people(t))
		var wait sync.WaitGroup
		for w := range 6 {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			wait.Go(func() {
				for range rounds {
					if err := lockedRound(t, e, r, table, isolation, w < 3); err != nil && !errors.Is(err, ErrDeadlock) {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		checkClean(t, e)
		if s := e.Stats(); s.LockWaiting != 0 || s.Active != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func lockedRound(t *testing.T, e *Engine, r *rand.Rand, table *store.Table, isolation Isolation, reads bool) error {
	tx := e.Begin(isolation)
	defer tx.Rollback()
	tx.UseNewest()
	if reads {
		s := randomRange(t, r, table)
		s.Mode = LockShared + ReadMode(r.IntN(2))
		before, rows, err := read(tx, table, s)
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
		if isolation == ReadCommitted {
			for _, row := range rows {
				now, err := tx.Get(ctx, table, []any{row[0]}, nil, s.Mode)
				if err != nil {
					return err
				}
				if now == nil || shorten(now) != shorten(row) {
					t.Errorf("row %s became %v under its lock", shorten(row), now)
				}
			}
			return nil
		}
		after, _, err := read(tx, table, s)
		if err == nil && fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("index %s, reverse %v: %v, then %v", s.Index.Desc.Name, s.Reverse, before, after)
		}
		if err != nil {
			return err
		}
	}
	for range 1 + r.IntN(4) {
		if err := change(tx, r, table); err != nil {
			return err
		}
	}
	if r.IntN(5) == 0 {
		return nil
	}
	return tx.Commit(ctx)
}

// Skipped rows are exactly those that others hold.
func TestSkipLockedRows(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 0, 10)
	holder := e.Begin(RepeatableRead)
	defer holder.Rollback()
	for _, id := range []int64{2, 5} {
		row, err := holder.Get(ctx, table, []any{id}, nil, LockExclusive)
		must(t, err)
		if id == 5 {
			must(t, holder.DeleteRow(ctx, table, row))
		}
	}
	must(t, holder.InsertRow(ctx, table, person(100, "new", 3, "")))
	for _, ix := range []*store.Index{table.Primary, table.Index("mail"), table.Index("age")} {
		for _, reverse := range []bool{false, true} {
			tx := e.Begin(RepeatableRead)
			rows, _, err := read(tx, table, Scan{Index: ix, Mode: LockExclusive, Waiting: SkipLocked, Reverse: reverse})
			must(t, err)
			if len(rows) != 8 || strings.Contains(fmt.Sprint(rows), "new") {
				t.Errorf("index %s: %v", ix.Desc.Name, rows)
			}
			if _, _, err := read(tx, table, Scan{Index: ix, Mode: LockShared, Waiting: FailLocked, Reverse: reverse}); !errors.Is(err, ErrLocked) {
				t.Errorf("index %s: %v", ix.Desc.Name, err)
			}
			tx.Rollback()
		}
	}
}

// A row that is not accepted is not locked, one by one; nor waited for.
func TestAcceptDecidesWhatIsLocked(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 0, 4)
	holder, tx := e.Begin(ReadCommitted), e.Begin(ReadCommitted)
	defer holder.Rollback()
	defer tx.Rollback()
	_, err := holder.Get(ctx, table, []any{int64(1)}, nil, LockExclusive)
	must(t, err)
	rows, _, err := read(tx, table, Scan{Mode: LockExclusive, Accept: func(row sql.Row) (bool, error) { return row[0].(int64) == 2, nil }})
	must(t, err)
	if len(rows) != 1 {
		t.Fatal(rows)
	}
	holder.SetLockWaitTimeout(10 * time.Millisecond)
	for id, want := range []error{nil, nil, ErrLockWaitTimeout, nil} {
		if _, err := holder.Get(ctx, table, []any{int64(id)}, nil, LockExclusive); !errors.Is(err, want) {
			t.Errorf("row %d: %v", id, err)
		}
	}
}

// A transaction whose row was changed under it by another, since it did not lock it when
// it read it, is told so.
func TestChangeOfAStaleRow(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 0, 2)
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	old, err := tx.Get(ctx, table, []any{int64(1)}, nil, Consistent)
	must(t, err)
	write(t, e, func(other *Txn) error {
		now := append(sql.Row(nil), old...)
		now[2] = int32(77)
		return other.UpdateRow(ctx, table, old, now)
	})
	next := append(sql.Row(nil), old...)
	next[2] = int32(5)
	if err := tx.UpdateRow(ctx, table, old, next); !errors.Is(err, ErrRowChanged) {
		t.Fatalf("got %v", err)
	}
	must(t, tx.DeleteRow(ctx, table, old)) // deletes what is there now
	must(t, tx.Commit(ctx))
	checkClean(t, e)
}

// The victim of a deadlock can do nothing any more, and its commit writes nothing.
func TestDeadlockVictimIsLost(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 0, 3)
	get := func(tx *Txn, id int64) error {
		_, err := tx.Get(ctx, table, []any{id}, nil, LockExclusive)
		return err
	}
	a, b := e.Begin(RepeatableRead), e.Begin(RepeatableRead)
	defer a.Rollback()
	must(t, a.InsertRow(ctx, table, person(50, "a", 1, "")))
	must(t, get(a, 0))
	must(t, get(b, 1))
	waits := make(chan error, 1)
	go func() { waits <- get(a, 1) }()
	must(t, waitFor(func() bool { return e.Stats().LockWaiting == 1 }))
	if err := get(b, 0); !errors.Is(err, ErrDeadlock) {
		t.Fatal(err)
	}
	if err := get(b, 2); !errors.Is(err, ErrDeadlock) {
		t.Fatal(err)
	}
	if err := b.Commit(ctx); !errors.Is(err, ErrDeadlock) {
		t.Fatal(err)
	}
	must(t, <-waits)
	must(t, a.Commit(ctx))
	if s := e.Stats(); s.Deadlocks != 1 || s.Active != 0 {
		t.Errorf("%+v", s)
	}
}

// BenchmarkLockingScan updates rows by ranges of 100 beside writers of other rows.
func BenchmarkLockingScan(b *testing.B) {
	e, _ := openMem(b, vfs.NewMem(), Options{})
	table := createTable(b, e, people(b))
	fill(b, e, table, 0, 1000)
	for b.Loop() {
		tx := e.Begin(RepeatableRead)
		rng, err := table.Primary.Range(store.Bound{Values: []any{int64(100)}, Inclusive: true}, store.Bound{Values: []any{int64(200)}})
		must(b, err)
		rows, _, err := read(tx, table, Scan{Range: rng, Mode: LockExclusive})
		must(b, err)
		if len(rows) != 100 {
			b.Fatal(len(rows))
		}
		tx.Rollback()
	}
}
