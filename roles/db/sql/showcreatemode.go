package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// showCreateProcedure shows the sql_mode that a procedure was made with. The planner shows none, so that a dump would
// restore the procedure without one. It returns nil where there is no such procedure.
func (b distinctBuilder) showCreateProcedure(ctx *gms.Context, n *plan.ShowCreateProcedure, row gms.Row) (gms.RowIter, error) {
	d, ok := n.Database().(gms.StoredProcedureDatabase)
	if !ok {
		return nil, nil
	}
	p, ok, err := d.GetStoredProcedure(ctx, n.ProcedureName)
	if err != nil || !ok {
		return nil, err
	}
	return b.withMode(ctx, n, row, p.SqlMode)
}

// showCreateTrigger is the same for triggers.
func (b distinctBuilder) showCreateTrigger(ctx *gms.Context, n *plan.ShowCreateTrigger, row gms.Row) (gms.RowIter, error) {
	d, ok := n.Database().(gms.TriggerDatabase)
	if !ok {
		return nil, nil
	}
	triggers, err := d.GetTriggers(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range triggers {
		if strings.EqualFold(t.Name, n.TriggerName) {
			return b.withMode(ctx, n, row, t.SqlMode)
		}
	}
	return nil, nil
}

// withMode is the planner's answer with sql_mode, its second column.
func (b distinctBuilder) withMode(ctx *gms.Context, n gms.Node, row gms.Row, mode string) (gms.RowIter, error) {
	own := *b.base
	own.PriorityBuilder = except{n, b}
	iter, err := own.Build(ctx, n, row)
	if err != nil {
		return nil, err
	}
	rows, err := gms.RowIterToRows(ctx, iter)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		r[1] = mode
	}
	return gms.RowsToRowIter(rows...), nil
}
