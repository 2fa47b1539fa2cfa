package sql

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// eventTick is how exactly events begin: MySQL's schedules know seconds.
const eventTick = time.Second

// scheduler runs the events of the catalog when they are due. An event that still runs
// is not begun again.
type scheduler struct {
	engine *Engine
	cancel context.CancelFunc
	done   sync.WaitGroup

	// Of the scheduler's goroutine alone.
	catalog *store.Catalog // that due was made from
	due     map[eventKey]time.Time
	looked  time.Time // when it looked last: what was due until then has begun or was missed

	mu      sync.Mutex
	running map[eventKey]bool
}

type eventKey struct{ database, name string }

func (k eventKey) quoted() string { return QuoteName(k.database) + "." + QuoteName(k.name) }

func startScheduler(e *Engine) *scheduler {
	ctx, cancel := context.WithCancel(context.Background())
	s := &scheduler{engine: e, cancel: cancel, running: map[eventKey]bool{}, looked: time.Now().UTC()}
	s.done.Go(func() { s.loop(ctx) })
	return s
}

// stop ends running events and waits for them.
func (s *scheduler) stop() {
	s.cancel()
	s.done.Wait()
}

func (s *scheduler) loop(ctx context.Context) {
	tick := time.NewTicker(eventTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.look(ctx, now.UTC())
		}
	}
}

// look begins what is due.
func (s *scheduler) look(ctx context.Context, now time.Time) {
	defer func() { s.looked = now }()
	if everybody, others := s.engine.readOnly(); everybody || others || s.engine.db.ReadOnly() || !eventsOn() {
		s.catalog = nil // what was missed meanwhile is not made up for
		return
	}
	if cat := s.engine.db.Catalog(); cat != s.catalog {
		s.plan(cat)
	}
	for key, at := range s.due {
		if at.After(now) {
			continue
		}
		delete(s.due, key)
		s.mu.Lock()
		busy := s.running[key]
		s.running[key] = true
		s.mu.Unlock()
		if busy {
			s.catalog = nil // its next time comes from a fresh look
			continue
		}
		s.done.Go(func() {
			defer func() {
				s.mu.Lock()
				delete(s.running, key)
				s.mu.Unlock()
			}()
			if err := s.engine.runEvent(ctx, key, now); err != nil {
				s.engine.log.Warn("an event failed: correct its body with ALTER EVENT, or DROP EVENT", "event", key.database+"."+key.name, "error", err)
			}
		})
	}
}

// plan finds out when each enabled event is due next, since the last look: the catalog may have changed just when
// one was due.
func (s *scheduler) plan(cat *store.Catalog) {
	s.catalog, s.due = cat, map[eventKey]time.Time{}
	for _, d := range cat.Databases() {
		for _, o := range cat.Objects(objectEvent, d.Name) {
			e, err := eventDefinition(o)
			if err != nil || !enabled(e) {
				continue
			}
			at, expired, err := nextTime(e, s.looked)
			if err == nil && !expired {
				s.due[eventKey{d.Name, o.Name}] = at
			}
		}
	}
}

func eventsOn() bool {
	_, v, ok := gms.SystemVariables.GetGlobal("event_scheduler")
	text, isText := v.(string)
	return ok && (isText && strings.EqualFold(text, "ON") || isOn(v))
}

// runEvent runs an event's body as its definer, in its time zone, and keeps when it did; an event that is
// over is dropped or disabled first, so that a crash cannot make it run twice.
func (e *Engine) runEvent(ctx context.Context, key eventKey, now time.Time) error {
	s, err := e.systemSession()
	if err != nil {
		return err
	}
	defer s.Close()
	var r *routine
	var zone string
	if err := e.system(ctx, func(gctx *gms.Context, sys *Session) error {
		d := &Database{engine: e, name: key.database}
		o := sys.catalog().Object(objectEvent, key.database, key.name)
		if o == nil {
			return nil
		}
		def, err := eventDefinition(o)
		if err != nil || !enabled(def) {
			return err
		}
		if r, err = eventRoutine(key, def); err != nil {
			return err
		}
		def.LastExecuted, zone = now, def.TimezoneOffset
		_, over, err := nextTime(def, now)
		switch {
		case err != nil:
			return err
		case !over && !def.HasExecuteAt:
			sys.tx.Unlogged() // replicas run no events
			return d.UpdateLastExecuted(gctx, key.name, now)
		case def.OnCompletionPreserve:
			sys.running = running{text: "ALTER EVENT " + key.quoted() + " DISABLE"}
			def.Status = gms.EventStatus_Disable.String()
			return sys.put(gctx, objectEvent, key.database, key.name, def)
		}
		sys.running = running{text: "DROP EVENT IF EXISTS " + key.quoted()}
		return sys.tx.DeleteObject(gctx, objectEvent, key.database, key.name)
	}); err != nil || r == nil {
		return err
	}
	gctx, err := s.statementBegins(s.context(ctx, r.text), r.text)
	if err != nil {
		return err
	}
	defer s.statementEnds()
	defer e.gms.ProcessList.EndQuery(gctx)
	defer s.leaveCall()
	if err := s.SetSessionVariable(gctx, "time_zone", zone); err != nil {
		return err
	}
	f := &frame{s: s, r: r, out: discard{}}
	return s.enter(gctx, r, func() (err error) {
		defer recovered(&err)
		return f.start(gctx)
	})
}

// eventRoutine makes a routine of an event's body.
func eventRoutine(key eventKey, def gms.EventDefinition) (*routine, error) {
	mark := markOf(def.EventBody)
	def.EventBody, def.Comment = strings.TrimPrefix(def.EventBody, mark), "" // which the planner does not escape
	text := mark + def.CreateEventStatement()
	st, err := parseText(text, gms.NewSqlModeFromString(def.SqlMode).ParserOptions())
	if err != nil {
		return nil, gms.ErrSyntaxError.New(err)
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.EventSpec == nil {
		return nil, fmt.Errorf("the text of event %s.%s in the catalog is damaged", key.database, key.name)
	}
	return &routine{
		kind: objectEvent, database: key.database, name: key.name, body: ddl.EventSpec.Body, text: text,
		data: routineData{SQLMode: def.SqlMode, Definer: accountPlain(writtenAccount(def.Definer))},
	}, nil
}
