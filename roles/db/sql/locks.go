package sql

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// locksShown bounds the locks that monitoring is told of.
const locksShown = 20_000

// openTransaction is what monitoring is told of a transaction.
type openTransaction struct {
	connection uint32
	begun      time.Time
	statement  string // that runs, empty between them
	writes     int64  // rows
	locks      uint64 // of rows and of ranges of an index
	tables     uint64 // whose definitions it keeps
	level      string
	waitsSince time.Time // zero: it does not wait
	waits      txn.LockedKeys
}

// transactions are those that are open, in the order of their connections.
func (e *Engine) transactions() []openTransaction {
	byClient, single := map[uint32]*openTransaction{}, map[uint32]bool{}
	e.mu.Lock()
	for id, s := range e.sessions {
		tx := s.shown.Load()
		if tx == nil {
			continue
		}
		t := &openTransaction{connection: id, begun: time.Unix(0, s.begun.Load()), writes: tx.Writes(), level: levelNames[tx.Isolation()]}
		if text := s.doing.Statement.Load(); text != nil {
			t.statement = *text
		}
		single[id] = s.single.Load()
		byClient[id] = t
	}
	e.mu.Unlock()
	for _, l := range e.db.Locks(locksShown) {
		t := byClient[l.Client]
		switch {
		case t == nil:
		case l.Waiting:
			t.waits, t.waitsSince = l, l.Since
		case l.Index != 0:
			t.locks++
		case l.Table != 0:
			t.tables++
		}
	}
	list := make([]openTransaction, 0, len(byClient))
	for id, t := range byClient {
		// A read of its own is no more than a view.
		if !single[id] || t.writes > 0 || t.locks > 0 || t.tables > 0 || !t.waitsSince.IsZero() {
			list = append(list, *t)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].connection < list[j].connection })
	return list
}

// levelNames are the isolation levels as innodb_trx shows them.
var levelNames = map[txn.Isolation]string{txn.RepeatableRead: "REPEATABLE READ", txn.ReadCommitted: "READ COMMITTED", txn.Serializable: "SERIALIZABLE"}

// lockNames finds the names of what is locked.
type lockNames struct {
	tables  map[uint32]*store.Table
	indexes map[uint32]struct {
		table *store.Table
		name  string
	}
}

func namesOf(c *store.Catalog) *lockNames {
	n := &lockNames{tables: map[uint32]*store.Table{}, indexes: map[uint32]struct {
		table *store.Table
		name  string
	}{}}
	for _, d := range c.Databases() {
		for _, t := range c.Tables(d.Name) {
			n.tables[t.Desc.ID] = t
			n.indexes[t.Primary.Desc.ID] = struct {
				table *store.Table
				name  string
			}{t, "PRIMARY"}
			for _, ix := range t.Indexes {
				n.indexes[ix.Desc.ID] = struct {
					table *store.Table
					name  string
				}{t, ix.Desc.Name}
			}
		}
	}
	return n
}

// of are database, table and index of a lock; nil for what has no name.
func (n *lockNames) of(l *txn.LockedKeys) (database, table, index any) {
	t := n.tables[l.Table]
	if l.Index != 0 {
		ix := n.indexes[l.Index]
		if t = ix.table; t != nil {
			index = ix.name
		}
	}
	if t == nil {
		return nil, nil, nil
	}
	return t.Desc.Database, t.Desc.Name, index
}

// keyText is a key of an index without the prefix that all have, in hexadecimal.
func keyText(key []byte) string {
	return "0x" + hex.EncodeToString(key[min(len(key), store.IndexPrefixLen):])
}

func lockData(l *txn.LockedKeys) any {
	switch {
	case l.Index == 0:
		return nil
	case l.Point:
		return keyText(l.Start)
	}
	return "from " + keyText(l.Start) + " to " + keyText(l.End)
}

// lockID names a lock.
func lockID(connection uint32, l txn.LockedKeys) string {
	key := ""
	if l.Index != 0 {
		key = ":" + keyText(l.Start)
	}
	return clipText(fmt.Sprintf("%d:%d:%d%s", connection, l.Table, l.Index, key), 105)
}

func lockColumns(table string) gms.Schema {
	return virtualColumns(table, types.LongText, "ENGINE", "ENGINE_LOCK_ID", "#ENGINE_TRANSACTION_ID", "#THREAD_ID", "OBJECT_SCHEMA", "OBJECT_NAME",
		"PARTITION_NAME", "SUBPARTITION_NAME", "INDEX_NAME", "LOCK_TYPE", "LOCK_MODE", "LOCK_STATUS", "LOCK_DATA")
}

// lockRows is performance_schema.data_locks.
func lockRows(ctx *gms.Context) ([]gms.Row, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	names := namesOf(s.engine.Catalog())
	var rows []gms.Row
	for _, l := range s.engine.db.Locks(locksShown) {
		database, table, index := names.of(&l)
		kind, status := "RECORD", "GRANTED"
		if l.Index == 0 {
			kind = "TABLE"
		}
		if l.Waiting {
			status = "WAITING"
		}
		rows = append(rows, gms.Row{"INNODB", lockID(l.Client, l), uint64(l.Client), uint64(l.Client), database, table, nil, nil, index,
			kind, l.Mode.String(), status, lockData(&l)})
	}
	return rows, nil
}

func lockWaitColumns(table string) gms.Schema {
	return virtualColumns(table, types.LongText, "ENGINE", "REQUESTING_ENGINE_LOCK_ID", "#REQUESTING_ENGINE_TRANSACTION_ID", "#REQUESTING_THREAD_ID",
		"BLOCKING_ENGINE_LOCK_ID", "#BLOCKING_ENGINE_TRANSACTION_ID", "#BLOCKING_THREAD_ID")
}

// lockWaitRows is performance_schema.data_lock_waits.
func lockWaitRows(ctx *gms.Context) ([]gms.Row, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var rows []gms.Row
	for _, l := range s.engine.db.Locks(locksShown) {
		for _, by := range l.For {
			rows = append(rows, gms.Row{"INNODB", lockID(l.Client, l), uint64(l.Client), uint64(l.Client), lockID(by, l), uint64(by), uint64(by)})
		}
	}
	return rows, nil
}

// lockText describes a lock in words.
func (n *lockNames) lockText(l *txn.LockedKeys) string {
	var b strings.Builder
	b.WriteString(l.Mode.String() + " lock on ")
	switch database, table, index := n.of(l); {
	case table == nil && l.Index == 0 && l.Table == 0:
		b.WriteString("the catalog")
	case table == nil:
		b.WriteString("a table that is gone")
	case index == nil:
		fmt.Fprintf(&b, "the definition of table `%s`.`%s`", database, table)
	case l.Point:
		fmt.Fprintf(&b, "key %s of index %s of table `%s`.`%s`", keyText(l.Start), index, database, table)
	default:
		fmt.Fprintf(&b, "the keys from %s to %s of index %s of table `%s`.`%s`", keyText(l.Start), keyText(l.End), index, database, table)
	}
	return b.String()
}
