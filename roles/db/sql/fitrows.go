package sql

import (
	"fmt"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// fittedRows makes whole rows fit their table: what defaults and triggers have put in, and
// NULLs that a trigger might have replaced. Generated columns follow what a trigger has put in.
type fittedRows struct {
	plan.UnaryNode
	fitting   *fitting
	schema    gms.Schema // of the table
	missing   []*omittedValue
	generated []generatedColumn
}

// generatedColumn computes a column from the others of a row.
type generatedColumn struct {
	at    int
	value gms.Expression // of the row of the table alone
}

// generatedOf are the generated columns of a table whose values are computed by values, by
// the columns' places in schema.
func generatedOf(ctx *gms.Context, schema gms.Schema, values map[int]gms.Expression) ([]generatedColumn, error) {
	var out []generatedColumn
	for at, column := range schema {
		e := values[at]
		if column.Generated == nil || e == nil {
			continue
		}
		// In a trigger the planner's places begin with those of its row.
		e, _, err := transform.Expr(ctx, e, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			field, ok := e.(*expression.GetField)
			if !ok {
				return e, transform.SameTree, nil
			}
			from := schema.IndexOfColName(field.Name())
			if from < 0 {
				return nil, transform.SameTree, fmt.Errorf("generated column %s names %s, which the table does not have", column.Name, field.Name())
			}
			return field.WithIndex(from), transform.NewTree, nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, generatedColumn{at, e})
	}
	return out, nil
}

func (n *fittedRows) Schema(ctx *gms.Context) gms.Schema { return n.Child.Schema(ctx) }
func (n *fittedRows) IsReadOnly() bool                   { return n.Child.IsReadOnly() }
func (n *fittedRows) String() string                     { return n.Child.String() }

// WithChildren does it for other rows.
func (n *fittedRows) WithChildren(_ *gms.Context, children ...gms.Node) (gms.Node, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(n, len(children), 1)
	}
	return &fittedRows{plan.UnaryNode{Child: children[0]}, n.fitting, n.schema, n.missing, n.generated}, nil
}

func (b distinctBuilder) fitted(ctx *gms.Context, n *fittedRows, row gms.Row) (gms.RowIter, error) {
	rows, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return nil, err
	}
	return &fittedIter{rows, n}, nil
}

type fittedIter struct {
	gms.RowIter
	*fittedRows
}

// Next returns the next row. Of an UPDATE it is old and new; of a statement inside a
// trigger, what the trigger's row has comes first: the new row is last.
func (f *fittedIter) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := f.RowIter.Next(ctx)
	if err != nil || len(row) < len(f.schema) {
		return row, err
	}
	values := row[len(row)-len(f.schema):]
	generated := f.generated
	for i := range f.schema {
		if len(generated) > 0 && generated[0].at == i {
			generated = generated[1:]
			continue
		}
		if err := f.fit(ctx, values, i); err != nil {
			return nil, err
		}
	}
	for _, g := range f.generated {
		if values[g.at], err = g.value.Eval(ctx, values); err != nil {
			return nil, err
		}
		if err := f.fit(ctx, values, g.at); err != nil {
			return nil, err
		}
	}
	return row, nil
}

func (f *fittedRows) fit(ctx *gms.Context, values gms.Row, i int) (err error) {
	switch c := f.schema[i]; {
	case values[i] != nil:
		values[i], err = f.fitting.value(ctx, c, values[i], c.Type)
	case i < len(f.missing) && f.missing[i] != nil:
		values[i], err = f.missing[i].Eval(ctx, nil)
	case !c.Nullable && !c.Virtual && !c.AutoIncrement:
		values[i], err = f.fitting.null(ctx, c)
	}
	return err
}
