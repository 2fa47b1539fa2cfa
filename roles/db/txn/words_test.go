package txn

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// found are the keys of the rows in which a search of the words index finds a word.
func found(t *testing.T, tx *Txn, table *store.Table, word string, mode ReadMode) int {
	t.Helper()
	ix, n := table.Index("words"), 0
	ix.Lexicon().Each(word, func(key []byte) {
		must(t, tx.Words(ctx, ix, key, false, mode, func(_, primary []byte) error { n++; return nil }))
	})
	return n
}

// A search sees what its transaction sees: its own words at once, those of others when
// they are committed and its view is younger.
func TestWordsFollowTheirRows(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "apple pear", 1, "")) })
	reader, writer := e.Begin(RepeatableRead), e.Begin(RepeatableRead)
	defer reader.Rollback()
	want := func(tx *Txn, word string, mode ReadMode, n int) {
		t.Helper()
		if got := found(t, tx, table, word, mode); got != n {
			t.Errorf("%s: %d rows, want %d", word, got, n)
		}
	}
	want(reader, "apple", Consistent, 1)
	m := writer.Mark()
	must(t, writer.UpdateRow(ctx, table, person(1, "apple pear", 1, ""), person(2, "pear plum", 1, "")))
	want(writer, "apple", Latest, 0)
	want(writer, "PLUM", Latest, 1)
	want(reader, "plum", Latest, 0)
	writer.RollbackTo(m)
	want(writer, "apple", Latest, 1)
	must(t, writer.DeleteRow(ctx, table, person(1, "apple pear", 1, "")))
	want(writer, "pear", Latest, 0)
	commit(t, writer)
	want(reader, "pear", Consistent, 1)
	want(reader, "pear", Latest, 0)
	checkClean(t, e)
}

// Two transactions that write the same word do not wait for each other.
func TestWordsAreNotLocked(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	a, b := e.Begin(RepeatableRead), e.Begin(RepeatableRead)
	must(t, a.InsertRow(ctx, table, person(1, "apple one", 1, "")))
	must(t, b.InsertRow(ctx, table, person(2, "apple two", 2, "")))
	commit(t, b)
	commit(t, a)
	checkClean(t, e)
}

// A lost and a foreign word are found and named.
func TestCheckFindsDamagedWords(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(db *pebble.DB, own, other []byte) error
		want   string
	}{
		"lost":    {func(db *pebble.DB, own, _ []byte) error { return db.Delete(own, pebble.Sync) }, "has no entry"},
		"foreign": {func(db *pebble.DB, _, other []byte) error { return db.Set(other, nil, pebble.Sync) }, "is not the one of the row"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := openMem(t, vfs.NewMem(), Options{})
			table := createTable(t, e, people(t))
			row := person(1, "apple pear", 1, "")
			write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, row) })
			checkClean(t, e)
			key, err := table.PrimaryKey(row)
			must(t, err)
			words := func(mail string) []byte {
				keys, err := table.Index("words").Words(person(1, mail, 1, ""), key)
				must(t, err)
				return keys[0]
			}
			must(t, c.damage(e.store.DB, words("apple"), words("plum")))
			write(t, e, func(tx *Txn) error { return tx.PutObject(ctx, store.Object{Kind: "k"}) }) // a new view
			r, err := e.Check(ctx, nil)
			must(t, err)
			if all := strings.Join(r.Problems, "\n"); !strings.Contains(all, c.want) {
				t.Errorf("the check says %q", all)
			}
		})
	}
}
