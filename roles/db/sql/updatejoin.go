package sql

import (
	"fmt"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// derivedOfAssigned is a rule for UPDATE of several tables. The planner computes generated
// columns and ON UPDATE of all of them, and takes those that have such columns for changed:
// their triggers fire, their times move. Here the tables are changed that SET names. Of two
// tables with a time of one name it moves one only.
func derivedOfAssigned(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		source, ok := n.(*plan.UpdateSource)
		if !ok {
			return n, transform.SameTree, nil
		}
		if _, err := plan.GetUpdatable(source.Child); err == nil {
			return n, transform.SameTree, nil
		}
		assigned := map[string]bool{}
		said := source.UpdateExprs.ExplicitUpdateExprs()
		for _, e := range said {
			assigned[assignedTable(e)] = true
		}
		list := slices.Clone(said)
		for _, e := range source.UpdateExprs.DerivedUpdateExprs() {
			if assigned[assignedTable(e)] {
				list = append(list, e)
			}
		}
		list, err := withTimes(ctx, source.Child, assigned, list)
		if err != nil {
			return nil, transform.SameTree, err
		}
		out := *source
		out.UpdateExprs = plan.NewUpdateExprs(list, len(said))
		return &out, transform.NewTree, nil
	})
}

// withTimes adds ON UPDATE of the columns of assigned tables that list does not change yet.
func withTimes(ctx *gms.Context, join gms.Node, assigned map[string]bool, list []gms.Expression) (_ []gms.Expression, err error) {
	there := map[string]bool{}
	for _, e := range list {
		if set, ok := e.(*expression.SetField); ok {
			if field, ok := set.LeftChild.(*expression.GetField); ok {
				there[strings.ToLower(field.Table()+"."+field.Name())] = true
			}
		}
	}
	transform.Inspect(join, func(n gms.Node) bool {
		table, ok := n.(plan.TableIdNode)
		if !ok || err != nil {
			return err == nil
		}
		schema, id := table.Schema(ctx), 0
		first, some := table.Columns().Next(1)
		for i, c := range schema {
			if id = int(first) + i; !some || c.OnUpdate == nil || !assigned[strings.ToLower(table.Name())] || there[strings.ToLower(table.Name()+"."+c.Name)] {
				continue
			}
			var digits []gms.Expression
			if t, ok := c.Type.(gms.DatetimeType); ok && t.Precision() > 0 {
				digits = append(digits, expression.NewLiteral(int64(t.Precision()), types.Int64))
			}
			var now gms.Expression
			if now, err = function.NewNow(ctx, digits...); err != nil {
				return false
			}
			field := expression.NewGetFieldWithTable(id, int(table.Id()), c.Type, c.DatabaseSource, table.Name(), c.Name, c.Nullable)
			list = append(list, expression.NewSetField(field, now))
		}
		return false // what an alias is of
	})
	return list, err
}

// assignedTable is what the statement calls the table that an assignment changes.
func assignedTable(e gms.Expression) string {
	if set, ok := e.(*expression.SetField); ok {
		if field, ok := set.LeftChild.(*expression.GetField); ok {
			return strings.ToLower(field.Table())
		}
	}
	return ""
}

// joinOf is the join that an UPDATE changes, nil if it changes a table.
func joinOf(n gms.Node) *plan.UpdateJoin {
	var found *plan.UpdateJoin
	transform.Inspect(n, func(n gms.Node) bool {
		if join, ok := n.(*plan.UpdateJoin); ok && found == nil {
			found = join
		}
		return found == nil
	})
	return found
}

// schemaOfJoin is that of the rows of a join. The columns of tables that are changed are as
// their tables have them: a projection above a join leaves out that they are keys, or generated.
func schemaOfJoin(ctx *gms.Context, join *plan.UpdateJoin) gms.Schema {
	schema := slices.Clone(join.Child.(*plan.UpdateSource).Child.Schema(ctx))
	for alias, target := range join.UpdateTargets {
		own := target.Schema(ctx)
		for i, c := range schema {
			if !strings.EqualFold(c.Source, alias) {
				continue
			}
			if at := own.IndexOfColName(c.Name); at >= 0 {
				column := *own[at]
				column.Source = c.Source
				schema[i] = &column
			}
		}
	}
	return schema
}

// joinGenerated computes the generated columns of the tables of a join anew, once triggers have
// changed the rows.
type joinGenerated struct {
	plan.UnaryNode
	fitting *fitting
	schema  gms.Schema // of the join
	columns []generatedColumn
	parts   []joinPart // of the tables that columns are of
}

// newJoinGenerated returns child where no table has such columns.
func newJoinGenerated(ctx *gms.Context, f *fitting, child gms.Node, join *plan.UpdateJoin) (gms.Node, error) {
	schema := schemaOfJoin(ctx, join)
	at := func(field *expression.GetField) (int, error) {
		for i, c := range schema {
			if strings.EqualFold(c.Source, field.Table()) && strings.EqualFold(c.Name, field.Name()) {
				return i, nil
			}
		}
		return 0, fmt.Errorf("a generated column names %s.%s, which the UPDATE does not have", field.Table(), field.Name())
	}
	var columns []generatedColumn
	for _, e := range join.Child.(*plan.UpdateSource).UpdateExprs.DerivedUpdateExprs() {
		set, ok := e.(*expression.SetField)
		if !ok {
			continue
		}
		field, ok := set.LeftChild.(*expression.GetField)
		if !ok {
			continue
		}
		to, err := at(field)
		if err != nil {
			return nil, err
		}
		if schema[to].Generated == nil {
			continue // ON UPDATE
		}
		value, _, err := transform.Expr(ctx, set.RightChild, func(_ *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			field, ok := e.(*expression.GetField)
			if !ok {
				return e, transform.SameTree, nil
			}
			from, err := at(field)
			return field.WithIndex(from), transform.NewTree, err
		})
		if err != nil {
			return nil, err
		}
		f.assigned(field.Table(), schema[to])
		columns = append(columns, generatedColumn{to, value})
	}
	if columns == nil {
		return child, nil
	}
	out := &joinGenerated{UnaryNode: plan.UnaryNode{Child: child}, fitting: f, schema: schema, columns: columns}
	for _, g := range columns {
		out.parts = append(out.parts, newJoinPart(schema, schema[g.at].Source))
	}
	return out, nil
}

func (n *joinGenerated) Schema(ctx *gms.Context) gms.Schema { return n.Child.Schema(ctx) }
func (n *joinGenerated) IsReadOnly() bool                   { return n.Child.IsReadOnly() }
func (n *joinGenerated) String() string                     { return n.Child.String() }

// WithChildren does it for other rows.
func (n *joinGenerated) WithChildren(_ *gms.Context, children ...gms.Node) (gms.Node, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(n, len(children), 1)
	}
	other := *n
	other.Child = children[0]
	return &other, nil
}

func (b distinctBuilder) generatedOfJoin(ctx *gms.Context, n *joinGenerated, row gms.Row) (gms.RowIter, error) {
	rows, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return nil, err
	}
	return &joinGeneratedIter{rows, n}, nil
}

type joinGeneratedIter struct {
	gms.RowIter
	*joinGenerated
}

// Next returns the next old and new row.
func (j *joinGeneratedIter) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := j.RowIter.Next(ctx)
	if err != nil || len(row) != 2*len(j.schema) {
		return row, err
	}
	before, after := row[:len(j.schema)], row[len(j.schema):]
	for i, g := range j.columns {
		column := j.schema[g.at]
		if !j.parts[i].there(before) {
			continue
		}
		v, err := g.value.Eval(ctx, after)
		if err != nil {
			return nil, err
		}
		switch {
		case v != nil:
			v, err = j.fitting.value(ctx, column, v, column.Type)
		case !column.Nullable && !column.Virtual:
			v, err = j.fitting.null(ctx, column)
		}
		if err != nil {
			return nil, err
		}
		after[g.at] = v
	}
	return row, nil
}

// joinPart is the part of a join's rows that a table has.
type joinPart struct {
	columns []int
	key     []int // of the columns, those that tell its rows apart
	schema  distinctRows
}

func newJoinPart(schema gms.Schema, table string) joinPart {
	var p joinPart
	for i, c := range schema {
		if strings.EqualFold(c.Source, table) {
			p.columns = append(p.columns, i)
			if c.PrimaryKey {
				p.key = append(p.key, i)
			}
		}
	}
	if p.key == nil {
		p.key = p.columns
	}
	for _, i := range p.key {
		p.schema = append(p.schema, schema[i])
	}
	return p
}

// fresh says whether a row of the join has a row of the table, and one that is not in keys
// yet, where it is from then on.
func (p joinPart) fresh(ctx *gms.Context, row gms.Row, keys *distinctKeys) (bool, error) {
	if !p.there(row) {
		return false, nil
	}
	key := make(gms.Row, len(p.key))
	for i, at := range p.key {
		key[i] = row[at]
	}
	hash, err := p.schema.HashOf(ctx, key)
	if err != nil {
		return false, err
	}
	return keys.add(hash)
}

// there says whether a row of the join has a row of the table: of an outer join it may have
// none.
func (p joinPart) there(row gms.Row) bool {
	for _, i := range p.columns {
		if row[i] != nil {
			return true
		}
	}
	return false
}
