package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// Database is a database of the catalog within one statement.
type Database struct {
	engine *Engine
	name   string
	desc   store.DatabaseDesc
}

var (
	_ gms.Database               = (*Database)(nil)
	_ gms.TableCreator           = (*Database)(nil)
	_ gms.IndexedTableCreator    = (*Database)(nil)
	_ gms.TableDropper           = (*Database)(nil)
	_ gms.CollatedDatabase       = (*Database)(nil)
	_ gms.ViewDatabase           = (*Database)(nil)
	_ gms.TriggerDatabase        = (*Database)(nil)
	_ gms.TemporaryTableCreator  = (*Database)(nil)
	_ gms.TemporaryTableDatabase = (*Database)(nil)
	_ gms.SchemaValidator        = (*Database)(nil)
	_ gms.VersionedDatabase      = (*Database)(nil)
)

// Name is the database's name.
func (d *Database) Name() string { return d.name }

// GetCollation is the default of the database's tables.
func (d *Database) GetCollation(*gms.Context) gms.CollationID {
	return gms.CollationID(d.desc.Collation)
}

// SetCollation changes the default of tables made later.
func (d *Database) SetCollation(ctx *gms.Context, collation gms.CollationID) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	d.desc.Collation = uint16(collation)
	return s.tx.PutDatabase(ctx, d.desc)
}

// GetTableInsensitive returns a table: the session's temporary one of this name, else
// the stored one of exactly this name, else the only one that differs in case.
func (d *Database) GetTableInsensitive(ctx *gms.Context, name string) (gms.Table, bool, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, false, err
	}
	if t := s.temporaryTable(d.name, name); t != nil {
		return t, true, nil
	}
	st := findTable(s.catalog(), d.name, name)
	if st == nil {
		return nil, false, nil
	}
	t := newTable(d, st)
	if len(st.Narrow) > 0 && s.showsTypes() {
		t.showTypes()
	}
	return t, true, nil
}

// GetTableInsensitiveAsOf returns a table whose rows are to be locked: AS OF means nothing
// else here.
func (d *Database) GetTableInsensitiveAsOf(ctx *gms.Context, name string, asOf any) (gms.Table, bool, error) {
	marker, _ := asOf.(string)
	lock, ok := lockMarkers[marker]
	if !ok {
		return nil, false, notAvailable("AS OF")
	}
	t, ok, err := d.GetTableInsensitive(ctx, name)
	if stored, isStored := t.(*Table); isStored {
		stored.lock = &lock
	}
	return t, ok, err
}

// GetTableNamesAsOf returns the names of the stored tables.
func (d *Database) GetTableNamesAsOf(ctx *gms.Context, _ any) ([]string, error) {
	return d.GetTableNames(ctx)
}

func findTable(cat *store.Catalog, database, name string) *store.Table {
	if t := cat.Table(database, name); t != nil {
		return t
	}
	var found *store.Table
	for _, t := range cat.Tables(database) {
		if strings.EqualFold(t.Desc.Name, name) {
			if found != nil {
				return nil
			}
			found = t
		}
	}
	return found
}

// GetTableNames returns the names of the stored tables.
func (d *Database) GetTableNames(ctx *gms.Context) ([]string, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range s.catalog().Tables(d.name) {
		names = append(names, t.Desc.Name)
	}
	return names, nil
}

// ValidateSchema refuses what the store cannot keep.
func (d *Database) ValidateSchema(schema gms.Schema) error {
	for _, c := range schema {
		if _, err := store.ColumnTypeOf(c.Type); err != nil {
			return fmt.Errorf("column '%s': %w", c.Name, err)
		}
	}
	return nil
}

// CreateTable creates a table; its indexes and constraints follow.
func (d *Database) CreateTable(ctx *gms.Context, name string, schema gms.PrimaryKeySchema, collation gms.CollationID, comment string) error {
	return d.CreateIndexedTable(ctx, name, schema, gms.IndexDef{}, collation, comment)
}

// CreateIndexedTable creates a table whose primary key may have prefix lengths.
func (d *Database) CreateIndexedTable(ctx *gms.Context, name string, schema gms.PrimaryKeySchema, primary gms.IndexDef, collation gms.CollationID, comment string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	cat := s.catalog()
	if cat.Table(d.name, name) != nil || cat.Object(objectView, d.name, name) != nil {
		return gms.ErrTableAlreadyExists.New(name)
	}
	desc, err := tableDesc(ctx, d.name, name, schema, primary, collation, comment)
	if err != nil {
		return err
	}
	_, err = s.tx.CreateTable(ctx, desc)
	return err
}

// tableDesc describes a new table. Column ids are the positions from 1.
func tableDesc(ctx *gms.Context, database, name string, schema gms.PrimaryKeySchema, primary gms.IndexDef, collation gms.CollationID, comment string) (*store.TableDesc, error) {
	if name == "" || len([]rune(name)) > gms.MaxIdentifierLength {
		return nil, mysqlError(1103, "Incorrect table name '%s'", name)
	}
	desc := &store.TableDesc{Database: database, Name: name, Collation: uint16(collation), Comment: comment}
	for _, c := range schema.Schema {
		cd, err := columnDesc(ctx, c, nil)
		if err != nil {
			return nil, err
		}
		desc.Columns = append(desc.Columns, cd)
	}
	return desc, numberColumns(desc, schema, primary)
}

// numberColumns gives new columns their ids and fills in the primary key.
func numberColumns(desc *store.TableDesc, schema gms.PrimaryKeySchema, primary gms.IndexDef) error {
	// As the store counts: NextColumnID is the last id that was given.
	for i := range desc.Columns {
		desc.NextColumnID = max(desc.NextColumnID, desc.Columns[i].ID)
	}
	for i := range desc.Columns {
		if desc.Columns[i].ID == 0 {
			desc.NextColumnID++
			desc.Columns[i].ID = desc.NextColumnID
		}
	}
	old := desc.Primary
	desc.Primary = store.IndexDesc{ID: old.ID}
	if len(schema.PkOrdinals) == 0 {
		return nil
	}
	desc.Primary.Name, desc.Primary.Unique = "PRIMARY", true
	for _, at := range schema.PkOrdinals {
		c := store.IndexColumnDesc{Column: desc.Columns[at].ID}
		for _, p := range primary.Columns {
			if strings.EqualFold(p.Name, desc.Columns[at].Name) {
				c.Prefix = uint32(p.Length)
			}
		}
		for _, o := range old.Columns {
			if o.Column == c.Column && c.Prefix == 0 {
				c.Prefix = o.Prefix
			}
		}
		desc.Primary.Columns = append(desc.Primary.Columns, c)
	}
	return nil
}

// DropTable drops a table with its triggers, the session's temporary one of this name first, which has none.
func (d *Database) DropTable(ctx *gms.Context, name string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if t := s.temporaryTable(d.name, name); t != nil {
		delete(s.temporary, temporaryKey(d.name, name))
		s.dropsTemporary = true
		return s.tx.DropTable(ctx, t.stored)
	}
	st := findTable(s.catalog(), d.name, name)
	if st == nil {
		return gms.ErrTableNotFound.New(name)
	}
	for _, o := range s.catalog().Objects(objectTrigger, d.name) {
		// Whose cannot be read belongs to nobody, and is shown as such.
		if table, err := triggerTable(o); err != nil || !strings.EqualFold(table, st.Desc.Name) {
			continue
		}
		if err := s.tx.DeleteObject(ctx, objectTrigger, d.name, o.Name); err != nil {
			return err
		}
	}
	return s.tx.DropTable(ctx, st)
}
