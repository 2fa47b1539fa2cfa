package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// showCreateTable shows DEFAULT (NOW()) of a column that is no DATETIME or TIMESTAMP with its
// brackets, without which the statement could not be given again: the planner prints it as
// CURRENT_TIMESTAMP. It returns nil where no column has such a default.
func (b distinctBuilder) showCreateTable(ctx *gms.Context, n *plan.ShowCreateTable, row gms.Row) (gms.RowIter, error) {
	schema := n.TargetSchema().Copy()
	bracketed := false
	for _, c := range schema {
		if c.Default == nil || types.IsDatetimeType(c.Type) || types.IsTimestampType(c.Type) {
			continue
		}
		if now, ok := c.Default.Expr.(*function.Now); ok {
			shown := *c.Default
			shown.Expr = bracketedNow{now}
			c.Default, bracketed = &shown, true
		}
	}
	if !bracketed {
		return nil, nil
	}
	other, err := n.WithTargetSchema(schema)
	if err != nil {
		return nil, err
	}
	own := *b.base
	own.PriorityBuilder = except{other, b}
	return own.Build(ctx, other, row)
}

// bracketedNow is NOW(), written as MySQL shows it in brackets.
type bracketedNow struct{ *function.Now }

// String is the call.
func (b bracketedNow) String() string {
	return strings.Replace(strings.ToLower(b.Now.String()), "(0)", "()", 1)
}
