package sql

import (
	"sort"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"

	"stack/roles/db/store"
)

// provider gives the planner the databases of the catalog as the session's transaction
// sees it.
type provider struct{ engine *Engine }

var (
	_ gms.DatabaseProvider         = (*provider)(nil)
	_ gms.CollatedDatabaseProvider = (*provider)(nil)
	_ gms.FunctionProvider         = (*provider)(nil)
)

// Database returns the database of this name; of names that differ in case only, the
// exact one. The planner lowers names at places, hence the second look.
func (p *provider) Database(ctx *gms.Context, name string) (gms.Database, error) {
	cat, err := p.catalog(ctx)
	if err != nil {
		return nil, err
	}
	if d := findDatabase(cat, name); d != nil {
		return &Database{engine: p.engine, name: d.Name, desc: *d}, nil
	}
	if strings.EqualFold(name, performanceSchema) {
		return virtualDatabase{}, nil
	}
	return nil, gms.ErrDatabaseNotFound.New(name)
}

func findDatabase(cat *store.Catalog, name string) *store.DatabaseDesc {
	if d := cat.Database(name); d != nil {
		return d
	}
	var found *store.DatabaseDesc
	for _, d := range cat.Databases() {
		if strings.EqualFold(d.Name, name) {
			if found != nil {
				return nil
			}
			found = d
		}
	}
	return found
}

// HasDatabase says whether there is a database of this name.
func (p *provider) HasDatabase(ctx *gms.Context, name string) bool {
	_, err := p.Database(ctx, name)
	return err == nil
}

// AllDatabases returns every database in the order of names.
func (p *provider) AllDatabases(ctx *gms.Context) []gms.Database {
	cat, err := p.catalog(ctx)
	if err != nil {
		return nil
	}
	var list []gms.Database
	for _, d := range cat.Databases() {
		if d.Name != temporaryDatabase {
			list = append(list, &Database{engine: p.engine, name: d.Name, desc: *d})
		}
	}
	list = append(list, virtualDatabase{})
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	return list
}

func (p *provider) catalog(ctx *gms.Context) (*store.Catalog, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	return s.catalog(), nil
}

// CreateDatabase creates a database with the server's collation.
func (p *provider) CreateDatabase(ctx *gms.Context, name string) error {
	return p.CreateCollatedDatabase(ctx, name, defaultCollation)
}

// CreateCollatedDatabase creates a database.
func (p *provider) CreateCollatedDatabase(ctx *gms.Context, name string, collation gms.CollationID) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if collation == gms.Collation_Unspecified {
		collation = defaultCollation
	}
	if name == "" || len(name) > gms.MaxIdentifierLength || strings.HasPrefix(name, "#") {
		return mysqlError(1102, "Incorrect database name '%s'", name)
	}
	if s.catalog().Database(name) != nil || strings.EqualFold(name, performanceSchema) {
		return gms.ErrDatabaseExists.New(name)
	}
	return s.tx.PutDatabase(ctx, store.DatabaseDesc{Name: name, Collation: uint16(collation)})
}

// DropDatabase drops a database with its tables and objects.
func (p *provider) DropDatabase(ctx *gms.Context, name string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	d := findDatabase(s.catalog(), name)
	if d == nil {
		return gms.ErrDatabaseNotFound.New(name)
	}
	if err := s.refuseReferencedFromOutside(d.Name); err != nil {
		return err
	}
	return s.tx.DropDatabase(ctx, d.Name)
}

// Function finds stored functions, and replaces those of the planner's that take the
// session's account for the client or that are not exact.
func (p *provider) Function(ctx *gms.Context, database, name string) (gms.Function, bool) {
	switch strings.ToLower(name) {
	case "user", "session_user", "system_user":
		return gms.Function0{Name: "user", Fn: newUserFunction}, true
	}
	if f := zoneFunction(strings.ToLower(name)); f != nil {
		return f, true
	}
	if f := spanFunction(strings.ToLower(name)); f != nil {
		return f, true
	}
	if f := ownFunctions[strings.ToLower(name)]; f != nil {
		return f, true
	}
	if strings.EqualFold(name, matchFunction) {
		return gms.FunctionN{Name: matchFunction, Fn: newMatch}, true
	}
	if f, ok := windowFunction(name); ok {
		return f, true
	}
	if f, ok := aggregateFunction(name); ok {
		return f, true
	}
	if f, ok := deviationFunction(strings.ToLower(name)); ok {
		return f, true
	}
	if f := textMakers[strings.ToLower(name)]; f != nil {
		return f, true
	}
	if f, ok := shiftFunction(strings.ToLower(name)); ok {
		return f, true
	}
	if f, ok := chooseFunction(strings.ToLower(name)); ok {
		return f, true
	}
	if s, err := sessionOf(ctx); err == nil {
		return s.storedFunctionNamed(database, name)
	}
	return nil, false
}

// unwrap takes off the wrapper that checks privileges.
func unwrap(db gms.Database) gms.Database {
	if p, ok := db.(mysql_db.PrivilegedDatabase); ok {
		return p.Unwrap()
	}
	return db
}
