package txn

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// Every kind of damage is found and named.
func TestCheckFindsDamage(t *testing.T) {
	note := strings.Repeat("n", 20_000)
	row := person(1, "a", 7, note)
	for _, c := range []struct {
		name   string
		damage func(db *pebble.DB, table *store.Table, key []byte, entry func(ix string) []byte) error
		want   string
	}{
		{"entry lost", func(db *pebble.DB, _ *store.Table, _ []byte, entry func(string) []byte) error {
			return db.Delete(entry("age"), pebble.Sync)
		}, "has no entry in index age"},
		{"entry of another row", func(db *pebble.DB, _ *store.Table, key []byte, entry func(string) []byte) error {
			return db.Set(entry("mail"), append(key[5:len(key)-1:len(key)-1], 99), pebble.Sync)
		}, "names another row"},
		{"row lost", func(db *pebble.DB, _ *store.Table, key []byte, _ func(string) []byte) error {
			return db.Delete(key, pebble.Sync)
		}, "names no row"},
		{"entry too many", func(db *pebble.DB, table *store.Table, key []byte, _ func(string) []byte) error {
			k, v, _, err := table.Index("age").Entry(person(1, "a", 8, note), key)
			if err != nil {
				return err
			}
			return db.Set(k, v, pebble.Sync)
		}, "is not the one of the row that it names"},
		{"row damaged", func(db *pebble.DB, _ *store.Table, key []byte, _ func(string) []byte) error {
			return db.Set(key, []byte{1, 0, 0, 0, 9, 0}, pebble.Sync)
		}, "row of layout 9: stored bytes are damaged"},
		{"row moved", func(db *pebble.DB, table *store.Table, _ []byte, _ func(string) []byte) error {
			data, _, err := table.EncodeRow(ctx, person(5, "z", 7, ""))
			if err != nil {
				return err
			}
			other, err := table.PrimaryKey(person(6, "z", 7, ""))
			if err != nil {
				return err
			}
			return db.Set(other, data, pebble.Sync)
		}, "has another primary key"},
		{"chunk lost", func(db *pebble.DB, _ *store.Table, key []byte, _ func(string) []byte) error {
			return db.Delete(store.LargeKey(key, 4, 0), pebble.Sync)
		}, "chunk 0 of a large value is missing"},
		{"chunk changed", func(db *pebble.DB, _ *store.Table, key []byte, _ func(string) []byte) error {
			return db.Set(store.LargeKey(key, 4, 0), []byte(strings.Repeat("m", 20_000)), pebble.Sync)
		}, "does not match its hash"},
		{"chunk too many", func(db *pebble.DB, _ *store.Table, key []byte, _ func(string) []byte) error {
			return db.Set(store.LargeKey(key, 4, 1), []byte("m"), pebble.Sync)
		}, "rows name 1 chunks of large values, 2 are stored"},
		{"index without owner", func(db *pebble.DB, _ *store.Table, _ []byte, _ func(string) []byte) error {
			return db.Set(append(store.AppendIndexPrefix(nil, store.SpaceRows, 4711), 1), nil, pebble.Sync)
		}, "index 4711 has keys and belongs to no table"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _ := openMem(t, vfs.NewMem(), Options{})
			table := createTable(t, e, people(t))
			write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, row) })
			checkClean(t, e)
			key, err := table.PrimaryKey(row)
			must(t, err)
			must(t, c.damage(e.store.DB, table, key, func(ix string) []byte {
				k, _, _, err := table.Index(ix).Entry(row, key)
				must(t, err)
				return k
			}))
			write(t, e, func(tx *Txn) error { return tx.PutObject(ctx, store.Object{Kind: "k"}) }) // a new view
			r, err := e.Check(ctx, nil)
			must(t, err)
			if !strings.Contains(strings.Join(r.Problems, "\n"), c.want) {
				t.Errorf("problems %q, want %q", r.Problems, c.want)
			}
		})
	}
}

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", "x:1", "x:2-3", "", ":1", "x:1-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pos, err := parsePosition(text)
		if err != nil {
			return
		}
		if again, err := parsePosition(pos.String()); err != nil || again != pos {
			t.Fatalf("%q is %+v, which reads as %+v (%v)", text, pos, again, err)
		}
	})
}
