package sql

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// Kinds of the catalog's named objects that this package keeps.
const (
	objectView    = "view"
	objectTrigger = "trigger"
	objectGrants  = "grants"
)

type viewData struct {
	Text    string `json:"text"`
	Create  string `json:"create"`
	SQLMode string `json:"sql_mode"`
}

type triggerData struct {
	Create  string    `json:"create"`
	Created time.Time `json:"created"`
	SQLMode string    `json:"sql_mode"`
	Order   int64     `json:"order"`             // among the database's triggers
	Definer string    `json:"definer,omitempty"` // user@host; empty: it runs as the account that fires it
}

// put stages an object; value is kept as JSON.
func (s *Session) put(ctx *gms.Context, kind, database, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s %s.%s: %w", kind, database, name, err)
	}
	return s.tx.PutObject(ctx, store.Object{Kind: kind, Database: database, Name: name, Data: data})
}

func decodeObject(o *store.Object, value any) error {
	if err := json.Unmarshal(o.Data, value); err != nil {
		return fmt.Errorf("%s %s.%s in the catalog is damaged: %w", o.Kind, o.Database, o.Name, err)
	}
	return nil
}

// findObject looks for the exact name, else for the only one that differs in case.
func findObject(cat *store.Catalog, kind, database, name string) *store.Object {
	if o := cat.Object(kind, database, name); o != nil {
		return o
	}
	for _, o := range cat.Objects(kind, database) {
		if strings.EqualFold(o.Name, name) {
			return o
		}
	}
	return nil
}

// CreateView keeps a view.
func (d *Database) CreateView(ctx *gms.Context, name, text, create string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	cat := s.catalog()
	if findObject(cat, objectView, d.name, name) != nil {
		return gms.ErrExistingView.New(d.name, name)
	}
	if cat.Table(d.name, name) != nil {
		return gms.ErrTableAlreadyExists.New(name)
	}
	// What SHOW CREATE VIEW shows is read without the mode.
	create = strings.TrimPrefix(create, markOf(create))
	if create, err = s.withDefiner(ctx, create); err != nil {
		return err
	}
	written, err := writtenDefiner(ctx, create)
	if err != nil {
		return err
	}
	if _, err := s.definer(ctx, written); err != nil {
		return err
	}
	return s.put(ctx, objectView, d.name, name, viewData{Text: text, Create: create, SQLMode: gms.LoadSqlMode(ctx).String()})
}

// DropView removes a view.
func (d *Database) DropView(ctx *gms.Context, name string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	o := findObject(s.catalog(), objectView, d.name, name)
	if o == nil {
		return gms.ErrViewDoesNotExist.New(d.name, name)
	}
	return s.tx.DeleteObject(ctx, objectView, d.name, o.Name)
}

// GetViewDefinition returns a view.
func (d *Database) GetViewDefinition(ctx *gms.Context, name string) (gms.ViewDefinition, bool, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return gms.ViewDefinition{}, false, err
	}
	o := findObject(s.catalog(), objectView, d.name, name)
	if o == nil {
		return gms.ViewDefinition{}, false, nil
	}
	v, err := viewDefinition(o)
	if err != nil {
		return gms.ViewDefinition{}, false, err
	}
	s.noteView(d.name, v)
	return v, true, nil
}

// AllViews returns the database's views.
func (d *Database) AllViews(ctx *gms.Context) ([]gms.ViewDefinition, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var list []gms.ViewDefinition
	for _, o := range s.catalog().Objects(objectView, d.name) {
		v, err := viewDefinition(o)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func viewDefinition(o *store.Object) (gms.ViewDefinition, error) {
	var v viewData
	if err := decodeObject(o, &v); err != nil {
		return gms.ViewDefinition{}, err
	}
	return gms.ViewDefinition{
		Name: o.Name, TextDefinition: v.Text, CreateViewStatement: v.Create, SqlMode: v.SQLMode,
	}, nil
}

// GetTriggers returns the database's triggers in the order of their creation.
func (d *Database) GetTriggers(ctx *gms.Context) ([]gms.TriggerDefinition, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	objects := s.catalog().Objects(objectTrigger, d.name)
	if len(objects) == 0 {
		return nil, nil
	}
	if s.triggers {
		s.SetCurrentDatabase(d.name) // names without a database are of this one
	}
	ordered := make(map[int64]gms.TriggerDefinition, len(objects))
	var highest int64
	for _, o := range objects {
		var t triggerData
		if err := decodeObject(o, &t); err != nil {
			return nil, err
		}
		ordered[t.Order] = gms.TriggerDefinition{
			Name: o.Name, CreateStatement: s.triggerText(d.name, &t), CreatedAt: t.Created, SqlMode: t.SQLMode,
		}
		highest = max(highest, t.Order)
	}
	list := make([]gms.TriggerDefinition, 0, len(objects))
	for i := int64(1); i <= highest; i++ {
		if t, ok := ordered[i]; ok {
			list = append(list, t)
		}
	}
	return list, nil
}

// CreateTrigger keeps a trigger.
func (d *Database) CreateTrigger(ctx *gms.Context, def gms.TriggerDefinition) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if findObject(s.catalog(), objectTrigger, d.name, def.Name) != nil {
		return mysqlError(1359, "Trigger already exists")
	}
	var order int64
	for _, o := range s.catalog().Objects(objectTrigger, d.name) {
		var t triggerData
		if err := decodeObject(o, &t); err != nil {
			return err
		}
		order = max(order, t.Order)
	}
	written, err := writtenDefiner(ctx, def.CreateStatement)
	if err != nil {
		return err
	}
	definer, err := s.definer(ctx, written)
	if err != nil {
		return err
	}
	if _, err := writtenDefiner(ctx, definedText(def.CreateStatement, definer)); err != nil {
		return err
	}
	_, mode := s.modeOf(ctx, def.CreateStatement)
	return s.put(ctx, objectTrigger, d.name, def.Name, triggerData{
		Create: def.CreateStatement, Created: def.CreatedAt, SQLMode: mode, Order: order + 1, Definer: accountPlain(definer),
	})
}

// DropTrigger removes a trigger.
func (d *Database) DropTrigger(ctx *gms.Context, name string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	o := findObject(s.catalog(), objectTrigger, d.name, name)
	if o == nil {
		return gms.ErrTriggerDoesNotExist.New(name)
	}
	return s.tx.DeleteObject(ctx, objectTrigger, d.name, o.Name)
}
