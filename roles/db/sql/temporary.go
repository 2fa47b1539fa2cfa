package sql

import (
	"context"
	"fmt"
	"sort"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// temporaryDatabase keeps the temporary tables of all sessions; no name that a client
// can create begins with #. What a crash leaves in it goes at the next start.
const temporaryDatabase = "#temporary"

// temporaryTable is a session's own table: stored under another name, shown under the
// one that the client gave it.
type temporaryTable struct {
	database *Database
	name     string
	stored   string
}

func temporaryKey(database, name string) string {
	return strings.ToLower(database) + "." + strings.ToLower(name)
}

// temporaryTable returns the session's table of this name; nil if there is none, or
// none any more since its transaction was rolled back.
func (s *Session) temporaryTable(database, name string) *Table {
	key := temporaryKey(database, name)
	t := s.temporary[key]
	if t == nil {
		return nil
	}
	st := s.catalog().Table(temporaryDatabase, t.stored)
	if st == nil {
		delete(s.temporary, key)
		return nil
	}
	return newNamedTable(t.database, st, t.name)
}

// writesTemporary says that a statement writes to temporary tables alone, which a READ ONLY
// transaction may.
func (s *Session) writesTemporary(k kind, st sqlparser.Statement) bool {
	if k != kindWrite || s.writesByFunction(st) {
		return false
	}
	targets := s.tablesOf(st)
	if insert, ok := st.(*sqlparser.Insert); ok {
		targets = s.tablesOf(insert.Table)
	}
	for _, t := range targets {
		if s.temporaryTable(t.database, t.name) == nil {
			return false
		}
	}
	return len(targets) > 0
}

// CreateTemporaryTable creates a table that only this session sees and that ends with
// it. It is stored like any other: a rollback undoes its creation.
func (d *Database) CreateTemporaryTable(ctx *gms.Context, name string, schema gms.PrimaryKeySchema, collation gms.CollationID) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if s.temporaryTable(d.name, name) != nil {
		return gms.ErrTableAlreadyExists.New(name)
	}
	if s.catalog().Database(temporaryDatabase) == nil {
		if err := s.tx.PutDatabase(ctx, store.DatabaseDesc{Name: temporaryDatabase, Collation: uint16(defaultCollation)}); err != nil {
			return err
		}
	}
	s.engine.mu.Lock()
	s.engine.temporaries++
	stored := fmt.Sprintf("%d", s.engine.temporaries)
	s.engine.mu.Unlock()
	desc, err := tableDesc(ctx, temporaryDatabase, stored, schema, gms.IndexDef{}, collation, "")
	if err != nil {
		return err
	}
	if _, err := s.tx.CreateTable(ctx, desc); err != nil {
		return err
	}
	s.temporary[temporaryKey(d.name, name)] = &temporaryTable{database: d, name: name, stored: stored}
	return nil
}

// GetAllTemporaryTables returns the session's temporary tables of this database.
func (d *Database) GetAllTemporaryTables(ctx *gms.Context) ([]gms.Table, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var list []gms.Table
	for _, t := range s.temporary {
		if t.database.name == d.name {
			if table := s.temporaryTable(d.name, t.name); table != nil {
				list = append(list, table)
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	return list, nil
}

// IsTemporary says whether only this session sees the table.
func (t *Table) IsTemporary() bool { return t.stored.Desc.Database == temporaryDatabase }

// dropTemporary drops the session's temporary tables at its end.
func (s *Session) dropTemporary() {
	if len(s.temporary) == 0 {
		return
	}
	names := make([]string, 0, len(s.temporary))
	for _, t := range s.temporary {
		names = append(names, t.stored)
	}
	s.temporary = map[string]*temporaryTable{}
	if err := s.engine.dropStored(context.Background(), names); err != nil {
		s.engine.log.Warn("temporary tables of a closed connection stay until the next start",
			"connection", s.ID(), "tables", len(names), "error", err)
	}
}

func (e *Engine) dropStored(ctx context.Context, names []string) error {
	return e.system(ctx, func(_ *gms.Context, s *Session) error {
		for _, name := range names {
			if st := s.catalog().Table(temporaryDatabase, name); st != nil {
				if err := s.tx.DropTable(ctx, st); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// dropLeftTemporary drops the temporary tables of sessions that a crash ended.
func (e *Engine) dropLeftTemporary(ctx context.Context) error {
	var names []string
	for _, t := range e.db.Catalog().Tables(temporaryDatabase) {
		names = append(names, t.Desc.Name)
	}
	if len(names) == 0 {
		return nil
	}
	return e.dropStored(ctx, names)
}
