package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// moveTables takes over RENAME TABLE where a table goes into another database, which the
// planner cannot; nil for everything else.
func moveTables(st sqlparser.Statement) *ownStatement {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.Action != sqlparser.RenameStr {
		return nil
	}
	moves := false
	for i := range ddl.FromTables {
		if i < len(ddl.ToTables) && ddl.FromTables[i].DbQualifier.String() != ddl.ToTables[i].DbQualifier.String() {
			moves = true
		}
	}
	if !moves {
		return nil
	}
	tables := append(ddl.FromTables[:len(ddl.FromTables):len(ddl.FromTables)], ddl.ToTables...)
	return own(kindDDL, tables, func(ctx *gms.Context, s *Session, out sink) error {
		h := s.engine.gms.Analyzer.Catalog.AuthorizationHandler()
		if err := h.HandleAuth(ctx, h.NewQueryState(ctx), ddl.Auth); err != nil {
			return err
		}
		for i, from := range ddl.FromTables {
			if err := s.moveTable(ctx, from, ddl.ToTables[i]); err != nil {
				return err
			}
		}
		out.OK(0, 0, "")
		return nil
	})
}

func (s *Session) moveTable(ctx *gms.Context, from, to sqlparser.TableName) error {
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
	if findObject(cat, objectView, source.Name, name) != nil && source.Name != target.Name {
		return mysqlError(1450, "Changing schema from '%s' to '%s' is not allowed.", source.Name, target.Name)
	}
	d := &Database{engine: s.engine, name: source.Name, desc: *source}
	if source.Name == target.Name {
		return d.RenameTable(ctx, name, goal)
	}
	st := findTable(cat, source.Name, name)
	if st == nil {
		return gms.ErrTableNotFound.New(source.Name + "." + name)
	}
	if cat.Table(target.Name, goal) != nil || cat.Object(objectView, target.Name, goal) != nil {
		return gms.ErrTableAlreadyExists.New(goal)
	}
	if has, err := s.hasTriggers(source.Name, st.Desc.Name); err != nil || has {
		if err == nil {
			err = mysqlError(1435, "Trigger in wrong schema")
		}
		return err
	}
	names := s.engine.references.of(cat, source.Name, st.Desc.Name)
	moved, err := s.tx.RenameTable(ctx, st, target.Name, goal)
	if err != nil {
		return err
	}
	return s.followMove(ctx, st, moved, names)
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
		d := findDatabase(s.catalog(), fk.Database)
		if err := newTable(&Database{engine: s.engine, name: d.Name, desc: *d}, child).UpdateForeignKey(ctx, fk.Name, fk); err != nil {
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
