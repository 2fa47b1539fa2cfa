package sql

import (
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// objectEvent is the kind of the catalog's objects for events. Their value is the
// planner's definition, times in UTC, with the time_zone of the session that wrote the schedule for
// TimezoneOffset.
const objectEvent = "event"

var _ gms.EventDatabase = (*Database)(nil)

// GetEvent returns an event.
func (d *Database) GetEvent(ctx *gms.Context, name string) (gms.EventDefinition, bool, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return gms.EventDefinition{}, false, err
	}
	o := findObject(s.catalog(), objectEvent, d.name, name)
	if o == nil {
		return gms.EventDefinition{}, false, nil
	}
	e, err := eventDefinition(o)
	return e, err == nil, err
}

func eventDefinition(o *store.Object) (gms.EventDefinition, error) {
	var e gms.EventDefinition
	if err := decodeObject(o, &e); err != nil {
		return gms.EventDefinition{}, err
	}
	e.EventBody = withoutCommentEnd(e.EventBody)
	return e, nil
}

// GetEvents returns the database's events.
func (d *Database) GetEvents(ctx *gms.Context) ([]gms.EventDefinition, any, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, nil, err
	}
	var list []gms.EventDefinition
	for _, o := range s.catalog().Objects(objectEvent, d.name) {
		e, err := eventDefinition(o)
		if err != nil {
			return nil, nil, err
		}
		e.EventBody = written(e.EventBody) // it is shown: information_schema.EVENTS
		list = append(list, e)
	}
	return list, nil, nil
}

// SaveEvent keeps an event and says whether it is enabled.
func (d *Database) SaveEvent(ctx *gms.Context, e gms.EventDefinition) (bool, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return false, err
	}
	if findObject(s.catalog(), objectEvent, d.name, e.Name) != nil {
		return false, gms.ErrEventAlreadyExists.New(e.Name)
	}
	return enabled(e), s.putEvent(ctx, d.name, e)
}

func enabled(e gms.EventDefinition) bool {
	return strings.EqualFold(e.Status, gms.EventStatus_Enable.String())
}

func (s *Session) putEvent(ctx *gms.Context, database string, e gms.EventDefinition) error {
	definer, err := s.definer(ctx, e.Definer)
	if err != nil {
		return err
	}
	e.Definer = writtenAs(definer)
	st, text := s.statement()
	if ddl, ok := st.(*sqlparser.DDL); ok && ddl.EventSpec != nil {
		if ddl.EventSpec.Body != nil {
			e.EventBody = markOf(text) + e.EventBody // the planner cuts it out of the text
			_, e.SqlMode = s.modeOf(ctx, e.EventBody)
		}
		if ddl.EventSpec.OnSchedule != nil {
			zone, err := s.GetSessionVariable(ctx, "time_zone")
			if err != nil {
				return err
			}
			e.TimezoneOffset, _ = zone.(string)
		}
	}
	for _, t := range []*time.Time{&e.CreatedAt, &e.LastAltered, &e.LastExecuted, &e.ExecuteAt, &e.Starts, &e.Ends} {
		*t = t.UTC()
	}
	return s.put(ctx, objectEvent, database, e.Name, e)
}

// DropEvent removes an event.
func (d *Database) DropEvent(ctx *gms.Context, name string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	o := findObject(s.catalog(), objectEvent, d.name, name)
	if o == nil {
		return gms.ErrEventDoesNotExist.New(name)
	}
	return s.tx.DeleteObject(ctx, objectEvent, d.name, o.Name)
}

// UpdateEvent replaces an event, perhaps under a new name.
func (d *Database) UpdateEvent(ctx *gms.Context, original string, e gms.EventDefinition) (bool, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return false, err
	}
	o := findObject(s.catalog(), objectEvent, d.name, original)
	if o == nil {
		return false, gms.ErrEventDoesNotExist.New(original)
	}
	if o.Name != e.Name {
		if !strings.EqualFold(o.Name, e.Name) && findObject(s.catalog(), objectEvent, d.name, e.Name) != nil {
			return false, gms.ErrEventAlreadyExists.New(e.Name)
		}
		if err := s.tx.DeleteObject(ctx, objectEvent, d.name, o.Name); err != nil {
			return false, err
		}
	}
	return enabled(e), s.putEvent(ctx, d.name, e)
}

// UpdateLastExecuted notes when an event ran.
func (d *Database) UpdateLastExecuted(ctx *gms.Context, name string, at time.Time) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	o := findObject(s.catalog(), objectEvent, d.name, name)
	if o == nil {
		return gms.ErrEventDoesNotExist.New(name)
	}
	e, err := eventDefinition(o)
	if err != nil {
		return err
	}
	e.LastExecuted = at.UTC()
	return s.put(ctx, objectEvent, d.name, o.Name, e)
}

// NeedsToReloadEvents is false: the planner's own scheduler is not used.
func (d *Database) NeedsToReloadEvents(*gms.Context, any) (bool, error) { return false, nil }
