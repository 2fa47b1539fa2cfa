package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// createLike makes the table of a CREATE TABLE … LIKE under the name that is written, which the planner puts
// into small letters; nil for every other.
func (b distinctBuilder) createLike(ctx *gms.Context, n *plan.CreateTable, row gms.Row) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	ddl, ok := s.runningStatement().(*sqlparser.DDL)
	if !ok || ddl.OptLike == nil {
		return nil, nil
	}
	written := ddl.Table.Name.String()
	if written == n.Name() || !strings.EqualFold(written, n.Name()) {
		return nil, nil
	}
	spec := &plan.TableSpec{Schema: n.PkSchema(), ChDefs: n.Checks(), IdxDefs: n.Indexes(), Collation: n.Collation, TableOpts: n.TableOpts}
	return b.base.Build(ctx, plan.NewCreateTable(n.Database(), written, n.IfNotExists(), n.Temporary(), spec), row)
}
