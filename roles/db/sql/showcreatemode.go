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

// withMode is the planner's answer with sql_mode, its second column, and the text as it was written.
func (b distinctBuilder) withMode(ctx *gms.Context, n gms.Node, row gms.Row, mode string) (gms.RowIter, error) {
	return b.changed(ctx, n, row, func(_ int, r gms.Row) {
		r[1] = mode
		if text, ok := r[2].(string); ok {
			r[2] = written(text)
		}
	})
}

// showCreateEvent shows the text as it was written, and a comment that can be read again: the planner
// escapes nothing in it.
func (b distinctBuilder) showCreateEvent(ctx *gms.Context, n *plan.ShowCreateEvent, row gms.Row) (gms.RowIter, error) {
	as := *n
	as.Event.EventBody = written(n.Event.EventBody)
	if !readingOf(n.Event.SqlMode).backslashes {
		as.Event.Comment = strings.ReplaceAll(as.Event.Comment, `\`, `\\`)
	}
	as.Event.Comment = strings.ReplaceAll(as.Event.Comment, "'", "''")
	return b.plain(ctx, &as, row)
}

// showTriggers shows the statements as they were written.
func (b distinctBuilder) showTriggers(ctx *gms.Context, n *plan.ShowTriggers, row gms.Row) (gms.RowIter, error) {
	return b.changed(ctx, n, row, func(i int, r gms.Row) {
		text, ok := r[3].(string)
		if mark := markOf(n.Triggers[i].CreateTriggerString); ok && mark != "" {
			r[3] = markedReading(mark).turnBack(text)
		}
	})
}

// changed is the planner's answer with its rows changed.
func (b distinctBuilder) changed(ctx *gms.Context, n gms.Node, row gms.Row, change func(i int, r gms.Row)) (gms.RowIter, error) {
	iter, err := b.plain(ctx, n, row)
	if err != nil {
		return nil, err
	}
	rows, err := gms.RowIterToRows(ctx, iter)
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		change(i, r)
	}
	return gms.RowsToRowIter(rows...), nil
}
