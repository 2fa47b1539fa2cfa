package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// placesColumns is resolve, which tells each clause of an ALTER TABLE which columns those before it leave,
// with the columns in their order: the planner has new ones at the end and moved ones where they were. A
// clause that defines the table anew, as ADD COLUMN … NOT NULL does, would undo FIRST and AFTER of those before it.
func placesColumns(resolve analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		n, same, err := resolve(ctx, a, n, scope, sel, flags)
		if err != nil || same {
			return n, same, err
		}
		var order columnOrder
		return transform.Node(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
			switch n.(type) {
			case *plan.AddColumn, *plan.ModifyColumn, *plan.RenameColumn, *plan.DropColumn, *plan.AlterIndex, *plan.AlterPK, *plan.AlterDefaultSet, *plan.AlterDefaultDrop:
			default:
				return n, transform.SameTree, nil
			}
			clause := n.(gms.SchemaTarget)
			out, err := clause.WithTargetSchema(order.of(clause.TargetSchema()))
			order.after(ctx, n)
			return out, transform.NewTree, err
		})
	}
}

// columnOrder are the names of a table's columns, in small letters; nil before the first clause.
type columnOrder []string

// of sorts a schema.
func (o *columnOrder) of(schema gms.Schema) gms.Schema {
	if *o == nil {
		for _, c := range schema {
			*o = append(*o, strings.ToLower(c.Name))
		}
		return schema
	}
	sorted := slices.Clone(schema)
	slices.SortStableFunc(sorted, func(a, b *gms.Column) int { return o.at(a.Name) - o.at(b.Name) })
	return sorted
}

// at is a column's place, behind all of them for one that is not known.
func (o *columnOrder) at(name string) int {
	if at := slices.Index(*o, strings.ToLower(name)); at >= 0 {
		return at
	}
	return len(*o)
}

// after is the order that a clause leaves.
func (o *columnOrder) after(ctx *gms.Context, clause gms.Node) {
	switch n := clause.(type) {
	case *plan.AddColumn:
		o.place(n.Column().Name, n.Order(ctx))
	case *plan.ModifyColumn:
		o.rename(n.Column(), n.NewColumn().Name)
		if order := n.Order(ctx); order != nil && (order.First || order.AfterColumn != "") {
			o.remove(n.NewColumn().Name)
			o.place(n.NewColumn().Name, order)
		}
	case *plan.RenameColumn:
		o.rename(n.ColumnName, n.NewColumnName)
	case *plan.DropColumn:
		o.remove(n.Column)
	}
}

func (o *columnOrder) place(name string, order *gms.ColumnOrder) {
	at := len(*o)
	if order != nil && order.First {
		at = 0
	} else if order != nil && order.AfterColumn != "" {
		at = min(o.at(order.AfterColumn)+1, at)
	}
	*o = slices.Insert(*o, at, strings.ToLower(name))
}

func (o *columnOrder) rename(from, to string) {
	if at := o.at(from); at < len(*o) {
		(*o)[at] = strings.ToLower(to)
	}
}

func (o *columnOrder) remove(name string) {
	if at := o.at(name); at < len(*o) {
		*o = slices.Delete(*o, at, at+1)
	}
}
