package incarnation

import (
	"crypto/rand"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// Read is what a store knows.
func Read(st *store.Store) (History, error) {
	b, err := store.Get(st.DB, store.MetaIncarnationsKey())
	if err != nil {
		return nil, err
	}
	h, err := Parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", st.Dir(), store.ErrCorrupt, err)
	}
	return h, nil
}

func write(st *store.Store, h History) error {
	if err := st.DB.Set(store.MetaIncarnationsKey(), []byte(h.String()), pebble.Sync); err != nil {
		return fmt.Errorf("keep the incarnations of servers: %w", err)
	}
	return nil
}

// Begin begins an incarnation of the server that a store is of, which has made this many transactions. It is called at each
// start, before the server makes another.
func Begin(st *store.Store, made uint64) error {
	h, err := Read(st)
	if err != nil {
		return err
	}
	return write(st, h.with(st.Server, begin(h[st.Server], rand.Text(), made+1)))
}

// Learn keeps what the source of a server knows, before what the source sends is applied. The server has nothing that the source
// has not, or has otherwise. One caller at a time.
func Learn(st *store.Store, follower, source Known) error {
	h, err := learned(follower, source)
	if err != nil || h.String() == follower.Starts.String() {
		return err
	}
	return write(st, h)
}
