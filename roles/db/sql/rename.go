package sql

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// renameTables is RENAME TABLE, and the clause RENAME of ALTER TABLE, in and into the databases that the
// statement names: the planner renames in the current one, whatever it says.
func renameTables(ctx *gms.Context, n *plan.RenameTable) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	st := s.runningStatement()
	_, alters := st.(*sqlparser.AlterTable)
	for _, ddl := range clausesOf(st) {
		if ddl.Action != sqlparser.RenameStr || !slices.Equal(bareNames(ddl.FromTables), n.OldNames) || !slices.Equal(bareNames(ddl.ToTables), n.NewNames) {
			continue
		}
		for i, from := range ddl.FromTables {
			if err := s.moveTable(ctx, from, ddl.ToTables[i], alters); err != nil {
				return nil, err
			}
		}
		return gms.RowsToRowIter(gms.NewRow(types.NewOkResult(0))), nil
	}
	return nil, fmt.Errorf("rename tables %v: the running statement, a %T, names others", n.OldNames, st)
}

func bareNames(tables sqlparser.TableNames) []string {
	var names []string
	for _, t := range tables {
		names = append(names, t.Name.String())
	}
	return names
}

// renameLast puts the clause RENAME of an ALTER TABLE behind the others, which name the table as it was.
func renameLast(st *sqlparser.AlterTable) {
	rank := func(d *sqlparser.DDL) int {
		if d.Action == sqlparser.RenameStr {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(st.Statements, func(a, b *sqlparser.DDL) int { return cmp.Compare(rank(a), rank(b)) })
}

// renamedDatabase is the database of the first table that a statement renames, empty where one of its names says
// none. In it the planner renames.
func renamedDatabase(st sqlparser.Statement) string {
	database := ""
	for _, ddl := range clausesOf(st) {
		if ddl.Action != sqlparser.RenameStr {
			continue
		}
		for _, t := range slices.Concat(ddl.FromTables, ddl.ToTables) {
			if t.DbQualifier.IsEmpty() {
				return ""
			}
			database = cmp.Or(database, t.DbQualifier.String())
		}
	}
	return database
}

// moveTable gives a table another name, in its database or another, with the foreign keys that name it and
// its triggers; or a view, but for an ALTER TABLE.
func (s *Session) moveTable(ctx *gms.Context, from, to sqlparser.TableName, alters bool) error {
	source, err := s.databaseOf(from)
	if err != nil {
		return err
	}
	target, err := s.databaseOf(to)
	if err != nil {
		return err
	}
	cat := s.catalog()
	name, goal := from.Name.String(), to.Name.String()
	st := findTable(cat, source.Name, name)
	view := findObject(cat, objectView, source.Name, name)
	switch {
	case alters && s.temporaryTable(source.Name, name) != nil:
		return notAvailable("RENAME of a temporary table")
	case st == nil && view == nil:
		return gms.ErrTableNotFound.New(source.Name + "." + name)
	case st == nil && alters:
		return gms.ErrExpectedTableFoundView.New(source.Name + "." + name)
	case st == nil && source.Name != target.Name:
		return mysqlError(1450, "Changing schema from '%s' to '%s' is not allowed.", source.Name, target.Name)
	case cat.Table(target.Name, goal) != nil || cat.Object(objectView, target.Name, goal) != nil:
		return gms.ErrTableAlreadyExists.New(goal)
	case st == nil:
		return s.renameView(ctx, view, goal)
	}
	if source.Name != target.Name {
		if has, err := s.hasTriggers(source.Name, st.Desc.Name); err != nil || has {
			if err == nil {
				err = mysqlError(1435, "Trigger in wrong schema")
			}
			return err
		}
	}
	names := s.engine.references.of(cat, source.Name, st.Desc.Name)
	moved, err := s.tx.RenameTable(ctx, st, target.Name, goal)
	if err != nil {
		return err
	}
	if err := s.followMove(ctx, st, moved, names); err != nil {
		return err
	}
	if err := s.renameKeys(ctx, st, moved); err != nil {
		return err
	}
	return s.renameInTriggers(ctx, source.Name, st.Desc.Name, goal)
}

func (s *Session) renameView(ctx *gms.Context, view *store.Object, name string) error {
	renamed := *view
	renamed.Name = name
	if err := s.tx.DeleteObject(ctx, view.Kind, view.Database, view.Name); err != nil {
		return err
	}
	return s.tx.PutObject(ctx, renamed)
}

// renameKeys calls the foreign keys of a renamed table that have their names from it by the new one, as MySQL does.
func (s *Session) renameKeys(ctx *gms.Context, was, now *store.Table) error {
	made := was.Desc.Name + "_ibfk_"
	named := func(fk store.ForeignKeyDesc) bool {
		return len(fk.Name) > len(made) && strings.EqualFold(fk.Name[:len(made)], made)
	}
	if !slices.ContainsFunc(was.Desc.ForeignKeys, named) {
		return nil
	}
	return s.tableOf(now).alter(ctx, func(desc *store.TableDesc) error {
		for i, fk := range desc.ForeignKeys {
			if named(fk) {
				desc.ForeignKeys[i].Name = now.Desc.Name + "_ibfk_" + fk.Name[len(made):]
			}
		}
		return nil
	})
}

// tableOf is a stored table as the planner has it.
func (s *Session) tableOf(t *store.Table) *Table {
	d := findDatabase(s.catalog(), t.Desc.Database)
	return newTable(&Database{engine: s.engine, name: d.Name, desc: *d}, t)
}

// followMove makes the foreign keys that named a table name it where it is now.
func (s *Session) followMove(ctx *gms.Context, was, now *store.Table, keys []gms.ForeignKeyConstraint) error {
	for _, fk := range keys {
		if fk.Database == was.Desc.Database && fk.Table == was.Desc.Name {
			fk.Database, fk.Table = now.Desc.Database, now.Desc.Name
		}
		fk.ParentDatabase, fk.ParentTable = now.Desc.Database, now.Desc.Name
		child := findTable(s.catalog(), fk.Database, fk.Table)
		if child == nil {
			continue
		}
		if err := s.tableOf(child).UpdateForeignKey(ctx, fk.Name, fk); err != nil {
			return err
		}
	}
	return nil
}

// databaseOf is the database of a table's name.
func (s *Session) databaseOf(t sqlparser.TableName) (*store.DatabaseDesc, error) {
	name := t.DbQualifier.String()
	if name == "" {
		name = s.GetCurrentDatabase()
	}
	if name == "" {
		return nil, gms.ErrNoDatabaseSelected.New()
	}
	d := findDatabase(s.catalog(), name)
	if d == nil {
		return nil, gms.ErrDatabaseNotFound.New(name)
	}
	return d, nil
}

// hasTriggers says whether a table has triggers.
func (s *Session) hasTriggers(database, table string) (bool, error) {
	for _, o := range s.catalog().Objects(objectTrigger, database) {
		if name, err := triggerTable(o); err != nil || strings.EqualFold(name, table) {
			return err == nil, err
		}
	}
	return false, nil
}
