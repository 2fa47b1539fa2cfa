package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Catalog is every database, table and named object at one moment. It is immutable:
// the With… methods return a changed copy. Names are compared by byte
// (lower_case_table_names=0).
type Catalog struct {
	Version uint64 // grows with every committed change

	databases map[string]*DatabaseDesc
	tables    map[string]map[string]*Table // database → name → table
	byID      map[uint32]*Table
	objects   map[objectKey]*Object
}

type objectKey struct{ kind, database, name string }

func newCatalog() *Catalog {
	return &Catalog{
		databases: map[string]*DatabaseDesc{},
		tables:    map[string]map[string]*Table{},
		byID:      map[uint32]*Table{},
		objects:   map[objectKey]*Object{},
	}
}

// Database returns the database of this name, nil if there is none.
func (c *Catalog) Database(name string) *DatabaseDesc { return c.databases[name] }

// Databases returns every database, sorted by name.
func (c *Catalog) Databases() []*DatabaseDesc {
	out := make([]*DatabaseDesc, 0, len(c.databases))
	for _, name := range slices.Sorted(maps.Keys(c.databases)) {
		out = append(out, c.databases[name])
	}
	return out
}

// Table returns a table, nil if there is none.
func (c *Catalog) Table(database, name string) *Table { return c.tables[database][name] }

// TableByID returns a table by its id, which renames and rebuilds keep.
func (c *Catalog) TableByID(id uint32) *Table { return c.byID[id] }

// Tables returns the tables of a database, sorted by name.
func (c *Catalog) Tables(database string) []*Table {
	of := c.tables[database]
	out := make([]*Table, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, of[name])
	}
	return out
}

// Object returns a named object, nil if there is none.
func (c *Catalog) Object(kind, database, name string) *Object {
	return c.objects[objectKey{kind, database, name}]
}

// Objects returns the objects of a kind in a database, sorted by name.
func (c *Catalog) Objects(kind, database string) []*Object {
	var out []*Object
	for k, o := range c.objects {
		if k.kind == kind && k.database == database {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *Object) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// ObjectsOf returns every object of a database, of all kinds, in no order.
func (c *Catalog) ObjectsOf(database string) []*Object {
	var out []*Object
	for k, o := range c.objects {
		if k.database == database {
			out = append(out, o)
		}
	}
	return out
}

// clone copies one level: descriptors are shared, maps are not. Changes are rare
// (DDL), so that this beats a persistent map's slower reads.
func (c *Catalog) clone() *Catalog {
	n := &Catalog{Version: c.Version, databases: maps.Clone(c.databases), byID: maps.Clone(c.byID), objects: maps.Clone(c.objects)}
	n.tables = make(map[string]map[string]*Table, len(c.tables))
	for name, of := range c.tables {
		n.tables[name] = of
	}
	return n
}

// WithVersion returns the catalog under a new version number.
func (c *Catalog) WithVersion(v uint64) *Catalog {
	n := *c
	n.Version = v
	return &n
}

// WithDatabase returns the catalog with a database added or replaced.
func (c *Catalog) WithDatabase(d *DatabaseDesc) *Catalog {
	n := c.clone()
	n.databases[d.Name] = d
	return n
}

// WithoutDatabase returns the catalog without a database, its tables and objects.
func (c *Catalog) WithoutDatabase(name string) *Catalog {
	n := c.clone()
	delete(n.databases, name)
	for _, t := range n.tables[name] {
		delete(n.byID, t.Desc.ID)
	}
	delete(n.tables, name)
	for k := range n.objects {
		if k.database == name {
			delete(n.objects, k)
		}
	}
	return n
}

// WithTable returns the catalog with a table added, or replaced where one has its id.
func (c *Catalog) WithTable(t *Table) *Catalog {
	n := c.clone()
	if old := n.byID[t.Desc.ID]; old != nil {
		n.removeTable(old)
	}
	of := maps.Clone(n.tables[t.Desc.Database])
	if of == nil {
		of = map[string]*Table{}
	}
	of[t.Desc.Name] = t
	n.tables[t.Desc.Database] = of
	n.byID[t.Desc.ID] = t
	return n
}

// WithoutTable returns the catalog without the table of this id.
func (c *Catalog) WithoutTable(id uint32) *Catalog {
	n := c.clone()
	if old := n.byID[id]; old != nil {
		n.removeTable(old)
	}
	return n
}

func (c *Catalog) removeTable(t *Table) {
	of := maps.Clone(c.tables[t.Desc.Database])
	delete(of, t.Desc.Name)
	c.tables[t.Desc.Database] = of
	delete(c.byID, t.Desc.ID)
}

// WithObject returns the catalog with an object added or replaced.
func (c *Catalog) WithObject(o *Object) *Catalog {
	n := c.clone()
	n.objects[objectKey{o.Kind, o.Database, o.Name}] = o
	return n
}

// WithoutObject returns the catalog without an object.
func (c *Catalog) WithoutObject(kind, database, name string) *Catalog {
	n := c.clone()
	delete(n.objects, objectKey{kind, database, name})
	return n
}

// LoadCatalog reads the whole catalog.
func LoadCatalog(r pebble.Reader) (*Catalog, error) {
	c := newCatalog()
	version, err := getU64(r, MetaCatalogKey())
	if err != nil {
		return nil, err
	}
	c.Version = version
	span := SpaceRange(SpaceCatalog)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = c.load(it.Key(), it.Value())
	}
	if closeErr := it.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("read the catalog: %w", closeErr)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// load adds one stored descriptor. Unknown fields are refused: they mean that a
// newer version wrote them, and dropping them at the next write would lose them.
func (c *Catalog) load(key, value []byte) error {
	if len(key) < 2 {
		return fmt.Errorf("catalog key % x: %w", key, ErrCorrupt)
	}
	switch key[1] {
	case catalogDatabase:
		d := new(DatabaseDesc)
		if err := decodeDesc(key, value, d); err != nil {
			return err
		}
		c.databases[d.Name] = d
	case catalogTable:
		d := new(TableDesc)
		if err := decodeDesc(key, value, d); err != nil {
			return err
		}
		t, err := NewTable(d)
		if err != nil {
			return err
		}
		if c.tables[d.Database] == nil {
			c.tables[d.Database] = map[string]*Table{}
		}
		c.tables[d.Database][d.Name], c.byID[d.ID] = t, t
	case catalogObject:
		o := new(Object)
		if err := decodeDesc(key, value, o); err != nil {
			return err
		}
		c.objects[objectKey{o.Kind, o.Database, o.Name}] = o
	default:
		return fmt.Errorf("catalog key % x: %w", key, ErrCorrupt)
	}
	return nil
}

func decodeDesc(key, value []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("catalog entry %q: %w: %w", key, ErrCorrupt, err)
	}
	return nil
}
