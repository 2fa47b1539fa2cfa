package replica

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// A source in a higher epoch takes a server along that nobody else tells who the primary is, and no other; one in a
// lower epoch is never followed.
func TestEpochOfTheSource(t *testing.T) {
	for _, c := range []struct {
		leads         func() bool
		source, after uint64
		fails         bool
	}{
		{nil, 8, 8, false},
		{func() bool { return true }, 8, 8, false},
		{func() bool { return false }, 8, 5, true},
		{func() bool { return false }, 5, 5, false},
		{nil, 4, 5, true},
	} {
		st, err := store.Open(store.Options{Dir: "data", FS: vfs.NewMem(), Reserve: 1})
		if err != nil {
			t.Fatal(err)
		}
		e, err := txn.Open(st, txn.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.AcceptEpoch(5); err != nil {
			t.Fatal(err)
		}
		r := &Replica{opts: Options{Store: st, DB: e, Leads: c.leads}}
		l := &link{}
		err = r.lookAtEpoch(l, func(string) (string, bool, error) { return string('0' + byte(c.source)), true, nil })
		if (err != nil) != c.fails || e.Epoch() != c.after {
			t.Errorf("a source in epoch %d: %v, this server then in %d, want %d", c.source, err, e.Epoch(), c.after)
		}
		if c.source == 4 && !errors.Is(err, txn.ErrStaleEpoch) {
			t.Errorf("a lower epoch: %v", err)
		}
		if err := errors.Join(e.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	}
}
