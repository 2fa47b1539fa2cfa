package txn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Many transactions together stay within the limit that is for all of them; each commits what it
// wrote, wherever it was kept.
func TestManyWriteSetsStayWithinTheirLimit(t *testing.T) {
	const limit, transactions, rows = 1 << 20, 6, 100
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: 4 << 20, WriteSetsLimit: limit})
	table := createTable(t, e, people(t))
	var open []*Txn
	for range transactions {
		open = append(open, e.Begin(RepeatableRead))
	}
	most := int64(0)
	for i := range rows {
		for n, tx := range open {
			id := int64(n*rows + i)
			must(t, tx.InsertRow(ctx, table, person(id, fmt.Sprint(id), 1, strings.Repeat("x", 7000))))
			most = max(most, e.Stats().WriteSetBytes)
		}
	}
	// Those of less than four steps are let be.
	if bound := int64(limit + transactions*5*tellStep); most > bound || most < limit/2 {
		t.Errorf("the write sets held %d bytes, want at most %d", most, bound)
	}
	for _, tx := range open {
		commit(t, tx)
	}
	if left := e.Stats().WriteSetBytes; left != 0 {
		t.Errorf("%d bytes are still counted", left)
	}
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	if n := len(all(t, tx, table, Scan{Columns: []int{0}})); n != transactions*rows {
		t.Errorf("%d rows, want %d", n, transactions*rows)
	}
}
