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
// the tables whose definitions change, then the catalog, for itself.
func (s *Session) lockDefinitions(ctx *gms.Context, st sqlparser.Statement) error {
	st = s.unprepared(st)
	if _, err := s.tx.LockDefinitions(ctx, s.definitionsOf(st)); err != nil {
		return err
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.TriggerSpec == nil || ddl.Action != sqlparser.CreateStr {
		return nil
	}
	// Statements over the table that were planned without the trigger are planned again.
	for _, t := range tablesNamed(s.catalog(), s.changedTables(st)) {
		if _, err := s.tx.TouchTable(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// unprepared is the statement that an EXECUTE runs, each other one itself.
func (s *Session) unprepared(st sqlparser.Statement) sqlparser.Statement {
	if ex, ok := st.(*sqlparser.Execute); ok {
		st, _ = s.BaseSession.GetPreparedQuery(ex.Name)
	}
	return st
}

// definitionsOf gives, for a catalog, the tables whose definitions a statement changes: those
// that it names first, then those that it touches over foreign keys, or all of a database.
func (s *Session) definitionsOf(st sqlparser.Statement) func(*store.Catalog) []*store.Table {
	names := s.changedTables(st)
	return func(cat *store.Catalog) []*store.Table {
		if d, ok := st.(*sqlparser.DBDDL); ok && d.Action == sqlparser.DropStr {
			if found := findDatabase(cat, d.DBName); found != nil {
				return cat.Tables(found.Name)
			}
			return nil
		}
		named := tablesNamed(cat, names)
		list := append(named[:len(named):len(named)], tablesNamed(cat, s.namedParents(st))...)
		for _, t := range named {
			for _, fk := range s.engine.references.of(cat, t.Desc.Database, t.Desc.Name) {
				if child := findTable(cat, fk.Database, fk.Table); child != nil && renamesParent(st, &fk) {
					list = append(list, child)
				}
			}
		}
		return list
	}
}

// clausesOf are the changes that a statement makes of a table's definition.
func clausesOf(st sqlparser.Statement) []*sqlparser.DDL {
	switch st := st.(type) {
	case *sqlparser.DDL:
		return []*sqlparser.DDL{st}
	case *sqlparser.AlterTable:
		return st.Statements
	}
	return nil
}

// namedParents lists the tables that a statement's new foreign keys name.
func (s *Session) namedParents(st sqlparser.Statement) []tableName {
	var list []tableName
	database := ""
	for _, t := range s.changedTables(st) {
		database = t.database
	}
	for _, ddl := range clausesOf(st) {
		if ddl.TableSpec == nil {
			continue
		}
		for _, c := range ddl.TableSpec.Constraints {
			if fk, ok := c.Details.(*sqlparser.ForeignKeyDefinition); ok {
				list = append(list, s.inDatabase(fk.ReferencedTable, database))
			}
		}
	}
	return list
}

// qualifyParents says of foreign keys that name their parent without a database that it is in the database of
// the table which is made or altered; the planner takes the current one.
func qualifyParents(st sqlparser.Statement) {
	alter, _ := st.(*sqlparser.AlterTable)
	for _, ddl := range clausesOf(st) {
		table := ddl.Table
		if alter != nil {
			table = alter.Table
		}
		if ddl.TableSpec == nil || table.DbQualifier.IsEmpty() {
			continue
		}
		for _, c := range ddl.TableSpec.Constraints {
			if fk, ok := c.Details.(*sqlparser.ForeignKeyDefinition); ok && fk.ReferencedTable.DbQualifier.IsEmpty() {
				fk.ReferencedTable.DbQualifier = table.DbQualifier
			}
		}
	}
}

// inDatabase is a table's name with its database: the one given where it has none, else the
// current one.
func (s *Session) inDatabase(t sqlparser.TableName, database string) tableName {
	for _, db := range []string{t.DbQualifier.String(), database} {
		if db != "" {
			return tableName{db, t.Name.String()}
		}
	}
	return tableName{s.GetCurrentDatabase(), t.Name.String()}
}

// renamesParent says whether a statement gives a foreign key's parent, or a column of it that
// the key names, another name.
func renamesParent(st sqlparser.Statement, fk *gms.ForeignKeyConstraint) bool {
	return slices.ContainsFunc(clausesOf(st), func(ddl *sqlparser.DDL) bool {
		switch {
		case ddl.Action == sqlparser.RenameStr:
			return true
		case ddl.ColumnAction == sqlparser.RenameStr || ddl.ColumnAction == sqlparser.ChangeStr:
			return slices.ContainsFunc(fk.ParentColumns, func(c string) bool { return strings.EqualFold(c, ddl.Column.String()) })
		}
		return false
	})
}

// changedTables lists the tables that a statement changes or removes.
func (s *Session) changedTables(st sqlparser.Statement) []tableName {
	var list []tableName
	add := func(t sqlparser.TableName) {
		name := s.inDatabase(t, "")
		if !t.IsEmpty() && s.temporary[temporaryKey(name.database, name.name)] == nil {
			list = append(list, name)
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
	case *ownStatement:
		for _, t := range st.tables {
			add(t)
		}
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
