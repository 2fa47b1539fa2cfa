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
// with the columns in their order and under their names: the planner has new ones at the end, moved ones where
// they were, and those that CHANGE renames as they were. A clause that defines the table anew, as ADD COLUMN … NOT NULL
// does, would undo FIRST, AFTER and CHANGE of those before it.
func placesColumns(resolve analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		n, same, err := resolve(ctx, a, n, scope, sel, flags)
		if err != nil || same {
			return n, same, err
		}
		order := columnOrder{renamed: map[string]*gms.Column{}}
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

// columnOrder are a table's columns as the clauses so far leave them.
type columnOrder struct {
	names   []string               // in small letters; nil before the first clause
	renamed map[string]*gms.Column // what CHANGE has made of columns of the planner's schema, by their names there
}

// of is a schema of the planner's with the columns that are there.
func (o *columnOrder) of(schema gms.Schema) gms.Schema {
	if o.names == nil {
		for _, c := range schema {
			o.names = append(o.names, strings.ToLower(c.Name))
		}
		return schema
	}
	sorted := slices.Clone(schema)
	for i, c := range sorted {
		if renamed := o.renamed[strings.ToLower(c.Name)]; renamed != nil {
			column := *renamed
			column.PrimaryKey, column.Source = c.PrimaryKey, c.Source
			column.Nullable = column.Nullable && !c.PrimaryKey
			sorted[i] = &column
		}
	}
	places := make(map[string]int, len(o.names))
	for i, name := range o.names {
		places[name] = i
	}
	at := make(map[*gms.Column]int, len(sorted))
	for _, c := range sorted {
		place, ok := places[strings.ToLower(c.Name)]
		if !ok {
			place = len(o.names) // behind the others
		}
		at[c] = place
	}
	slices.SortStableFunc(sorted, func(a, b *gms.Column) int { return at[a] - at[b] })
	return sorted
}

// at is a column's place, behind all of them for one that is not known.
func (o *columnOrder) at(name string) int {
	if at := slices.Index(o.names, strings.ToLower(name)); at >= 0 {
		return at
	}
	return len(o.names)
}

// after is the order that a clause leaves.
func (o *columnOrder) after(ctx *gms.Context, clause gms.Node) {
	switch n := clause.(type) {
	case *plan.AddColumn:
		o.place(n.Column().Name, n.Order(ctx))
	case *plan.ModifyColumn:
		if !strings.EqualFold(n.Column(), n.NewColumn().Name) {
			o.renamed[strings.ToLower(n.Column())] = n.NewColumn()
			o.rename(n.Column(), n.NewColumn().Name)
		}
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
	at := len(o.names)
	if order != nil && order.First {
		at = 0
	} else if order != nil && order.AfterColumn != "" {
		at = min(o.at(order.AfterColumn)+1, at)
	}
	o.names = slices.Insert(o.names, at, strings.ToLower(name))
}

func (o *columnOrder) rename(from, to string) {
	if at := o.at(from); at < len(o.names) {
		o.names[at] = strings.ToLower(to)
	}
}

func (o *columnOrder) remove(name string) {
	if at := o.at(name); at < len(o.names) {
		o.names = slices.Delete(o.names, at, at+1)
	}
}
