package txn

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// ErrTooLarge: what is to be taken back does not fit into one batch.
var ErrTooLarge = errors.New("it is too large to be taken back")

// TakeBack begins to undo the end of the log: what the transaction writes is not logged, and allowed
// where the server is read-only. CommitBack ends it.
func (t *Txn) TakeBack() { t.applies, t.newest, t.unlogged = true, true, true }

// CommitBack commits it in one batch, durably, with what also puts there: the log that is
// shorter by what was undone, and the executed set. The engine does not know of these: nothing may be committed
// behind it, and it must be opened anew. ErrTooLarge.
func (t *Txn) CommitBack(ctx context.Context, also func(*pebble.Batch) error) error {
	err := errors.Join(t.usable(), ctx.Err())
	if err == nil && t.set.spill != nil {
		err = ErrTooLarge
	}
	if err != nil {
		t.Rollback()
		return err
	}
	t.letGo()
	err = t.e.queue.commit(&commitRequest{set: t.set, owner: &t.owner, applies: true, back: also})
	t.end()
	return err
}

// takeBack is apply for a request that takes the end of the log back. The log itself does not
// see the batch.
func (q *commitQueue) takeBack(r *commitRequest) error {
	b := q.e.store.DB.NewBatch()
	defer b.Close()
	q.applied++
	r.applied = q.applied
	if err := errors.Join(r.encode(b), q.e.counters.log(b), r.back(b)); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}
