package txn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Whoever writes many rows in ascending order meets those that are there, that others commit
// meanwhile, and its own, as one that writes few does.
func TestDuplicatesAreFoundInALoad(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: 256 << 10})
	table := createTable(t, e, people(t))
	others := func(ids ...int64) {
		t.Helper()
		tx := e.Begin(RepeatableRead)
		for _, id := range ids {
			must(t, tx.InsertRow(ctx, table, person(id, fmt.Sprintf("mail%08d", id), 1, "")))
		}
		must(t, tx.Commit(ctx))
	}
	r := rand.New(rand.NewPCG(3, 4))
	there := map[int64]bool{}
	for id := int64(1000); id < 20_000; id += 1 + r.Int64N(800) {
		others(id)
		there[id] = true
	}
	load := e.Begin(RepeatableRead)
	refused, inGaps := 0, 0
	for id := int64(1); id < 20_000; id++ {
		if r.IntN(700) == 0 {
			// Somebody else is ahead of the load, or has just written where it is.
			other := id + 1 + r.Int64N(3)
			if !there[other] {
				others(other)
				there[other] = true
			}
		}
		err := load.InsertRow(ctx, table, person(id, fmt.Sprintf("mail%08d", id), 2, ""))
		var dup *DuplicateKeyError
		if there[id] != errors.As(err, &dup) {
			t.Fatalf("row %d is there: %v; the insert says %v", id, there[id], err)
		}
		if there[id] {
			refused++
		}
		if id%97 == 0 { // its own, and out of order
			if err := load.InsertRow(ctx, table, person(id-r.Int64N(50), "x", 2, "")); !errors.As(err, &dup) && id > 50 {
				t.Fatalf("its own row before %d is written again: %v", id, err)
			}
		}
		for _, g := range load.gaps {
			if g.open {
				inGaps++
			}
		}
	}
	must(t, load.Commit(ctx))
	if refused < 20 || inGaps < 10_000 {
		t.Errorf("%d rows refused, %d keys in gaps: nothing was tried", refused, inGaps)
	}
	checkClean(t, e)
}
