package txn

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// A consistent read gives the rows of the view with the transaction's own changes, through every index,
// also where others had changed those rows in between.
func TestOwnWritesOverAnOlderView(t *testing.T) {
	for name, limit := range map[string]int64{"in memory": 0, "out of memory": 4000} {
		t.Run(name, func(t *testing.T) {
			r := seeded(t)
			e, stop := openMem(t, vfs.NewMem(), Options{WriteSetLimit: limit})
			defer stop()
			table := createTable(t, e, people(t))
			committed := model{}
			for range 60 {
				own, tx := model{}, e.Begin(RepeatableRead)
				for range 10 {
					othersChange(r, e, table, committed)
				}
				view := maps.Clone(committed)
				if r.IntN(4) == 0 {
					ownChange(t, r, tx, table, committed, own) // before there is a view
				}
				compareOver(t, r, tx, table, view, own)
				var mark Mark
				var marked model
				for range 1 + r.IntN(20) {
					switch r.IntN(6) {
					case 0, 1, 2:
						othersChange(r, e, table, committed)
					case 3:
						if marked == nil {
							mark, marked = tx.Mark(), maps.Clone(own)
						} else {
							tx.RollbackTo(mark)
							tx.Release(mark)
							own, marked = marked, nil
						}
					default:
						ownChange(t, r, tx, table, committed, own)
					}
					compareOver(t, r, tx, table, view, own)
				}
				if r.IntN(3) == 0 {
					tx.Rollback()
				} else {
					must(t, tx.Commit(ctx))
					committed = over(committed, own)
				}
			}
			checkClean(t, e)
			tx := e.Begin(RepeatableRead)
			defer tx.Rollback()
			compareOver(t, r, tx, table, committed, model{})
		})
	}
}

// over is a state with changes over it, of which nil are deletions.
func over(base, own model) model {
	out := maps.Clone(base)
	for id, row := range own {
		if out[id] = row; row == nil {
			delete(out, id)
		}
	}
	return out
}

// othersChange commits a random change by somebody else, unless locks are in the way or a duplicate is.
func othersChange(r *rand.Rand, e *Engine, table *store.Table, committed model) {
	tx := e.Begin(RepeatableRead)
	tx.SetLockWaitTimeout(time.Microsecond)
	after, err := changeOf(r, tx, table, committed)
	if err != nil {
		tx.Rollback()
		return
	}
	if tx.Commit(ctx) == nil {
		maps.DeleteFunc(committed, func(int64, sql.Row) bool { return true })
		maps.Copy(committed, after)
	}
}

// ownChange makes a random change of the newest rows in tx.
func ownChange(t *testing.T, r *rand.Rand, tx *Txn, table *store.Table, committed, own model) {
	t.Helper()
	before := over(committed, own)
	after, err := changeOf(r, tx, table, before)
	if err != nil {
		return // a duplicate, of which nothing was written
	}
	for id := range before {
		if _, stays := after[id]; !stays {
			own[id] = nil
		}
	}
	for id, row := range after {
		if fmt.Sprint(row) != fmt.Sprint(before[id]) {
			own[id] = row
		}
	}
}

// errNothing is why a change is left out: statements that change nothing of a row do not update it.
var errNothing = errors.New("the same row")

// changeOf makes a random change of one row, and returns the state after it.
func changeOf(r *rand.Rand, tx *Txn, table *store.Table, before model) (model, error) {
	after := maps.Clone(before)
	row, ids := randomPerson(r), slices.Sorted(maps.Keys(before))
	if len(ids) == 0 || r.IntN(4) == 0 {
		after[row[0].(int64)] = row
		return after, tx.InsertRow(ctx, table, row)
	}
	id := ids[r.IntN(len(ids))]
	delete(after, id)
	if r.IntN(4) == 0 {
		return after, tx.DeleteRow(ctx, table, before[id])
	}
	for i := range row {
		if r.IntN(2) == 0 {
			row[i] = before[id][i]
		}
	}
	if fmt.Sprint(row) == fmt.Sprint(before[id]) {
		return nil, errNothing
	}
	after[row[0].(int64)] = row
	return after, tx.UpdateRow(ctx, table, before[id], row)
}

func compareOver(t *testing.T, r *rand.Rand, tx *Txn, table *store.Table, view, own model) {
	t.Helper()
	now := over(view, own)
	for _, ix := range append([]*store.Index{table.Primary}, table.Indexes...) {
		if ix.Desc.FullText {
			compareWords(t, tx, ix, now)
			continue
		}
		s := Scan{Index: ix, Reverse: r.IntN(2) == 0}
		// Two rows can have one key of a unique index, one of the view and one of its own.
		got, want := slices.Sorted(slices.Values(all(t, tx, table, s))), slices.Sorted(slices.Values(now.want(t, ix, false)))
		if !slices.Equal(got, want) {
			t.Fatalf("index %s, reverse %v, over %.300v:\ngot  %.600v\nwant %.600v", ix.Desc.Name, s.Reverse, view, got, want)
		}
		if ix.Desc.Name != "age" {
			continue
		}
		s.Columns = []int{0, 2} // the entries alone
		var ages []string
		for _, row := range now {
			ages = append(ages, fmt.Sprint(sql.Row{row[0], nil, row[2], nil}))
		}
		slices.Sort(ages)
		if got := slices.Sorted(slices.Values(all(t, tx, table, s))); !slices.Equal(got, ages) {
			t.Fatalf("entries alone, reverse %v:\ngot  %v\nwant %v", s.Reverse, got, ages)
		}
	}
}

func compareWords(t *testing.T, tx *Txn, ix *store.Index, now model) {
	t.Helper()
	var got, want []string
	must(t, tx.Words(ctx, ix, nil, true, Consistent, func(word, primary []byte) error {
		got = append(got, fmt.Sprintf("%x %x", word, primary))
		return nil
	}))
	for _, row := range now {
		primary, err := ix.Table.PrimaryKey(row)
		must(t, err)
		keys, err := ix.Words(row, primary)
		must(t, err)
		for _, key := range keys {
			word, _, err := ix.WordOf(key)
			must(t, err)
			want = append(want, fmt.Sprintf("%x %x", word, primary))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("words:\ngot  %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The rows that a transaction changes behind its view are bounded. What is refused leaves the transaction as it is.
func TestRowsChangedBehindAViewAreBounded(t *testing.T) {
	e, stop := openMem(t, vfs.NewMem(), Options{})
	defer stop()
	table := createTable(t, e, narrow(t))
	const n = mostBehind + 1
	change := func(tx *Txn, from, to int64) (err error) {
		for id := int64(0); id < n && err == nil; id++ {
			if from == 0 {
				err = tx.InsertRow(ctx, table, sql.Row{id, to})
			} else {
				err = tx.UpdateRow(ctx, table, sql.Row{id, from}, sql.Row{id, to})
			}
		}
		return err
	}
	tx := e.Begin(ReadCommitted)
	must(t, change(tx, 0, 1))
	must(t, tx.Commit(ctx))
	behind := e.Begin(RepeatableRead)
	defer behind.Rollback()
	if row, err := behind.Get(ctx, table, []any{int64(7)}, nil, Consistent); err != nil || row[1] != int64(1) {
		t.Fatal(row, err)
	}
	tx = e.Begin(ReadCommitted)
	must(t, change(tx, 1, 2))
	must(t, tx.Commit(ctx))
	if err := change(behind, 2, 3); !errors.Is(err, ErrManyBehind) {
		t.Fatal(err)
	}
	if row, err := behind.Get(ctx, table, []any{int64(n - 1)}, nil, Consistent); err != nil || row[1] != int64(1) {
		t.Error(row, err)
	}
	must(t, behind.Commit(ctx))
	tx = e.Begin(ReadCommitted)
	defer tx.Rollback()
	for id, want := range map[int64]int64{0: 3, n - 2: 3, n - 1: 2} {
		if row, err := tx.Get(ctx, table, []any{id}, nil, Consistent); err != nil || row[1] != want {
			t.Error(id, row, err)
		}
	}
}
