package txn

import (
	"fmt"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// executed is the set of transactions that a server has executed: its own, which are
// numbered without a gap, and those that other servers have committed first. The commit
// leader has one; a view has a copy.
type executed struct {
	Position
	uuid   [16]byte
	others mysql.Mysql56GTIDSet // immutable
	text   string               // of others, as stored; empty where it is to be made
	moved  bool                 // others have changed since the group began
}

// readExecutedSet reads what a store has executed.
func readExecutedSet(st *store.Store) (executed, error) {
	pos, err := readExecuted(st)
	if err != nil {
		return executed{}, err
	}
	x := executed{Position: pos, text: st.History}
	if x.uuid, err = event.ParseUUID(st.Server); err == nil {
		x.others, err = event.ParseGTIDs(st.History)
	}
	if err != nil {
		return x, fmt.Errorf("executed set of %s: %w: %w", st.Dir(), store.ErrCorrupt, err)
	}
	return x, nil
}

// Incarnations is what the store knows of them, as text of package incarnation. Who asks for it after an executed set finds all
// that the set has.
func (e *Engine) Incarnations() (string, error) {
	b, err := store.Get(e.store.DB, store.MetaIncarnationsKey())
	return string(b), err
}

// next is the name that the next transaction gets.
func (x *executed) next(o *binlog.Origin) event.ID {
	if o.Named() {
		return o.ID
	}
	return event.ID{UUID: x.uuid, Number: int64(x.Seq) + 1}
}

// Add notes that a transaction is executed.
func (x *executed) Add(id event.ID) {
	if id.UUID == x.uuid {
		x.Seq = uint64(id.Number)
		return
	}
	x.others = x.others.AddGTID(mysql.Mysql56GTID{Server: mysql.SID(id.UUID), Sequence: id.Number}).(mysql.Mysql56GTIDSet)
	x.text, x.moved = "", true
}

// admit says why a transaction of another server cannot be executed; nil where it can.
func (x *executed) admit(o *binlog.Origin) error {
	switch {
	case !o.Named():
		return nil
	case x.has(o.ID):
		return fmt.Errorf("transaction %s: %w", o.ID, ErrExecuted)
	case o.UUID == x.uuid && o.Number != int64(x.Seq)+1:
		return fmt.Errorf("transaction %s is one of this server, which has made %d: it cannot follow", o.ID, x.Seq)
	}
	return nil
}

// has reports whether a transaction is executed.
func (x *executed) has(id event.ID) bool {
	if id.UUID == x.uuid {
		return id.Number <= int64(x.Seq)
	}
	return id.In(x.others)
}

// String is the whole set as text.
func (x *executed) String() string {
	x.seal()
	return store.JoinSets(x.text, x.Position.String())
}

// seal makes the text of the others, so that copies need not.
func (x *executed) seal() {
	if x.text == "" && len(x.others) > 0 {
		x.text = x.others.String()
	}
}
