package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"

	"stack/roles/db/store"
)

// The planner looks at the foreign keys of a table, and at those that name it, with each clause that drops or changes a
// column. It takes the columns of the one end for those of the other, and the type of the column that AFTER names for
// that of the changed one. Here these clauses see no foreign keys, and ALTER TABLE looks at what has become of them.

// keyEnd is what a foreign key has of a table, which is its child or its parent.
type keyEnd struct {
	key      gms.ForeignKeyConstraint
	parent   bool
	columns  []string
	missing  string // one of the columns that is not there
	index    string // over the columns, empty: there is none
	nullable bool   // all columns
}

// refuseLostKeys refuses an ALTER TABLE that takes from a foreign key a column, its type or the index over them. Without
// foreign_key_checks the columns alone must stay, as in MySQL.
func (a *alteration) refuseLostKeys(ctx *gms.Context) error {
	after, err := a.s.keyEnds(ctx, a.s.catalog(), a.to)
	if err != nil || len(after) == 0 {
		return err
	}
	before, err := a.s.keyEnds(ctx, a.s.engine.db.Catalog(), a.table)
	if err != nil {
		return err
	}
	unchecked := a.s.isOff("foreign_key_checks")
	for at, now := range after {
		was := before[at]
		if was == nil || was.missing != "" {
			continue
		}
		if err := a.refuseLostEnd(was, now, unchecked); err != nil {
			return err
		}
	}
	return nil
}

// refuseLostEnd looks at one foreign key.
func (a *alteration) refuseLostEnd(was, now *keyEnd, unchecked bool) error {
	name := now.key.Name
	switch {
	case now.missing != "" && now.parent:
		return mysqlError(1829, "Cannot drop column '%s': needed in a foreign key constraint '%s' of table '%s'", now.missing, name, now.key.Table)
	case now.missing != "":
		return mysqlError(1828, "Cannot drop column '%s': needed in a foreign key constraint '%s'", now.missing, name)
	case !now.parent && was.nullable && !now.nullable && (now.key.OnDelete == gms.ForeignKeyReferentialAction_SetNull || now.key.OnUpdate == gms.ForeignKeyReferentialAction_SetNull):
		return mysqlError(1830, "A column of foreign key constraint '%s' cannot be NOT NULL: it is SET NULL", name)
	case unchecked:
		return nil
	case was.index != "" && now.index == "":
		return mysqlError(1553, "Cannot drop index '%s': needed in a foreign key constraint", was.index)
	}
	for _, column := range now.columns {
		if a.keepsType(column) {
			continue
		}
		if now.parent {
			return mysqlError(1833, "Cannot change column '%s': used in a foreign key constraint '%s' of table '%s.%s'", column, name, now.key.Database, now.key.Table)
		}
		return mysqlError(1832, "Cannot change column '%s': used in a foreign key constraint '%s'", column, name)
	}
	return nil
}

// keepsType says whether a column of what the table becomes compares with others as it did. Texts may get longer.
func (a *alteration) keepsType(column string) bool {
	at := columnNamed(a.to.Desc, column)
	old, from := a.table.Desc.Column(a.to.Desc.Columns[at].ID)
	if old == nil || old.Type.Equal(a.to.Desc.Columns[at].Type) {
		return true
	}
	was, isText := a.table.Types[from].(gms.StringType)
	is, stays := a.to.Types[at].(gms.StringType)
	return isText && stays && was.Type() == is.Type() && was.Collation() == is.Collation() && was.MaxCharacterLength() <= is.MaxCharacterLength()
}

// keyEnds are the ends of foreign keys that are in a table of a catalog.
func (s *Session) keyEnds(ctx *gms.Context, cat *store.Catalog, t *store.Table) (map[string]*keyEnd, error) {
	ends := map[string]*keyEnd{}
	table := newTable(&Database{engine: s.engine, name: t.Desc.Database}, t)
	add := func(key gms.ForeignKeyConstraint, parent bool) error {
		end := &keyEnd{key: key, parent: parent, columns: key.Columns, nullable: true}
		at := "child of " + strings.ToLower(key.Name)
		if parent {
			end.columns, at = key.ParentColumns, "parent of "+strings.ToLower(key.Database+"."+key.Name)
		}
		ends[at] = end
		for _, c := range end.columns {
			i := columnNamed(t.Desc, c)
			if i < 0 {
				end.missing = c
				return nil
			}
			end.nullable = end.nullable && t.Desc.Columns[i].Nullable
		}
		index, found, err := plan.FindFKIndexWithPrefix(ctx, table, end.columns, parent)
		if found {
			end.index = index.ID()
		}
		return err
	}
	for i := range t.Desc.ForeignKeys {
		if err := add(constraint(t.Desc, &t.Desc.ForeignKeys[i]), false); err != nil {
			return nil, err
		}
	}
	for _, key := range s.engine.references.of(cat, t.Desc.Database, t.Desc.Name) {
		if err := add(key, true); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

// besideKeys builds a clause of an ALTER TABLE that sees no foreign keys.
func (b distinctBuilder) besideKeys(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil || s.alter == nil {
		return nil, err
	}
	defer s.hideKeys()()
	rows, err := b.plain(ctx, n, row)
	if err != nil {
		return nil, err
	}
	return &besideKeys{rows, s}, nil
}

// besideKeys runs such a clause.
type besideKeys struct {
	gms.RowIter
	session *Session
}

// Next runs it on.
func (r *besideKeys) Next(ctx *gms.Context) (gms.Row, error) {
	defer r.session.hideKeys()()
	return r.RowIter.Next(ctx)
}

// hideKeys hides foreign keys from the planner until what it returns is called.
func (s *Session) hideKeys() func() {
	s.keysHidden = true
	return func() { s.keysHidden = false }
}
