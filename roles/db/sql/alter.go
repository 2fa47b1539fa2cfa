package sql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// alter stages a changed descriptor.
func (t *Table) alter(ctx *gms.Context, change func(*store.TableDesc) error) error {
	if err := t.refresh(ctx); err != nil {
		return err
	}
	desc := t.stored.Desc.Clone()
	if err := change(desc); err != nil {
		return err
	}
	return t.define(ctx, desc, false)
}

// define stages a changed descriptor of the table as it is now. The running ALTER TABLE looks
// after rows and indexes at its end; within another statement they are written here.
func (t *Table) define(ctx *gms.Context, desc *store.TableDesc, rewrite bool) error {
	if err := checkFullText(desc); err != nil {
		return err
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	to, err := s.tx.Define(ctx, t.stored, desc, rewrite)
	if err != nil {
		return err
	}
	if !s.altering(to) {
		if err := refuseZoned(t.stored, to); err != nil {
			return err
		}
		c, err := newConversion(ctx, s, t.stored, to, false)
		if err != nil {
			return err
		}
		if err := s.tx.FillDefined(ctx, t.stored, to, c.each()); err != nil {
			return t.editor(ctx).duplicate(err, nil)
		}
	}
	return t.refresh(ctx)
}

// AddColumn adds a nullable column without default: rows that lack it read NULL. For every
// other one the planner asks for a RewriteInserter.
func (t *Table) AddColumn(ctx *gms.Context, c *gms.Column, order *gms.ColumnOrder) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		cd, err := columnDesc(ctx, c, nil)
		if err != nil {
			return err
		}
		desc.Columns = placeColumn(desc.Columns, cd, order)
		return nil
	})
}

// placeColumn inserts a column where order says, at the end without.
func placeColumn(list []store.ColumnDesc, c store.ColumnDesc, order *gms.ColumnOrder) []store.ColumnDesc {
	at := len(list)
	if order != nil && order.First {
		at = 0
	} else if order != nil && order.AfterColumn != "" {
		for i := range list {
			if strings.EqualFold(list[i].Name, order.AfterColumn) {
				at = i + 1
			}
		}
	}
	out := make([]store.ColumnDesc, 0, len(list)+1)
	return append(append(append(out, list[:at]...), c), list[at:]...)
}

// DropColumn drops a column, also out of the indexes that hold it.
func (t *Table) DropColumn(ctx *gms.Context, name string) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		at := columnNamed(desc, name)
		if at < 0 {
			return gms.ErrTableColumnNotFound.New(t.name, name)
		}
		id := desc.Columns[at].ID
		desc.Columns = append(desc.Columns[:at:at], desc.Columns[at+1:]...)
		desc.Indexes = indexesWithout(desc.Indexes, func(column uint16) bool { return column == id })
		return nil
	})
}

// indexesWithout takes columns out of indexes. As in MySQL, an index ends with its last
// column.
func indexesWithout(indexes []store.IndexDesc, gone func(column uint16) bool) []store.IndexDesc {
	var kept []store.IndexDesc
	for _, ix := range indexes {
		ix.Columns = slices.DeleteFunc(slices.Clone(ix.Columns), func(c store.IndexColumnDesc) bool { return gone(c.Column) })
		if len(ix.Columns) > 0 {
			kept = append(kept, ix)
		}
	}
	return kept
}

// ModifyColumn changes name, type, default, comment, place, and NOT NULL to NULL.
func (t *Table) ModifyColumn(ctx *gms.Context, name string, c *gms.Column, order *gms.ColumnOrder) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		at := columnNamed(desc, name)
		if at < 0 {
			return gms.ErrTableColumnNotFound.New(t.name, name)
		}
		cd, err := columnDesc(ctx, c, &desc.Columns[at].Type)
		if err != nil {
			return err
		}
		old := desc.Columns[at]
		cd.ID, cd.Missing = old.ID, old.Missing
		cd.Nullable = cd.Nullable && !inPrimary(desc, old.ID)
		if order == nil {
			desc.Columns[at] = cd
			return nil
		}
		rest := append(desc.Columns[:at:at], desc.Columns[at+1:]...)
		desc.Columns = placeColumn(rest, cd, order)
		return nil
	})
}

func columnNamed(desc *store.TableDesc, name string) int {
	for i := range desc.Columns {
		if strings.EqualFold(desc.Columns[i].Name, name) {
			return i
		}
	}
	return -1
}

func inPrimary(desc *store.TableDesc, id uint16) bool {
	return holdsColumn(&desc.Primary, id)
}

func holdsColumn(ix *store.IndexDesc, id uint16) bool {
	for _, c := range ix.Columns {
		if c.Column == id {
			return true
		}
	}
	return false
}

// CreateIndex adds an index and fills it from the rows there are.
func (t *Table) CreateIndex(ctx *gms.Context, def gms.IndexDef) error {
	if err := t.refresh(ctx); err != nil {
		return err
	}
	ix, err := t.indexDesc(ctx, def)
	if err != nil {
		return err
	}
	desc := t.stored.Desc.Clone()
	desc.Indexes = append(desc.Indexes, ix)
	return t.define(ctx, desc, false)
}

// CreateIndexForForeignKey adds the index that a foreign key needs.
func (t *Table) CreateIndexForForeignKey(ctx *gms.Context, def gms.IndexDef) error {
	return t.CreateIndex(ctx, def)
}

// indexDesc describes a new index, or says what of it is not available.
func (t *Table) indexDesc(ctx *gms.Context, def gms.IndexDef) (store.IndexDesc, error) {
	ix := store.IndexDesc{Name: def.Name, Unique: def.IsUnique(), FullText: def.Storage == fullTextIndexes, Comment: def.Comment}
	switch {
	case def.IsSpatial():
		return ix, notAvailable("SPATIAL index")
	case def.IsVector():
		return ix, notAvailable("VECTOR index")
	case def.Predicate != nil:
		return ix, notAvailable("index with a WHERE clause")
	}
	if ix.Name == "" {
		name, err := gms.GenerateMySqlIndexName(ctx, def, t)
		if err != nil {
			return ix, err
		}
		ix.Name = name
	}
	if isPrimaryName(ix.Name) {
		return ix, mysqlError(1280, "Incorrect index name '%s'", ix.Name)
	}
	for _, other := range t.stored.Desc.Indexes {
		if strings.EqualFold(other.Name, ix.Name) {
			return ix, gms.ErrDuplicateKey.New(ix.Name)
		}
	}
	for _, c := range def.Columns {
		at := columnNamed(t.stored.Desc, c.Name)
		if at < 0 {
			return ix, gms.ErrKeyColumnDoesNotExist.New(c.Name)
		}
		cd := &t.stored.Desc.Columns[at]
		if cd.Virtual {
			return ix, notAvailable("index on a virtual column or an expression (a STORED generated column can be indexed)")
		}
		column := store.IndexColumnDesc{Column: cd.ID, Prefix: uint32(c.Length)}
		if ix.FullText {
			column.Prefix = 0 // MySQL ignores it
		}
		ix.Columns = append(ix.Columns, column)
	}
	if ix.FullText {
		return ix, fullTextColumns(t.stored.Desc, ix.Columns)
	}
	return ix, nil
}

// DropIndex drops an index; PRIMARY drops the primary key.
func (t *Table) DropIndex(ctx *gms.Context, name string) error {
	if isPrimaryName(name) {
		return t.DropPrimaryKey(ctx)
	}
	return t.alter(ctx, func(desc *store.TableDesc) error {
		for i := range desc.Indexes {
			if strings.EqualFold(desc.Indexes[i].Name, name) {
				desc.Indexes = append(desc.Indexes[:i:i], desc.Indexes[i+1:]...)
				return nil
			}
		}
		return gms.ErrIndexNotFound.New(name)
	})
}

// RenameIndex renames an index.
func (t *Table) RenameIndex(ctx *gms.Context, from, to string) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		found := -1
		for i := range desc.Indexes {
			switch {
			case strings.EqualFold(desc.Indexes[i].Name, from):
				found = i
			case strings.EqualFold(desc.Indexes[i].Name, to):
				return gms.ErrDuplicateKey.New(to)
			}
		}
		if found < 0 {
			return gms.ErrIndexNotFound.New(from)
		}
		renameExpressionColumns(desc, desc.Indexes[found].Name, to)
		desc.Indexes[found].Name = to
		return nil
	})
}

// CreatePrimaryKey makes the columns the primary key.
func (t *Table) CreatePrimaryKey(ctx *gms.Context, columns []gms.IndexColumn) error {
	if err := t.refresh(ctx); err != nil {
		return err
	}
	desc := t.stored.Desc.Clone()
	if len(desc.Primary.Columns) > 0 {
		return gms.ErrMultiplePrimaryKeysDefined.New()
	}
	desc.Primary.Name, desc.Primary.Unique = "PRIMARY", true
	for _, c := range columns {
		at := columnNamed(desc, c.Name)
		if at < 0 {
			return gms.ErrKeyColumnDoesNotExist.New(c.Name)
		}
		desc.Columns[at].Nullable = false
		desc.Primary.Columns = append(desc.Primary.Columns,
			store.IndexColumnDesc{Column: desc.Columns[at].ID, Prefix: uint32(c.Length)})
	}
	return t.define(ctx, desc, false)
}

// DropPrimaryKey leaves the rows under hidden row ids.
func (t *Table) DropPrimaryKey(ctx *gms.Context) error {
	if err := t.refresh(ctx); err != nil {
		return err
	}
	if err := gms.ValidatePrimaryKeyDrop(ctx, t, t.keys); err != nil {
		return err
	}
	desc := t.stored.Desc.Clone()
	if len(desc.Primary.Columns) == 0 {
		return gms.ErrCantDropFieldOrKey.New("PRIMARY")
	}
	desc.Primary = store.IndexDesc{ID: desc.Primary.ID}
	return t.define(ctx, desc, false)
}

// GetChecks returns the CHECK constraints.
func (t *Table) GetChecks(*gms.Context) ([]gms.CheckDefinition, error) {
	var list []gms.CheckDefinition
	for _, c := range t.stored.Desc.Checks {
		list = append(list, gms.CheckDefinition{Name: c.Name, CheckExpression: c.Expr, Enforced: c.Enforced})
	}
	return list, nil
}

// CreateCheck adds a CHECK constraint; the planner has tried it on the rows.
func (t *Table) CreateCheck(ctx *gms.Context, check *gms.CheckDefinition) error {
	if err := refuseStoredCheck(ctx, check); err != nil {
		return err
	}
	return t.alter(ctx, func(desc *store.TableDesc) error {
		name := check.Name
		for n := len(desc.Checks) + 1; name == "" || hasCheck(desc, name); n++ {
			if check.Name != "" {
				return mysqlError(3822, "Duplicate check constraint name '%s'.", name)
			}
			name = fmt.Sprintf("%s_chk_%d", t.name, n)
		}
		desc.Checks = append(desc.Checks, store.CheckDesc{Name: name, Expr: check.CheckExpression, Enforced: check.Enforced})
		return nil
	})
}

func hasCheck(desc *store.TableDesc, name string) bool {
	for _, c := range desc.Checks {
		if strings.EqualFold(c.Name, name) {
			return true
		}
	}
	return false
}

// DropCheck removes a CHECK constraint.
func (t *Table) DropCheck(ctx *gms.Context, name string) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		for i, c := range desc.Checks {
			if strings.EqualFold(c.Name, name) {
				desc.Checks = append(desc.Checks[:i:i], desc.Checks[i+1:]...)
				return nil
			}
		}
		return mysqlError(3821, "Check constraint '%s' is not found in the table.", name)
	})
}

// ModifyComment changes the table's comment.
func (t *Table) ModifyComment(ctx *gms.Context, comment string) error {
	return t.alter(ctx, func(desc *store.TableDesc) error {
		desc.Comment = comment
		return nil
	})
}

// convertTo is what the planner does not tell apart from a change of the default.
var convertTo = regexp.MustCompile(`(?i)\bconvert\s+to\s+(character\s+set|charset)\b`)

// ModifyDefaultCollation changes the collation of columns added later; the planner
// calls it for CONVERT TO CHARACTER SET as well.
func (t *Table) ModifyDefaultCollation(ctx *gms.Context, collation gms.CollationID) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if _, text := s.statement(); convertTo.MatchString(text) {
		return t.ModifyStoredCollation(ctx, collation)
	}
	return t.alter(ctx, func(desc *store.TableDesc) error {
		desc.Collation = uint16(collation)
		return nil
	})
}

// ModifyStoredCollation changes the collation of the table and all its string columns.
func (t *Table) ModifyStoredCollation(ctx *gms.Context, collation gms.CollationID) error {
	if err := t.refresh(ctx); err != nil {
		return err
	}
	desc := t.stored.Desc.Clone()
	desc.Collation = uint16(collation)
	for i, typ := range t.stored.Types {
		collated, ok := typ.(gms.TypeWithCollation)
		if !ok || collated.Collation() == gms.Collation_binary {
			continue
		}
		changed, err := collated.WithNewCollation(collation)
		if err != nil {
			return err
		}
		if desc.Columns[i].Type, err = store.ColumnTypeOf(changed); err != nil {
			return err
		}
	}
	return t.define(ctx, desc, false)
}
