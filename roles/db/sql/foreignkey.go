package sql

import (
	"strings"
	"sync/atomic"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// constraint is a foreign key as the planner has it. To the planner all are resolved: with one that
// is not, made under foreign_key_checks = 0, the first statement that writes would look at all
// rows, and keep the table and the catalog until its end. As in MySQL nobody looks at such rows.
func constraint(t *store.TableDesc, f *store.ForeignKeyDesc) gms.ForeignKeyConstraint {
	return gms.ForeignKeyConstraint{
		Name:           f.Name,
		Database:       t.Database,
		Table:          t.Name,
		ParentDatabase: f.ParentDatabase,
		ParentTable:    f.ParentTable,
		Columns:        append([]string(nil), f.Columns...),
		ParentColumns:  append([]string(nil), f.ParentColumns...),
		OnUpdate:       gms.ForeignKeyReferentialAction(f.OnUpdate),
		OnDelete:       gms.ForeignKeyReferentialAction(f.OnDelete),
		IsResolved:     true,
	}
}

func foreignKeyDesc(f gms.ForeignKeyConstraint) store.ForeignKeyDesc {
	return store.ForeignKeyDesc{
		Name:           f.Name,
		Columns:        append([]string(nil), f.Columns...),
		ParentDatabase: f.ParentDatabase,
		ParentTable:    f.ParentTable,
		ParentColumns:  append([]string(nil), f.ParentColumns...),
		OnUpdate:       string(f.OnUpdate),
		OnDelete:       string(f.OnDelete),
		Resolved:       f.IsResolved,
	}
}

// GetDeclaredForeignKeys returns the foreign keys of this table.
func (t *Table) GetDeclaredForeignKeys(ctx *gms.Context) ([]gms.ForeignKeyConstraint, error) {
	if s, err := sessionOf(ctx); err != nil || s.keysHidden {
		return nil, err
	}
	var list []gms.ForeignKeyConstraint
	for i := range t.stored.Desc.ForeignKeys {
		list = append(list, constraint(t.stored.Desc, &t.stored.Desc.ForeignKeys[i]))
	}
	return list, nil
}

// GetReferencedForeignKeys returns the foreign keys of any table that name this one. None means a
// temporary table, whose name may be that of one they do.
func (t *Table) GetReferencedForeignKeys(ctx *gms.Context) ([]gms.ForeignKeyConstraint, error) {
	s, err := sessionOf(ctx)
	if err != nil || s.keysHidden || t.IsTemporary() {
		return nil, err
	}
	return s.engine.references.of(s.catalog(), t.db.name, t.name), nil
}

// AddForeignKey declares a foreign key; the planner has checked columns and rows.
func (t *Table) AddForeignKey(ctx *gms.Context, fk gms.ForeignKeyConstraint) error {
	if fk.OnUpdate == gms.ForeignKeyReferentialAction_SetDefault || fk.OnDelete == gms.ForeignKeyReferentialAction_SetDefault {
		return gms.ErrForeignKeySetDefault.New() // the planner asks only with its own parser
	}
	return t.alter(ctx, func(desc *store.TableDesc) error {
		s, err := sessionOf(ctx)
		if err != nil {
			return err
		}
		for _, other := range s.catalog().Tables(t.db.name) {
			for _, f := range other.Desc.ForeignKeys {
				if strings.EqualFold(f.Name, fk.Name) {
					return gms.ErrForeignKeyDuplicateName.New(fk.Name)
				}
			}
		}
		desc.ForeignKeys = append(desc.ForeignKeys, foreignKeyDesc(fk))
		return s.touchParent(ctx, t, fk)
	})
}

// touchParent makes statements over the parent that are under way notice a new foreign key.
func (s *Session) touchParent(ctx *gms.Context, child *Table, fk gms.ForeignKeyConstraint) error {
	parent := findTable(s.catalog(), fk.ParentDatabase, fk.ParentTable)
	if parent == nil || parent.Desc.ID == child.stored.Desc.ID {
		return nil
	}
	_, err := s.tx.TouchTable(ctx, parent)
	return err
}

// DropForeignKey removes a foreign key.
func (t *Table) DropForeignKey(ctx *gms.Context, name, _, _ string) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		for i, f := range desc.ForeignKeys {
			if strings.EqualFold(f.Name, name) {
				desc.ForeignKeys = append(desc.ForeignKeys[:i:i], desc.ForeignKeys[i+1:]...)
				return nil
			}
		}
		return gms.ErrForeignKeyNotFound.New(name, t.name)
	})
}

// UpdateForeignKey replaces a foreign key.
func (t *Table) UpdateForeignKey(ctx *gms.Context, name string, fk gms.ForeignKeyConstraint) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		for i, f := range desc.ForeignKeys {
			if strings.EqualFold(f.Name, name) {
				desc.ForeignKeys[i] = foreignKeyDesc(fk)
				desc.ForeignKeys[i].Resolved = f.Resolved
				return nil
			}
		}
		return gms.ErrForeignKeyNotFound.New(name, t.name)
	})
}

// references finds who names a table in a foreign key. It keeps the answer for the
// last committed catalog it was asked about.
type references struct {
	last atomic.Pointer[referenceMap]
}

type referenceMap struct {
	catalog *store.Catalog
	parents map[[2]string][]gms.ForeignKeyConstraint
}

func (r *references) of(cat *store.Catalog, database, table string) []gms.ForeignKeyConstraint {
	m := r.last.Load()
	if m == nil || m.catalog != cat {
		m = &referenceMap{catalog: cat, parents: map[[2]string][]gms.ForeignKeyConstraint{}}
		for _, d := range cat.Databases() {
			for _, t := range cat.Tables(d.Name) {
				for i := range t.Desc.ForeignKeys {
					f := &t.Desc.ForeignKeys[i]
					key := referenceKey(f.ParentDatabase, f.ParentTable)
					m.parents[key] = append(m.parents[key], constraint(t.Desc, f))
				}
			}
		}
		r.last.Store(m)
	}
	found := m.parents[referenceKey(database, table)]
	list := make([]gms.ForeignKeyConstraint, len(found))
	for i, f := range found {
		// The planner writes into the column lists on a rename.
		f.Columns = append([]string(nil), f.Columns...)
		f.ParentColumns = append([]string(nil), f.ParentColumns...)
		list[i] = f
	}
	return list
}

func referenceKey(database, table string) [2]string {
	return [2]string{strings.ToLower(database), strings.ToLower(table)}
}

// refuseReferencedFromOutside keeps a database that another one's foreign keys name.
func (s *Session) refuseReferencedFromOutside(database string) error {
	cat := s.catalog()
	for _, t := range cat.Tables(database) {
		for _, f := range s.engine.references.of(cat, database, t.Desc.Name) {
			if !strings.EqualFold(f.Database, database) {
				return mysqlError(3730, "Cannot drop table '%s' referenced by a foreign key constraint '%s' on table '%s'.",
					t.Desc.Name, f.Name, f.Table)
			}
		}
	}
	return nil
}
