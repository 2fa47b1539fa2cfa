package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"

	"stack/roles/db/store"
)

// besideTruncate keeps TRUNCATE from check, which looks for the foreign keys that name the table in its database only, and
// by the table's name alone. They are looked for when it runs.
func besideTruncate(check analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		if _, ok := n.(*plan.Truncate); ok {
			return n, transform.SameTree, nil
		}
		return check(ctx, a, n, scope, sel, flags)
	}
}

// refuseReferenced keeps the rows of a table that another one's foreign keys name.
func (s *Session) refuseReferenced(t *store.TableDesc) error {
	if s.isOff("foreign_key_checks") {
		return nil
	}
	keys := s.engine.references.of(s.catalog(), t.Database, t.Name)
	beside := func(fk gms.ForeignKeyConstraint) bool { return strings.EqualFold(fk.Database, t.Database) }
	keys = slices.DeleteFunc(keys, func(fk gms.ForeignKeyConstraint) bool { return beside(fk) && strings.EqualFold(fk.Table, t.Name) })
	if len(keys) > 0 {
		fk := keys[max(0, slices.IndexFunc(keys, beside))]
		return mysqlError(1701, "Cannot truncate a table referenced in a foreign key constraint (%s.%s, CONSTRAINT %s)", QuoteName(fk.Database), QuoteName(fk.Table), QuoteName(fk.Name))
	}
	return nil
}
