package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// joinTrigger runs the UPDATE trigger of a table of a join once for each row of the table
// that is there: the planner runs it for each row of the join, and changes what was changed.
// body builds what the trigger does. nil: n is another trigger.
func (b distinctBuilder) joinTrigger(ctx *gms.Context, n *plan.TriggerExecutor, row gms.Row, body gms.NodeExecBuilder) (gms.RowIter, error) {
	join := joinOf(n.Left())
	if n.TriggerEvent != plan.UpdateTrigger || join == nil {
		return nil, nil
	}
	schema := schemaOfJoin(ctx, join)
	name, err := tableOfTrigger(ctx, schema[0].DatabaseSource, n.TriggerDefinition.Name)
	if err != nil {
		return nil, err
	}
	for alias, target := range join.UpdateTargets {
		if keys, ok := target.(*plan.ForeignKeyHandler); ok {
			target = keys.OriginalNode
		}
		if t := readTable(target); t != nil && strings.EqualFold(t.name, name) {
			return b.onceEach(ctx, n, row, schema, alias, body)
		}
	}
	return nil, nil
}

// onceEach builds the trigger over a source that hands it the rows it is to run for.
func (b distinctBuilder) onceEach(ctx *gms.Context, n *plan.TriggerExecutor, row gms.Row, schema gms.Schema, table string, body gms.NodeExecBuilder) (gms.RowIter, error) {
	rows, err := b.base.Build(ctx, n.Left(), row)
	if err != nil {
		return nil, err
	}
	keys, err := newDistinctKeys(ctx)
	if err != nil {
		return nil, err
	}
	iter := &joinTriggerIter{rows: &oneRow{RowIter: rows}, table: newJoinPart(schema, table), keys: keys, width: len(schema)}
	own := *b.base
	own.PriorityBuilder = instead{n, n.Left(), iter.rows, body}
	iter.trigger, err = own.Build(ctx, n, row)
	return iter, err
}

// instead is a builder that leaves one node to the planner's own, over rows of another source.
type instead struct {
	node, child gms.Node
	rows        gms.RowIter
	rest        gms.NodeExecBuilder
}

// Build builds every node but these.
func (i instead) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	switch n {
	case i.node:
		return nil, nil
	case i.child:
		return i.rows, nil
	}
	return i.rest.Build(ctx, n, row)
}

// oneRow gives the row that was taken from a source.
type oneRow struct {
	gms.RowIter
	row gms.Row
}

// Next returns the row.
func (o *oneRow) Next(*gms.Context) (gms.Row, error) { return o.row, nil }

type joinTriggerIter struct {
	rows    *oneRow
	trigger gms.RowIter // over rows
	table   joinPart
	keys    *distinctKeys // of the rows that the trigger has run for
	width   int           // of the join
}

// Next returns the next old and new row, as the trigger leaves it.
func (j *joinTriggerIter) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := j.rows.RowIter.Next(ctx)
	if err != nil {
		return nil, err
	}
	if len(row) == 2*j.width {
		if fresh, err := j.table.fresh(ctx, row, j.keys); !fresh || err != nil {
			return row, err
		}
	}
	j.rows.row = row
	return j.trigger.Next(ctx)
}

// Close closes the rows with the trigger, and forgets.
func (j *joinTriggerIter) Close(ctx *gms.Context) error {
	j.keys.forget()
	return j.trigger.Close(ctx)
}

// tableOfTrigger is the name of the table that a trigger belongs to.
func tableOfTrigger(ctx *gms.Context, database, name string) (string, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return "", err
	}
	o := findObject(s.catalog(), objectTrigger, database, name)
	if o == nil {
		return "", gms.ErrTriggerDoesNotExist.New(name)
	}
	return triggerTable(o)
}

// triggerTable is the name of the table that a trigger is of, as its statement says it.
func triggerTable(o *store.Object) (string, error) {
	var t triggerData
	if err := decodeObject(o, &t); err != nil {
		return "", err
	}
	st, err := parseText(t.Create, gms.NewSqlModeFromString(t.SQLMode).ParserOptions())
	if err != nil {
		return "", gms.ErrSyntaxError.New(err)
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok {
		return "", fmt.Errorf("trigger %s is kept as a %T", o.Name, st)
	}
	return ddl.Table.Name.String(), nil
}
