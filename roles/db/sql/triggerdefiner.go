package sql

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// A trigger does what its definer may do, whoever changes its table. The planner checks
// nobody's privileges for it, and knows of a trigger nothing but its text: definer and
// database are handed through in there.

// triggerText is a trigger's statement for the planner: with its definer, but for SHOW, which
// says it as it is to be run again. Where triggers are planned a comment names their database.
func (s *Session) triggerText(database string, t *triggerData) string {
	definer := plainAccount(t.Definer)
	if t.Definer == "" { // it was made before definers were kept
		definer = s.acting()
	}
	switch {
	case s.triggers:
		return "/*" + hex.EncodeToString([]byte(database)) + "*/ " + definedText(t.Create, definer)
	case s.kind == kindOther:
		return s.shownText(t.Create, definer)
	}
	return definedText(t.Create, definer)
}

// plannedTrigger reads database and definer of a planned trigger; false: it has none of these.
func plannedTrigger(text string) (database string, definer accountKey, ok bool) {
	comment, _, _ := strings.Cut(strings.TrimPrefix(text, "/*"), "*/")
	name, err := hex.DecodeString(comment)
	if err != nil {
		return "", accountKey{}, false
	}
	definer, ok = definedBy(text)
	return string(name), definer, ok
}

// plansTriggers has the planner read triggers in their own database, whatever the current one
// is, and keeps it from computing stored functions meanwhile: it would do so with the
// privileges of the account that fires the trigger.
func plansTriggers(apply analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		s, err := sessionOf(ctx)
		if err != nil {
			return nil, transform.SameTree, err
		}
		if writesTemporary(n) {
			return n, transform.SameTree, nil // the planner goes by names, which are those of stored tables that it hides
		}
		was, database := s.triggers, s.GetCurrentDatabase()
		s.triggers = true
		defer func() {
			s.triggers = was
			s.SetCurrentDatabase(database)
		}()
		return apply(ctx, a, n, scope, sel, flags)
	}
}

// trigger builds a trigger whose body runs as its definer. In a log that is repeated privileges
// were checked where it was written, and the account may not be there.
func (b distinctBuilder) trigger(ctx *gms.Context, n *plan.TriggerExecutor, row gms.Row) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	if s.replay != nil {
		return b.joinTrigger(ctx, n, row, b)
	}
	database, definer, ok := plannedTrigger(n.TriggerDefinition.CreateStatement)
	if !ok {
		return nil, fmt.Errorf("trigger %s was planned without its definer", n.TriggerDefinition.Name)
	}
	if err := s.authorizeTrigger(ctx, database, definer, n.TriggerDefinition); err != nil {
		return nil, err
	}
	if definer == s.acting() && (s.forDefiner || s.roles == nil && startingRoles() == nil) { // with the same roles
		return b.joinTrigger(ctx, n, row, b)
	}
	body := definersBuilder{b, s, definer}
	if rows, err := b.joinTrigger(ctx, n, row, body); rows != nil || err != nil {
		return rows, err
	}
	rows, err := b.base.Build(ctx, n.Left(), row)
	if err != nil {
		return nil, err
	}
	own := *b.base
	own.PriorityBuilder = instead{n, n.Left(), rows, body}
	return own.Build(ctx, n, row)
}

// definersBuilder builds what a trigger does, as its definer.
type definersBuilder struct {
	base    distinctBuilder
	session *Session
	definer accountKey
}

// Build builds a statement of the trigger's body.
func (d definersBuilder) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	defer d.session.become(d.definer)()
	rows, err := d.base.base.Build(ctx, n, row)
	if err != nil {
		return nil, err
	}
	return &definersRows{rows, d}, nil
}

// definersRows runs what a trigger does, as its definer.
type definersRows struct {
	gms.RowIter
	by definersBuilder
}

// Next runs it on.
func (d *definersRows) Next(ctx *gms.Context) (gms.Row, error) {
	defer d.by.session.become(d.by.definer)()
	return d.RowIter.Next(ctx)
}

// triggerRights are the triggers that their definers may run, by their planned texts, as long
// as nothing changes that they depend on.
type triggerRights struct {
	mu    sync.Mutex
	basis rightsBasis
	given map[string]bool
}

// rightsBasis is what rights depend on.
type rightsBasis struct {
	accounts uint64
	roles    bool // all that are granted are active from the beginning
	catalog  *store.Catalog
}

// has says whether the right to run a trigger is known.
func (t *triggerRights) has(text string, on rightsBasis) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.basis == on && t.given[text]
}

// add notes a right, and forgets those that depend on something else.
func (t *triggerRights) add(text string, on rightsBasis) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.basis != on || t.given == nil {
		t.basis, t.given = on, map[string]bool{}
	}
	t.given[text] = true
}

// authorizeTrigger checks that a trigger's definer may have it on its table, and may do what it
// does.
func (s *Session) authorizeTrigger(ctx *gms.Context, database string, definer accountKey, of gms.TriggerDefinition) error {
	rights, text := &s.engine.triggers, of.CreateStatement
	on := rightsBasis{s.engine.accounts.version.Load(), startingRoles() == nil, s.catalog()}
	if rights.has(text, on) {
		return nil
	}
	o := on.catalog.Object(objectTrigger, database, of.Name)
	if o == nil {
		return gms.ErrTriggerDoesNotExist.New(of.Name)
	}
	var t triggerData
	if err := decodeObject(o, &t); err != nil {
		return err
	}
	back, err := s.actAs(definer)
	if err != nil {
		return err
	}
	defer back()
	defer s.SetCurrentDatabase(s.GetCurrentDatabase())
	s.SetCurrentDatabase(database)
	binder := planbuilder.New(ctx, s.engine.gms.Analyzer.Catalog, nil)
	binder.SetParserOptions(gms.NewSqlModeFromString(t.SQLMode).ParserOptions())
	binder.TriggerCtx().Call = true
	if _, _, _, _, err := binder.Parse(text, nil, false); err != nil {
		return err
	}
	if err := s.authorizeBody(ctx, text, &t); err != nil {
		return err
	}
	rights.add(text, on)
	return nil
}

// authorizeBody checks of a trigger's statements what the planner does not.
func (s *Session) authorizeBody(ctx *gms.Context, text string, t *triggerData) error {
	st, err := parseText(text, gms.NewSqlModeFromString(t.SQLMode).ParserOptions())
	if err != nil {
		return gms.ErrSyntaxError.New(err)
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.TriggerSpec == nil {
		return fmt.Errorf("the text of a trigger makes none: %s", text)
	}
	return sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if inner, ok := n.(sqlparser.Statement); ok {
			if err := s.authorize(ctx, inner); err != nil {
				return false, err
			}
		}
		return true, nil
	}, ddl.TriggerSpec.Body)
}
