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
	if definer == s.acting() {
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
// as neither accounts nor definitions change.
type triggerRights struct {
	mu       sync.Mutex
	accounts uint64
	catalog  *store.Catalog
	given    map[string]bool
}

// has says whether the right to run a trigger is known, for these accounts and definitions.
func (t *triggerRights) has(text string, accounts uint64, catalog *store.Catalog) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accounts == accounts && t.catalog == catalog && t.given[text]
}

// add notes a right, and forgets those for other accounts and definitions.
func (t *triggerRights) add(text string, accounts uint64, catalog *store.Catalog) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.accounts != accounts || t.catalog != catalog || t.given == nil {
		t.accounts, t.catalog, t.given = accounts, catalog, map[string]bool{}
	}
	t.given[text] = true
}

// authorizeTrigger checks that a trigger's definer may have it on its table, and may do what it
// does.
func (s *Session) authorizeTrigger(ctx *gms.Context, database string, definer accountKey, of gms.TriggerDefinition) error {
	rights, text := &s.engine.triggers, of.CreateStatement
	accounts, catalog := s.engine.accounts.version.Load(), s.catalog()
	if rights.has(text, accounts, catalog) {
		return nil
	}
	o := catalog.Object(objectTrigger, database, of.Name)
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
	rights.add(text, accounts, catalog)
	return nil
}
