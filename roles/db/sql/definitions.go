package sql

import (
	"cmp"
	"context"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// lockDefinitions readies the transaction for a statement that changes the catalog: it has
// the tables that the statement names, then the catalog, for itself. The tables come
// first, for waiting for one must not hold up the changes of all others.
func (s *Session) lockDefinitions(ctx *gms.Context, st sqlparser.Statement) error {
	names := s.changedTables(st)
	tables := tablesNamed(s.engine.db.Catalog(), names)
	// First behind whoever is changing one: that holds up no writer.
	if err := inOrder(tables, func(t *store.Table) error { return s.tx.LockChange(ctx, t) }); err != nil {
		return err
	}
	if err := lockInOrder(ctx, s.tx, tables); err != nil {
		return err
	}
	if err := s.tx.LockCatalog(ctx); err != nil {
		return err
	}
	// A name may have moved to another table meanwhile.
	if err := lockInOrder(ctx, s.tx, tablesNamed(s.catalog(), names)); err != nil {
		return err
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.TriggerSpec == nil || ddl.Action != sqlparser.CreateStr {
		return nil
	}
	// Statements over the table that were planned without the trigger are planned again.
	for _, t := range tablesNamed(s.catalog(), names) {
		if _, err := s.tx.TouchTable(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// changedTables lists the tables that a statement changes or removes.
func (s *Session) changedTables(st sqlparser.Statement) []tableName {
	var list []tableName
	add := func(t sqlparser.TableName) {
		db := t.DbQualifier.String()
		if db == "" {
			db = s.GetCurrentDatabase()
		}
		if !t.IsEmpty() && s.temporary[temporaryKey(db, t.Name.String())] == nil {
			list = append(list, tableName{db, t.Name.String()})
		}
	}
	switch st := st.(type) {
	case *sqlparser.DDL:
		add(st.Table)
		for _, t := range st.FromTables {
			add(t)
		}
	case *sqlparser.AlterTable:
		add(st.Table)
	}
	return list
}

func tablesNamed(cat *store.Catalog, names []tableName) []*store.Table {
	var list []*store.Table
	for _, n := range names {
		if d := findDatabase(cat, n.database); d != nil {
			if t := findTable(cat, d.Name, n.name); t != nil {
				list = append(list, t)
			}
		}
	}
	return list
}

// lockInOrder takes tables for the transaction alone, in an order that is everybody's.
func lockInOrder(ctx context.Context, tx *txn.Txn, tables []*store.Table) error {
	return inOrder(tables, func(t *store.Table) error { return tx.LockTable(ctx, t) })
}

func inOrder(tables []*store.Table, do func(*store.Table) error) error {
	tables = slices.Clone(tables)
	slices.SortFunc(tables, func(a, b *store.Table) int { return cmp.Compare(a.Desc.ID, b.Desc.ID) })
	for _, t := range tables {
		if err := do(t); err != nil {
			return err
		}
	}
	return nil
}

// insertedRows is how many rows an INSERT names, and of which table.
type insertedRows struct {
	table tableName
	rows  int
}

// insertedBy counts the rows in the VALUES of an INSERT or REPLACE.
func (s *Session) insertedBy(st sqlparser.Statement) insertedRows {
	insert, ok := st.(*sqlparser.Insert)
	if !ok {
		return insertedRows{}
	}
	var n int
	switch rows := insert.Rows.(type) {
	case sqlparser.Values:
		n = len(rows)
	case *sqlparser.AliasedValues:
		n = len(rows.Values)
	}
	names := s.tablesOf(insert)
	if n < 2 || len(names) == 0 {
		return insertedRows{}
	}
	return insertedRows{names[0], n}
}

// expect tells the transaction how many values the statement may need, so that they follow
// each other, as clients that know only the first count on. given says that the row brings
// its own.
func (i *insertedRows) expect(tx *txn.Txn, t *Table, given bool) {
	switch {
	case i.rows == 0 || !strings.EqualFold(t.name, i.table.name) || !strings.EqualFold(t.db.name, i.table.database):
	case given:
		i.rows--
	default:
		tx.ExpectAutoIncrement(t.stored, i.rows)
		i.rows = 0
	}
}

// keepDefinitions keeps the tables that a statement names as they are until the end of its
// transaction: one that changed while the statement was planned does not do so again.
func (s *Session) keepDefinitions(ctx *gms.Context, st sqlparser.Statement) error {
	names := s.tablesOf(st)
	var kept []*store.Table
	for {
		tables := tablesNamed(s.engine.db.Catalog(), names)
		if slices.Equal(tables, kept) {
			return nil
		}
		for _, t := range tables {
			if err := s.tx.KeepTable(ctx, t); err != nil {
				return err
			}
		}
		kept = tables
	}
}
