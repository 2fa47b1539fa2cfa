package txn

import (
	"context"
	"fmt"
	"slices"

	"stack/roles/db/store"
)

// The DDL methods change the catalog within a transaction; the descriptors go in the
// same batch as everything else that it writes. The caller commits before and after,
// as MySQL does. They lock the catalog, so that one transaction at a time changes it,
// and the tables that they change, so that nobody writes one meanwhile; readers go on
// with the view that they have.

func (t *Txn) beginDDL(ctx context.Context) (*store.Catalog, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	if err := t.mayWrite(); err != nil {
		return nil, err
	}
	if t.draft {
		return t.catalogNow(), nil
	}
	if err := t.LockCatalog(ctx); err != nil {
		return nil, err
	}
	return t.catalogNow(), nil
}

// Draft says that the definitions changed from now on are drafts: nothing is locked for
// them, and they must be taken back, by RollbackTo, before the draft ends.
func (t *Txn) Draft(on bool) { t.draft = on }

// stage makes catalog the transaction's own after writing key, of something in
// database (empty: of the server); desc nil deletes it.
func (t *Txn) stage(catalog *store.Catalog, database string, key []byte, desc any) error {
	var err error
	if desc == nil {
		err = t.set.delete(key)
	} else {
		var value []byte
		if value, err = store.EncodeDesc(desc); err == nil {
			err = t.set.set(key, value)
		}
	}
	if err == nil {
		t.staged, t.locked = catalog, nil
		t.changes = t.changes || !store.Internal(database)
	}
	return err
}

// PutDatabase creates a database or changes the one of this name.
func (t *Txn) PutDatabase(ctx context.Context, desc store.DatabaseDesc) error {
	catalog, err := t.beginDDL(ctx)
	if err != nil {
		return err
	}
	return t.stage(catalog.WithDatabase(&desc), desc.Name, store.DatabaseKey(desc.Name), &desc)
}

// DropDatabase removes a database with its tables and objects.
func (t *Txn) DropDatabase(ctx context.Context, name string) error {
	catalog, err := t.beginDDL(ctx)
	if err != nil {
		return err
	}
	if catalog.Database(name) == nil {
		return fmt.Errorf("database %s does not exist", name)
	}
	for _, table := range catalog.Tables(name) {
		if err := t.DropTable(ctx, table); err != nil {
			return err
		}
	}
	for _, o := range catalog.ObjectsOf(name) {
		if err := t.DeleteObject(ctx, o.Kind, o.Database, o.Name); err != nil {
			return err
		}
	}
	t.frees = true
	return t.stage(t.catalogNow().WithoutDatabase(name), name, store.DatabaseKey(name), nil)
}

func (t *Txn) catalogNow() *store.Catalog {
	if t.staged != nil {
		return t.staged
	}
	return t.e.Catalog()
}

// PutObject creates or replaces a named object.
func (t *Txn) PutObject(ctx context.Context, o store.Object) error {
	catalog, err := t.beginDDL(ctx)
	if err != nil {
		return err
	}
	return t.stage(catalog.WithObject(&o), o.Database, store.ObjectKey(o.Kind, o.Database, o.Name), &o)
}

// DeleteObject removes a named object; one that does not exist is no error.
func (t *Txn) DeleteObject(ctx context.Context, kind, database, name string) error {
	catalog, err := t.beginDDL(ctx)
	if err != nil {
		return err
	}
	return t.stage(catalog.WithoutObject(kind, database, name), database, store.ObjectKey(kind, database, name), nil)
}

// CreateTable adds a table. Its ids, the column ids that are 0 and the first layout
// are given here; index columns name columns by id, so a caller who leaves column
// ids 0 counts from 1 in order. It fails where the name is taken.
func (t *Txn) CreateTable(ctx context.Context, desc *store.TableDesc) (*store.Table, error) {
	catalog, err := t.beginDDL(ctx)
	if err != nil {
		return nil, err
	}
	if catalog.Database(desc.Database) == nil {
		return nil, fmt.Errorf("database %s does not exist", desc.Database)
	}
	if catalog.Table(desc.Database, desc.Name) != nil {
		return nil, fmt.Errorf("table %s.%s already exists", desc.Database, desc.Name)
	}
	desc = desc.Clone()
	desc.ID, desc.Version, desc.Layouts = t.newID(), 1, nil
	giveColumnIDs(desc)
	t.giveIndexIDs(desc)
	giveLayout(desc)
	return t.putTable(catalog, desc)
}

func (t *Txn) newID() uint32 { return t.e.nextID.Add(1) - 1 }

func giveColumnIDs(desc *store.TableDesc) {
	for i := range desc.Columns {
		desc.NextColumnID = max(desc.NextColumnID, desc.Columns[i].ID)
	}
	for i := range desc.Columns {
		if desc.Columns[i].ID == 0 {
			desc.NextColumnID++
			desc.Columns[i].ID = desc.NextColumnID
		}
	}
}

// giveIndexIDs gives new ids to the primary key and every index.
func (t *Txn) giveIndexIDs(desc *store.TableDesc) {
	desc.Primary.ID = t.newID()
	for i := range desc.Indexes {
		desc.Indexes[i].ID = t.newID()
	}
}

// giveLayout adds a layout of the present columns where the last one is another.
func giveLayout(desc *store.TableDesc) {
	l := store.Layout{Version: 1}
	for _, c := range desc.Columns {
		if !c.Virtual {
			l.Columns = append(l.Columns, store.LayoutColumn{ID: c.ID, Type: c.Type})
		}
	}
	if n := len(desc.Layouts); n > 0 {
		last := desc.Layouts[n-1]
		if slices.EqualFunc(last.Columns, l.Columns, func(a, b store.LayoutColumn) bool {
			return a.ID == b.ID && a.Type.Equal(b.Type)
		}) {
			return
		}
		l.Version = last.Version + 1
	}
	desc.Layouts = append(desc.Layouts, l)
}

// putTable compiles a descriptor and stages it.
func (t *Txn) putTable(catalog *store.Catalog, desc *store.TableDesc) (*store.Table, error) {
	table, err := store.NewTable(desc)
	if err != nil {
		return nil, err
	}
	return table, t.stage(catalog.WithTable(table), desc.Database, store.TableKey(desc.ID), desc)
}

// beginTable begins a change of a table that exists: it has it for itself. A table that
// the caller knows in an older version is refused.
func (t *Txn) beginTable(ctx context.Context, table *store.Table) (*store.Catalog, error) {
	catalog, err := t.beginDDL(ctx)
	if err != nil {
		return nil, err
	}
	if !t.draft {
		if err := t.LockTable(ctx, table); err != nil {
			return nil, err
		}
	}
	return catalog, t.currentTable(catalog, table)
}

func (t *Txn) currentTable(catalog *store.Catalog, table *store.Table) error {
	if now := catalog.TableByID(table.Desc.ID); now == nil || now.Desc.Version != table.Desc.Version {
		return fmt.Errorf("%s.%s: %w", table.Desc.Database, table.Desc.Name, ErrTableChanged)
	}
	return nil
}

// RenameTable moves a table to another name or database.
func (t *Txn) RenameTable(ctx context.Context, table *store.Table, database, name string) (*store.Table, error) {
	catalog, err := t.beginTable(ctx, table)
	if err != nil {
		return nil, err
	}
	if catalog.Database(database) == nil {
		return nil, fmt.Errorf("database %s does not exist", database)
	}
	if catalog.Table(database, name) != nil {
		return nil, fmt.Errorf("table %s.%s already exists", database, name)
	}
	desc := table.Desc.Clone()
	desc.Database, desc.Name = database, name
	desc.Version++
	return t.putTable(catalog, desc)
}

// DropTable removes a table; its keys go when no view needs them.
func (t *Txn) DropTable(ctx context.Context, table *store.Table) error {
	catalog, err := t.beginTable(ctx, table)
	if err != nil {
		return err
	}
	t.dropIndexes(table)
	t.frees = true
	t.dropped = append(t.dropped, table.Desc.ID)
	return t.stage(catalog.WithoutTable(table.Desc.ID), table.Desc.Database, store.TableKey(table.Desc.ID), nil)
}

func (t *Txn) dropIndexes(table *store.Table) { t.drops = append(t.drops, idsOf(table.Desc)...) }

// TruncateTable empties a table by giving it new index ids; AUTO_INCREMENT begins
// again at 1.
func (t *Txn) TruncateTable(ctx context.Context, table *store.Table) (*store.Table, error) {
	catalog, err := t.beginTable(ctx, table)
	if err != nil {
		return nil, err
	}
	t.dropIndexes(table)
	t.frees = true
	desc := table.Desc.Clone()
	desc.Version++
	desc.Layouts = nil
	t.giveIndexIDs(desc)
	giveLayout(desc)
	return t.putTable(catalog, desc)
}

// AlterTable changes a table without touching its rows: names, defaults, comments,
// constraints, the order of columns, new columns (ids 0, Missing holds what old rows
// have), dropped columns and indexes, types that store the same bytes (a longer
// VARCHAR, more ENUM members), NOT NULL to NULL. Anything else is refused: use
// Define and Build. desc is a changed Clone of table.Desc.
func (t *Txn) AlterTable(ctx context.Context, table *store.Table, desc *store.TableDesc) (*store.Table, error) {
	catalog, err := t.beginTable(ctx, table)
	if err != nil {
		return nil, err
	}
	if err := sameName(table.Desc, desc); err != nil {
		return nil, err
	}
	desc = desc.Clone()
	if err := instant(table.Desc, desc); err != nil {
		return nil, fmt.Errorf("table %s.%s: %w", desc.Database, desc.Name, err)
	}
	t.dropMissing(table.Desc, desc)
	giveColumnIDs(desc)
	giveLayout(desc)
	desc.Version = table.Desc.Version + 1
	return t.putTable(catalog, desc)
}

// TouchTable gives a table a new version for a change that is not its own, such as a
// foreign key that begins to name it: statements that were planned before, and would
// write it without regard to that, are planned again.
func (t *Txn) TouchTable(ctx context.Context, table *store.Table) (*store.Table, error) {
	return t.AlterTable(ctx, table, table.Desc)
}

// sameName keeps a change of a table from taking another one's name unseen.
func sameName(old, desc *store.TableDesc) error {
	if desc.Database != old.Database || desc.Name != old.Name {
		return fmt.Errorf("table %s.%s: its name is changed by RenameTable only", old.Database, old.Name)
	}
	return nil
}

// instant says why a change of a table needs its rows or indexes to be written or looked
// at; nil if it does not.
func instant(old, desc *store.TableDesc) error {
	if err := keepsRows(old, desc); err != nil {
		return err
	}
	for _, ix := range desc.Indexes {
		if !keepsIndex(old, &ix) {
			return fmt.Errorf("a new index %s needs a rebuild", ix.Name)
		}
	}
	for _, c := range desc.Columns {
		if o, _ := old.Column(c.ID); o != nil && o.Nullable && !c.Nullable {
			return fmt.Errorf("column %s may hold NULL", c.Name)
		}
	}
	return nil
}

// keepsRows says why the rows that a table has must be written anew; nil if they need not.
func keepsRows(old, desc *store.TableDesc) error {
	if desc.ID != old.ID || desc.Primary.ID != old.Primary.ID || !slices.Equal(desc.Primary.Columns, old.Primary.Columns) {
		return fmt.Errorf("another primary key needs a rebuild")
	}
	for _, c := range desc.Columns {
		o, _ := old.Column(c.ID)
		if c.ID == 0 || o == nil {
			if c.AutoIncrement {
				return fmt.Errorf("a new AUTO_INCREMENT column %s needs a rebuild", c.Name)
			}
			if !c.Nullable && c.Missing == nil || c.Generated != nil {
				return fmt.Errorf("the value of a new column %s needs a rebuild", c.Name)
			}
			continue
		}
		if c.Virtual != o.Virtual || c.AutoIncrement && !o.AutoIncrement || !c.Type.Extends(o.Type) || !sameExpr(c.Generated, o.Generated) {
			return fmt.Errorf("the change of column %s needs a rebuild", c.Name)
		}
	}
	return nil
}

func sameExpr(a, b *store.Expr) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Text == b.Text
}

// keepsIndex says whether an index can stay as it is filled.
func keepsIndex(old *store.TableDesc, ix *store.IndexDesc) bool {
	at := slices.IndexFunc(old.Indexes, func(o store.IndexDesc) bool { return o.ID == ix.ID })
	return at >= 0 && slices.Equal(old.Indexes[at].Columns, ix.Columns) && old.Indexes[at].Unique == ix.Unique && old.Indexes[at].FullText == ix.FullText
}

// Define stages a changed descriptor, whatever has changed. Indexes that the rows there are
// do not fill get new ids, the primary one too where the rows must be written anew, or
// rewrite asks for it: a Build fills them. desc is a changed Clone of table.Desc; new
// columns and indexes have id 0, Missing holds what old rows have in a new column.
func (t *Txn) Define(ctx context.Context, table *store.Table, desc *store.TableDesc, rewrite bool) (*store.Table, error) {
	catalog, err := t.beginTable(ctx, table)
	if err != nil {
		return nil, err
	}
	if err := sameName(table.Desc, desc); err != nil {
		return nil, err
	}
	desc = desc.Clone()
	if rewrite || keepsRows(table.Desc, desc) != nil {
		for i := range desc.Columns {
			desc.Columns[i].Missing = nil
		}
		desc.Layouts = nil
		t.giveIndexIDs(desc)
	} else {
		for i := range desc.Indexes {
			if !keepsIndex(table.Desc, &desc.Indexes[i]) {
				desc.Indexes[i].ID = t.newID()
			}
		}
	}
	giveColumnIDs(desc)
	giveLayout(desc)
	desc.Version = table.Desc.Version + 1
	t.dropMissing(table.Desc, desc)
	return t.putTable(catalog, desc)
}

// dropMissing lets the indexes of old go that desc no longer has.
func (t *Txn) dropMissing(old, desc *store.TableDesc) {
	have := idsOf(desc)
	for _, id := range idsOf(old) {
		if !slices.Contains(have, id) && !slices.Contains(t.drops, id) {
			t.drops = append(t.drops, id)
		}
	}
}

// idsOf are the ids of the primary key and all indexes.
func idsOf(desc *store.TableDesc) []uint32 {
	ids := []uint32{desc.Primary.ID}
	for i := range desc.Indexes {
		ids = append(ids, desc.Indexes[i].ID)
	}
	return ids
}
