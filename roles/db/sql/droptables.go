package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// dropKeysAmong drops the foreign keys that the tables of a DROP TABLE have on each other, so that
// they can go in any order: the planner's puts children before parents, and loses tables on the way.
// A foreign key of a table that stays keeps its parent, as before.
func dropKeysAmong(ctx *gms.Context, n *plan.DropTable) error {
	if len(n.Tables) < 2 {
		return nil
	}
	named := map[[2]string]bool{}
	for _, node := range n.Tables {
		if t := readTable(node); t != nil {
			named[referenceKey(t.db.name, t.name)] = true
		}
	}
	for _, node := range n.Tables {
		t := readTable(node)
		if t == nil {
			continue
		}
		keys, err := t.GetDeclaredForeignKeys(ctx)
		if err != nil {
			return err
		}
		for _, fk := range keys {
			if !named[referenceKey(fk.ParentDatabase, fk.ParentTable)] {
				continue
			}
			if err := t.DropForeignKey(ctx, fk.Name, "", ""); err != nil {
				return err
			}
		}
	}
	return nil
}
