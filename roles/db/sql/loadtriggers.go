package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// besideTriggers has load, which reads the triggers of a database for SHOW and DROP, do so with that database as the current
// one: their texts name tables without it.
func besideTriggers(load analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		if database := databaseOfTriggers(n); database != nil {
			defer ctx.SetCurrentDatabase(ctx.GetCurrentDatabase())
			ctx.SetCurrentDatabase(database.Name())
		}
		return load(ctx, a, n, scope, sel, flags)
	}
}

// databaseOfTriggers is the database whose triggers a statement needs; nil if it needs none.
func databaseOfTriggers(n gms.Node) (database gms.Database) {
	transform.Inspect(n, func(n gms.Node) bool {
		switch n := n.(type) {
		case *plan.ShowTriggers:
			database = n.Database()
		case *plan.DropTrigger:
			database = n.Database()
		case *plan.DropTable:
			if len(n.Tables) > 0 {
				if t, ok := n.Tables[0].(*plan.ResolvedTable); ok {
					database = t.SqlDatabase
				}
			}
		}
		return database == nil
	})
	return database
}
