package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// besideTriggers has load, which reads the triggers of a database for SHOW and DROP, do so with that database as the current
// one: their texts name tables without it. Tables take theirs with them when they are dropped: see Database.DropTable.
func besideTriggers(load analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		if _, ok := n.(*plan.DropTable); ok {
			return n, transform.SameTree, nil
		}
		if database := databaseOfTriggers(n); database != nil {
			defer ctx.SetCurrentDatabase(ctx.GetCurrentDatabase())
			ctx.SetCurrentDatabase(database.Name())
		}
		return load(ctx, a, n, scope, sel, flags)
	}
}

// writesTemporary says whether a statement writes to a temporary table alone.
func writesTemporary(n gms.Node) bool {
	var target gms.Node
	switch n := n.(type) {
	case *plan.InsertInto:
		target = n.Destination
	case *plan.Update:
		if source, ok := n.Child.(*plan.UpdateSource); ok {
			target = source
		}
	case *plan.DeleteFrom:
		if targets := n.GetDeleteTargets(); len(targets) == 1 {
			target = targets[0]
		}
	}
	if target == nil {
		return false
	}
	t := targetOf(target)
	return t != nil && t.Desc.Database == temporaryDatabase
}

// databaseOfTriggers is the database whose triggers a statement needs; nil if it needs none.
func databaseOfTriggers(n gms.Node) (database gms.Database) {
	transform.Inspect(n, func(n gms.Node) bool {
		switch n := n.(type) {
		case *plan.ShowTriggers:
			database = n.Database()
		case *plan.DropTrigger:
			database = n.Database()
		}
		return database == nil
	})
	return database
}
