package txn

import (
	"context"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// CheckStore is Engine.Check for a store on which no engine runs, one that was opened
// read-only among them.
func CheckStore(ctx context.Context, st *store.Store, virtual func(*store.Table, sql.Row) (sql.Row, error)) (*CheckReport, error) {
	catalog, err := store.LoadCatalog(st.DB)
	if err != nil {
		return nil, err
	}
	done, err := readExecutedSet(st)
	if err != nil {
		return nil, err
	}
	v := &view{snap: st.DB.NewSnapshot(), catalog: catalog, done: done}
	defer v.snap.Close()
	c := &checker{ctx: ctx, view: v, virtual: virtual, owners: map[uint32]bool{}}
	return c.all()
}
