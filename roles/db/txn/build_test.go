package txn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
)

// buildChange is one that a Build does.
type buildChange struct {
	alter   func(t testing.TB, d *store.TableDesc)
	rewrite bool
	convert Convert
	back    func(sql.Row) sql.Row // a new row as it was before; nil: the same
}

// ageLast moves the age behind the note, as text.
func ageLast(row sql.Row) (sql.Row, error) {
	if row[2] != nil {
		row[2] = fmt.Sprint(row[2])
	}
	return sql.Row{row[0], row[3], row[1], row[2]}, nil
}

func buildChanges() map[string]buildChange {
	return map[string]buildChange{
		"two indexes": {alter: func(_ testing.TB, d *store.TableDesc) {
			d.Indexes = append(d.Indexes,
				store.IndexDesc{Name: "agemail", Unique: true, Columns: []store.IndexColumnDesc{{Column: 3}, {Column: 2}}},
				store.IndexDesc{Name: "age2", Columns: []store.IndexColumnDesc{{Column: 3}}})
		}},
		"rows under the same keys": {
			alter: func(t testing.TB, d *store.TableDesc) {
				d.Columns = []store.ColumnDesc{d.Columns[0], d.Columns[3], d.Columns[1], d.Columns[2]}
				d.Columns[3].Type = columnType(t, varchar)
			},
			convert: ageLast,
			back: func(row sql.Row) sql.Row {
				var age any
				if row[3] != nil {
					var n int32
					fmt.Sscan(row[3].(string), &n)
					age = n
				}
				return sql.Row{row[0], row[2], age, row[1]}
			},
		},
		"rows without keys": {
			alter: func(_ testing.TB, d *store.TableDesc) {
				d.Columns[0].AutoIncrement = false
				d.Primary = store.IndexDesc{ID: d.Primary.ID}
			},
			convert: func(row sql.Row) (sql.Row, error) { return row, nil },
		},
		"rows under other keys": {
			alter: func(t testing.TB, d *store.TableDesc) {
				d.Columns[0].AutoIncrement = false
				d.Columns[0].Type = columnType(t, varchar)
			},
			convert: func(row sql.Row) (sql.Row, error) {
				row[0] = fmt.Sprint("#", row[0])
				return row, nil
			},
			back: func(row sql.Row) sql.Row {
				var n int64
				fmt.Sscan(row[0].(string)[1:], &n)
				row[0] = n
				return row
			},
		},
	}
}

// begun is a build after its definition was drafted.
func begun(t testing.TB, e *Engine, tx *Txn, c buildChange) *Build {
	t.Helper()
	table := e.Catalog().Table("site", "people")
	desc := table.Desc.Clone()
	c.alter(t, desc)
	m := tx.Mark()
	tx.Draft(true)
	to, err := tx.Define(ctx, table, desc, c.rewrite)
	must(t, err)
	tx.RollbackTo(m)
	tx.Draft(false)
	if !CanBuildOnline(table, to) {
		t.Fatal("cannot be built while others write")
	}
	b, err := tx.NewBuild(ctx, table, to, c.convert, nil, true, nil)
	must(t, err)
	return b
}

// switched locks, catches up a last time and adopts, without the commit.
func switched(tx *Txn, b *Build) error {
	for {
		ok, err := tx.TryLockTables(ctx, []*store.Table{b.from}, 50*time.Millisecond)
		if err != nil {
			return err
		}
		if ok {
			break
		}
	}
	if _, err := b.CatchUp(ctx); err != nil {
		return err
	}
	if _, err := tx.Define(ctx, b.from, defined(b), b.rewrite); err != nil {
		return err
	}
	_, err := tx.Adopt(ctx, b)
	tx.LogStatement(event.Query{Text: "ALTER TABLE"})
	return err
}

// defined is the build's definition as a statement would give it: without ids.
func defined(b *Build) *store.TableDesc {
	desc := b.to.Desc.Clone()
	have := idsOf(b.from.Desc)
	for _, ix := range pointers(desc.Indexes) {
		if b.rewrite || !contains(have, ix.ID) {
			ix.ID = 0
		}
	}
	desc.Primary.ID, desc.Layouts = b.from.Desc.Primary.ID, b.from.Desc.Layouts
	return desc
}

func contains(list []uint32, id uint32) bool {
	for _, x := range list {
		if x == id {
			return true
		}
	}
	return false
}

// writers change random rows until stop is closed; each has rows of its own, and model says
// what they are afterwards.
type writers struct {
	stop  chan struct{}
	wait  sync.WaitGroup
	mu    sync.Mutex
	model model
	done  atomic.Int64
}

func startWriters(t *testing.T, e *Engine, r *rand.Rand, n int, back func(sql.Row) sql.Row) *writers {
	w := &writers{stop: make(chan struct{}), model: model{}}
	was := e.Catalog().Table("site", "people")
	for i := range n {
		r := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		w.wait.Go(func() {
			mine := model{}
			defer func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				for id, row := range mine {
					w.model[id] = row
				}
			}()
			for {
				select {
				case <-w.stop:
					return
				default:
				}
				if err := w.write(e, was, r, int64(i), int64(n), mine); err != nil {
					if !errors.Is(err, ErrTableChanged) {
						t.Error(err)
					}
					return // the table has changed: the rows have another form
				}
				w.done.Add(1)
			}
		})
	}
	return w
}

func (w *writers) write(e *Engine, was *store.Table, r *rand.Rand, self, n int64, mine model) error {
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	table := e.Catalog().Table("site", "people")
	if table == nil || !slices.EqualFunc(table.Types, was.Types, func(a, b sql.Type) bool { return a.Equals(b) }) {
		return ErrTableChanged // its rows have another form already
	}
	after := model{}
	gone := []int64{}
	for range 1 + r.IntN(4) {
		id := int64(r.IntN(40))*n + self
		row := person(id, fmt.Sprintf("%d.%d", r.IntN(40), self), int32(r.IntN(9)), strings.Repeat("n", r.IntN(3)*5000))
		old, had := mine[id]
		if changed, ok := after[id]; ok {
			old, had = changed, true
		}
		var err error
		switch {
		case !had:
			err = tx.InsertRow(ctx, table, row)
		case r.IntN(3) == 0:
			err = tx.DeleteRow(ctx, table, old)
			row = nil
		default:
			err = tx.UpdateRow(ctx, table, old, row)
		}
		var dup *DuplicateKeyError
		if errors.As(err, &dup) {
			continue
		}
		if err != nil {
			return err
		}
		if row == nil {
			delete(after, id)
			delete(mine, id)
			gone = append(gone, id)
			continue
		}
		after[id] = row
	}
	if r.IntN(5) == 0 && len(gone) == 0 {
		return nil // rolled back
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	for id, row := range after {
		mine[id] = row
	}
	return nil
}

// Writers go on while a table is rebuilt; in the end it holds what they wrote, and every
// index goes with it.
func TestBuildFollowsWriters(t *testing.T) {
	for name, c := range buildChanges() {
		for _, limit := range []int{captureLimit, 300} {
			t.Run(fmt.Sprintf("%s, %d", name, limit), func(t *testing.T) { testBuildFollows(t, c, limit) })
		}
	}
}

func testBuildFollows(t *testing.T, c buildChange, limit int) {
	r := seeded(t)
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: 20_000}) // some transactions leave memory
	table := createTable(t, e, people(t))
	w := startWriters(t, e, r, 4, c.back)
	must(t, waitFor(func() bool { return w.done.Load() > 50 }))
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	e.captureLimit = limit
	b := begun(t, e, tx, c)
	defer b.Close()
	must(t, waitFor(func() bool { return w.done.Load() > 100 }))
	must(t, b.Fill(ctx))
	changed := 0
	for range 5 {
		before := w.done.Load()
		must(t, waitFor(func() bool { return w.done.Load() > before+10 }))
		n, err := b.CatchUp(ctx)
		must(t, err)
		changed += n
	}
	if changed == 0 {
		t.Error("no row changed while the table was built")
	}
	must(t, switched(tx, b))
	must(t, tx.Commit(ctx))
	must(t, b.Close())
	close(w.stop)
	w.wait.Wait()
	compare(t, e, w.model, c)
	checkClean(t, e)
	if c.alter != nil && b.rewrite {
		must(t, waitFor(func() bool { return keysOf(t, e, store.SpaceRows, table.Primary.Desc.ID) == 0 }))
	}
}

// compare holds the table, as its rows were before the change, against the model.
func compare(t *testing.T, e *Engine, want model, c buildChange) {
	t.Helper()
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	rows, err := tx.Scan(ctx, e.Catalog().Table("site", "people"), Scan{})
	must(t, err)
	defer rows.Close()
	n := 0
	for rows.Next() {
		row := rows.Row()
		if c.back != nil {
			row = c.back(row)
		}
		n++
		if fmt.Sprint(row) != fmt.Sprint(want[row[0].(int64)]) {
			t.Fatalf("row %.60v, want %.60v", row, want[row[0].(int64)])
		}
	}
	must(t, rows.Err())
	if n != len(want) {
		t.Fatalf("%d rows, want %d", n, len(want))
	}
}

// A crash at any step leaves the old definition or the new, with all that was acknowledged
// and nothing that belongs to nobody.
func TestCrashWhileBuilding(t *testing.T) {
	for name, c := range buildChanges() {
		t.Run(name, func(t *testing.T) {
			r := seeded(t)
			fs := crashfs.New()
			e, _ := openMem(t, fs, Options{})
			createTable(t, e, people(t))
			fill(t, e, e.Catalog().Table("site", "people"), 0, 60)
			rows := 60
			crash := func(step string, adopted bool) {
				t.Helper()
				for percent := range 3 {
					clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent * 50, RNG: rand.New(rand.NewPCG(r.Uint64(), 5))})
					after, stop := openMem(t, clone, Options{})
					table := after.Catalog().Table("site", "people")
					if got := table.Desc.Version == 1; got == adopted {
						t.Errorf("%s: version %d with %d indexes", step, table.Desc.Version, len(table.Desc.Indexes))
					}
					tx := after.Begin(RepeatableRead)
					if n := len(all(t, tx, table, Scan{})); n != rows {
						t.Errorf("%s: %d rows of %d", step, n, rows)
					}
					tx.Rollback()
					checkClean(t, after)
					stop()
				}
			}
			more := func(from, to int64) {
				fill(t, e, e.Catalog().Table("site", "people"), from, to)
				write(t, e, func(tx *Txn) error {
					return tx.DeleteRow(ctx, e.Catalog().Table("site", "people"), person(from-1, fmt.Sprint("m", from-1), int32((from-1)%7), strings.Repeat("n", int((from-1)%3)*9000)))
				})
				rows += int(to-from) - 1
			}
			tx := e.Begin(RepeatableRead)
			defer tx.Rollback()
			b := begun(t, e, tx, c)
			defer b.Close()
			crash("begun", false)
			more(60, 70)
			must(t, b.Fill(ctx))
			crash("filled", false)
			_, err := b.CatchUp(ctx)
			must(t, err)
			crash("caught up", false)
			more(70, 80)
			must(t, switched(tx, b))
			crash("staged", false)
			must(t, tx.Commit(ctx))
			crash("committed", true)
			must(t, b.Close())
			must(t, waitFor(func() bool { return e.Stats().PendingDrops == 0 }))
			crash("swept", true)
			checkClean(t, e)
		})
	}
}

// What ends a build early leaves the table as it was, and nothing else.
func TestBuildThatCannotBe(t *testing.T) {
	age := buildChange{alter: func(_ testing.TB, d *store.TableDesc) {
		d.Indexes = append(d.Indexes, store.IndexDesc{Name: "age1", Unique: true, Columns: []store.IndexColumnDesc{{Column: 3}}})
	}}
	mail := buildChange{alter: func(_ testing.TB, d *store.TableDesc) {
		d.Primary.Columns = []store.IndexColumnDesc{{Column: 2}}
		d.Columns[0].AutoIncrement = false
		d.Columns[1].Nullable = false
		d.Indexes = nil
	}}
	refuse := errors.New("this row cannot be")
	picky := buildChange{rewrite: true, alter: func(testing.TB, *store.TableDesc) {}, convert: func(row sql.Row) (sql.Row, error) {
		if row[2] == int32(99) {
			return nil, refuse
		}
		return row, nil
	}}
	for name, c := range map[string]struct {
		buildChange
		unique bool // not the mail
		before []sql.Row
		later  []sql.Row
		index  string
		want   error
	}{
		"twice in the copy":       {buildChange: age, before: []sql.Row{person(1, "a", 5, ""), person(2, "b", 5, "")}, index: "age1"},
		"twice later":             {buildChange: age, before: []sql.Row{person(1, "a", 5, "")}, later: []sql.Row{person(2, "b", 5, "")}, index: "age1"},
		"a key twice":             {buildChange: mail, unique: true, before: []sql.Row{person(1, "a", 5, ""), person(2, "a", 5, "")}, index: "PRIMARY"},
		"a key spelt twice":       {buildChange: mail, unique: true, before: []sql.Row{person(1, "a", 5, ""), person(2, "a  ", 5, "")}, index: "PRIMARY"},
		"a key spelt so later":    {buildChange: mail, unique: true, before: []sql.Row{person(1, "a", 5, "")}, later: []sql.Row{person(2, "a ", 5, "")}, index: "PRIMARY"},
		"refused in the copy":     {buildChange: picky, before: []sql.Row{person(1, "a", 99, "")}, want: refuse},
		"refused later":           {buildChange: picky, before: []sql.Row{person(1, "a", 9, "")}, later: []sql.Row{person(2, "b", 99, "")}, want: refuse},
		"nothing in the way":      {buildChange: age, before: []sql.Row{person(1, "a", 5, "")}, later: []sql.Row{person(2, "b", 6, "")}},
		"a key of every spelling": {buildChange: mail, unique: true, before: []sql.Row{person(1, "a", 5, ""), person(2, "b ", 5, "")}, later: []sql.Row{person(3, "c", 1, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := openMem(t, vfs.NewMem(), Options{})
			desc := people(t)
			if c.unique {
				desc.Indexes = desc.Indexes[1:]
			}
			table := createTable(t, e, desc)
			insert := func(rows []sql.Row) {
				for _, row := range rows {
					write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, row) })
				}
			}
			insert(c.before)
			tx := e.Begin(RepeatableRead)
			b := begun(t, e, tx, c.buildChange)
			err := b.Fill(ctx)
			insert(c.later)
			if err == nil {
				_, err = b.CatchUp(ctx)
			}
			must(t, b.Close())
			tx.Rollback()
			var dup *DuplicateKeyError
			switch {
			case c.index == "" && c.want == nil:
				must(t, err)
			case c.want != nil:
				if !errors.Is(err, c.want) {
					t.Errorf("got %v", err)
				}
			case !errors.As(err, &dup) || !strings.Contains(dup.Error(), "."+c.index+"'"):
				t.Errorf("got %v", err)
			case dup.Existing[0] == nil && dup.Existing[1] == nil && dup.Existing[2] == nil:
				t.Error("the error names no value")
			}
			must(t, waitFor(func() bool { return e.Stats().PendingDrops == 0 }))
			checkClean(t, e)
			if got := e.Catalog().Table("site", "people"); got != table {
				t.Error("the table has changed")
			}
		})
	}
}

// Rows that exchange unique values between two steps are not in each other's way.
func TestBuildLetsRowsExchangeValues(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	write(t, e, func(tx *Txn) error {
		return errors.Join(tx.InsertRow(ctx, table, person(1, "a", 1, "")), tx.InsertRow(ctx, table, person(2, "b", 2, "")))
	})
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	b := begun(t, e, tx, buildChange{alter: func(_ testing.TB, d *store.TableDesc) {
		d.Indexes = append(d.Indexes, store.IndexDesc{Name: "age1", Unique: true, Columns: []store.IndexColumnDesc{{Column: 3}}})
	}})
	defer b.Close()
	must(t, b.Fill(ctx))
	write(t, e, func(tx *Txn) error {
		return errors.Join(tx.UpdateRow(ctx, table, person(1, "a", 1, ""), person(1, "a", 2, "")), tx.UpdateRow(ctx, table, person(2, "b", 2, ""), person(2, "b", 1, "")))
	})
	must(t, switched(tx, b))
	must(t, tx.Commit(ctx))
	checkClean(t, e)
}

// A definition that changed while its table was built is not overwritten.
func TestBuildOfAnotherDefinition(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	b := begun(t, e, tx, buildChanges()["two indexes"])
	defer b.Close()
	write(t, e, func(tx *Txn) error { _, err := tx.TouchTable(ctx, table); return err })
	must(t, b.Fill(ctx))
	if err := switched(tx, b); !errors.Is(err, ErrTableChanged) {
		t.Errorf("got %v", err)
	}
}

// A cancelled build ends at once, and a table that a transaction keeps is left to its
// writers after a while.
func TestBuildGivesWay(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 0, 20)
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	b := begun(t, e, tx, buildChanges()["two indexes"])
	defer b.Close()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.Fill(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	long := e.Begin(RepeatableRead)
	defer long.Rollback()
	must(t, long.InsertRow(ctx, table, person(100, "long", 1, "")))
	if ok, err := tx.TryLockTables(ctx, []*store.Table{table}, 10*time.Millisecond); ok || err != nil {
		t.Fatalf("locked under a writer: %v, %v", ok, err)
	}
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(101, "other", 1, "")) })
	other := e.Begin(RepeatableRead)
	must(t, other.LockCatalog(ctx))
	other.Rollback()
}

// The value that older rows have in a column added at once goes into the rows of a rebuild.
func TestRebuildOfOlderLayouts(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 1, 3)
	missing, err := store.EncodeMissing(ctx, columnType(t, types.Int32), int32(42))
	must(t, err)
	desc := table.Desc.Clone()
	desc.Columns = append(desc.Columns, store.ColumnDesc{Name: "score", Type: columnType(t, types.Int32), Missing: missing})
	var next *store.Table
	write(t, e, func(tx *Txn) (err error) { next, err = tx.Define(ctx, table, desc, false); return err })
	if NeedsBuild(table, next) {
		t.Fatal("a new column with a value for old rows needs a build")
	}
	write(t, e, func(tx *Txn) (err error) { next, err = tx.Rebuild(ctx, next, next.Desc, true, nil); return err })
	if len(next.Desc.Layouts) != 1 || next.Desc.Columns[4].Missing != nil {
		t.Errorf("layouts %v", next.Desc.Layouts)
	}
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	expect(t, all(t, tx, next, Scan{Columns: []int{0, 4}}), "[1 <nil> <nil> <nil> 42]", "[2 <nil> <nil> <nil> 42]")
	checkClean(t, e)
}

// Writers of a table that is built are told to rest after a commit; those of another table are not, nor any once
// the build is closed.
func TestBuildSlowsWriters(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	desc := people(t)
	desc.Name = "others"
	others := createTable(t, e, desc)
	rest := func(table *store.Table, id int64) time.Duration {
		tx := e.Begin(RepeatableRead)
		must(t, tx.InsertRow(ctx, table, person(id, fmt.Sprint(id), 1, "")))
		must(t, tx.Commit(ctx))
		return tx.Rest()
	}
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	b := begun(t, e, tx, buildChanges()["two indexes"])
	defer b.Close()
	b.SlowWriters(time.Hour)
	if slow, other := rest(table, 1), rest(others, 1); slow != time.Hour || other != 0 {
		t.Errorf("writers of the table rest for %v, of another %v", slow, other)
	}
	b.SlowWriters(0)
	if d := rest(table, 2); d != 0 {
		t.Errorf("writers rest for %v although they are slow enough", d)
	}
	b.SlowWriters(time.Hour)
	must(t, b.Close())
	if d := rest(table, 3); d != 0 {
		t.Errorf("writers rest for %v after the build", d)
	}
}
