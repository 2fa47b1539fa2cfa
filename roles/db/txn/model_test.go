package txn

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// model is what the table people should hold: rows by id.
type model map[int64]sql.Row

// clash says which index refuses row beside the others; "" if none does. The
// collation ignores case, unique checks ignore trailing spaces.
func (m model) clash(row sql.Row, self int64, fresh bool) string {
	if _, ok := m[row[0].(int64)]; ok && (fresh || row[0].(int64) != self) {
		return "PRIMARY"
	}
	for id, other := range m {
		if !fresh && id == self || row[1] == nil || other[1] == nil {
			continue
		}
		if spelling(row[1]) == spelling(other[1]) {
			return "mail"
		}
	}
	return ""
}

func spelling(v any) string { return strings.ToLower(strings.TrimRight(v.(string), " ")) }

func randomPerson(r *rand.Rand) sql.Row {
	row := sql.Row{int64(r.IntN(40)), nil, nil, nil}
	if r.IntN(5) > 0 {
		row[1] = []string{"a", "A", "b", "ab", "a b"}[r.IntN(5)] + strings.Repeat("x", r.IntN(3)) + strings.Repeat(" ", r.IntN(3))
	}
	if r.IntN(5) > 0 {
		row[2] = int32(r.IntN(4) - 2)
	}
	if r.IntN(3) > 0 {
		row[3] = strings.Repeat([]string{"n", "N", "ö"}[r.IntN(3)], r.IntN(3)*7000)
	}
	return row
}

// want renders the model as a scan over an index would give it.
func (m model) want(t *testing.T, ix *store.Index, reverse bool) []string {
	type item struct {
		key []byte
		row sql.Row
	}
	var items []item
	for _, row := range m {
		primary, err := ix.Table.PrimaryKey(row)
		must(t, err)
		key := primary
		if !ix.IsPrimary() {
			key, _, _, err = ix.Entry(row, primary)
			must(t, err)
		}
		items = append(items, item{key, row})
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(string(a.key), string(b.key)) })
	if reverse {
		slices.Reverse(items)
	}
	out := []string{}
	for _, i := range items {
		out = append(out, fmt.Sprint(i.row))
	}
	return out
}

// Random statements, marks, savepoints, commits, rollbacks and crashes against a map
// that does the same.
func TestRandomHistoriesMatchTheModel(t *testing.T) {
	for name, limit := range map[string]int64{"in memory": 0, "out of memory": 4000} {
		t.Run(name, func(t *testing.T) { testRandomHistories(t, limit) })
	}
}

func testRandomHistories(t *testing.T, limit int64) {
	r := seeded(t)
	fs := vfs.NewCrashableMem()
	e, stop := openMem(t, fs, Options{WriteSetLimit: limit, Binlog: tiny})
	table := createTable(t, e, people(t))
	committed := model{}
	for range 150 {
		tx := e.Begin(RepeatableRead)
		now := maps.Clone(committed)
		type point struct {
			mark  Mark
			state model
		}
		var points []point
		for range r.IntN(25) {
			switch r.IntN(12) {
			case 0:
				points = append(points, point{tx.Mark(), maps.Clone(now)})
			case 1:
				if n := len(points); n > 0 {
					i := r.IntN(n)
					if !tx.RollbackTo(points[i].mark) {
						t.Fatal("a mark is gone")
					}
					now, points = maps.Clone(points[i].state), points[:i+1]
				}
			case 2:
				if n := len(points); n > 0 {
					i := r.IntN(n)
					tx.Release(points[i].mark)
					points = slices.Delete(points, i, i+1)
				}
			case 3, 4:
				compareModel(t, r, tx, table, now, Scan{Mode: LockExclusive})
			default:
				randomChange(t, r, tx, table, now)
			}
		}
		compareModel(t, r, tx, table, now, Scan{Mode: LockExclusive})
		// The view does not move, own writes come over it.
		compareModel(t, r, tx, table, now, Scan{})
		if r.IntN(3) == 0 {
			tx.Rollback()
		} else {
			must(t, tx.Commit(ctx))
			committed = now
		}
		if r.IntN(15) == 0 {
			checkClean(t, e)
			if r.IntN(2) == 0 {
				fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(100), RNG: r})
				stop()
			} else {
				stop()
			}
			e, stop = openMem(t, fs, Options{WriteSetLimit: limit, Binlog: tiny})
			table = e.Catalog().Table("site", "people")
			expectLog(t, e, committed)
		}
	}
	checkClean(t, e)
	expectLog(t, e, committed)
}

func randomChange(t *testing.T, r *rand.Rand, tx *Txn, table *store.Table, now model) {
	t.Helper()
	row := randomPerson(r)
	ids := slices.Sorted(maps.Keys(now))
	if len(ids) == 0 || r.IntN(3) == 0 {
		clash := now.clash(row, 0, true)
		refused(t, tx.InsertRow(ctx, table, row), clash, row)
		if clash == "" {
			now[row[0].(int64)] = row
		}
		return
	}
	id := ids[r.IntN(len(ids))]
	if r.IntN(3) == 0 {
		must(t, tx.DeleteRow(ctx, table, now[id]))
		delete(now, id)
		return
	}
	if r.IntN(2) == 0 {
		row[0] = id
	}
	if r.IntN(2) == 0 {
		row[3] = now[id][3]
	}
	clash := now.clash(row, id, false)
	refused(t, tx.UpdateRow(ctx, table, now[id], row), clash, row)
	if clash == "" {
		delete(now, id)
		now[row[0].(int64)] = row
	}
}

func refused(t *testing.T, err error, index string, row sql.Row) {
	t.Helper()
	if index == "" {
		must(t, err)
		return
	}
	var dup *DuplicateKeyError
	if !errors.As(err, &dup) || dup.Index.Desc.Name != index {
		t.Fatalf("%v: got %v, want a duplicate in %s", row, err, index)
	}
}

func compareModel(t *testing.T, r *rand.Rand, tx *Txn, table *store.Table, now model, s Scan) {
	t.Helper()
	s.Index = append([]*store.Index{table.Primary}, table.Indexes...)[r.IntN(4)]
	s.Reverse = r.IntN(2) == 0
	got, want := all(t, tx, table, s), now.want(t, s.Index, s.Reverse)
	if !slices.Equal(got, want) {
		t.Fatalf("index %s, reverse %v, mode %d:\ngot  %.300v\nwant %.300v", s.Index.Desc.Name, s.Reverse, s.Mode, got, want)
	}
}
