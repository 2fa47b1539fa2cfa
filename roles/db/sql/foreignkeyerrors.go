package sql

import (
	"fmt"
	"regexp"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// What the planner says of foreign keys that a statement would violate. It names the key and tables without
// their databases.
var (
	keyViolated  = regexp.MustCompile("- Foreign key violation on fk: `(.*)`, table: `(.*)`, referenced table: `(.*?)`, key: `")
	keyOfDropped = regexp.MustCompile("^cannot drop table `(.*)` as it is referenced in foreign key `(.*)`$")
)

// foreignKeyError is MySQL's error for a foreign key that a statement would violate, which clients read the name
// of the constraint and its definition from; nil for other errors.
func (s *Session) foreignKeyError(err error) error {
	err = gms.UnwrapError(err)
	switch {
	case gms.ErrForeignKeyChildViolation.Is(err):
		if t, fk := s.violated(keyViolated, err, 2, 1, 3); fk != nil {
			return mysqlError(1452, "Cannot add or update a child row: a foreign key constraint fails (%s)", violatedText(t, fk))
		}
	case gms.ErrForeignKeyParentViolation.Is(err):
		if t, fk := s.violated(keyViolated, err, 2, 1, 3); fk != nil {
			return mysqlError(1451, "Cannot delete or update a parent row: a foreign key constraint fails (%s)", violatedText(t, fk))
		}
	case gms.ErrForeignKeyDropTable.Is(err):
		if t, fk := s.violated(keyOfDropped, err, 0, 2, 1); fk != nil {
			return mysqlError(3730, "Cannot drop table '%s' referenced by a foreign key constraint '%s' on table '%s'.", fk.ParentTable, fk.Name, t.Name)
		}
	}
	return nil
}

// violated finds the foreign key that an error's text names, first in the current database. child, key and
// parent are where the text has their names; without child any table may have the key.
func (s *Session) violated(text *regexp.Regexp, err error, child, key, parent int) (*store.TableDesc, *store.ForeignKeyDesc) {
	names := text.FindStringSubmatch(err.Error())
	if names == nil {
		return nil, nil
	}
	catalog := s.catalog()
	databases := []string{s.GetCurrentDatabase()}
	for _, d := range catalog.Databases() {
		databases = append(databases, d.Name)
	}
	for _, database := range databases {
		for _, t := range catalog.Tables(database) {
			if child > 0 && !strings.EqualFold(t.Desc.Name, names[child]) {
				continue
			}
			for i := range t.Desc.ForeignKeys {
				fk := &t.Desc.ForeignKeys[i]
				if strings.EqualFold(fk.Name, names[key]) && strings.EqualFold(fk.ParentTable, names[parent]) {
					return t.Desc, fk
				}
			}
		}
	}
	return nil, nil
}

// violatedText is a table and its foreign key as MySQL's errors show them.
func violatedText(t *store.TableDesc, fk *store.ForeignKeyDesc) string {
	parent := QuoteName(fk.ParentTable)
	if !strings.EqualFold(fk.ParentDatabase, t.Database) {
		parent = QuoteName(fk.ParentDatabase) + "." + parent
	}
	text := fmt.Sprintf("%s.%s, CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)", QuoteName(t.Database), QuoteName(t.Name), QuoteName(fk.Name),
		quoteNames(fk.Columns), parent, quoteNames(fk.ParentColumns))
	for _, action := range []struct{ on, does string }{{"DELETE", fk.OnDelete}, {"UPDATE", fk.OnUpdate}} {
		switch gms.ForeignKeyReferentialAction(action.does) {
		case gms.ForeignKeyReferentialAction_Cascade, gms.ForeignKeyReferentialAction_SetNull, gms.ForeignKeyReferentialAction_NoAction:
			text += " ON " + action.on + " " + action.does
		}
	}
	return text
}

func quoteNames(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = QuoteName(name)
	}
	return strings.Join(list, ", ")
}
