package sql

import (
	"cmp"
	"context"
	"slices"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// except is a builder that leaves one node to the planner's own.
type except struct {
	node gms.Node
	rest distinctBuilder
}

// Build builds every node but that one.
func (e except) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	if n == e.node {
		return nil, nil
	}
	return e.rest.Build(ctx, n, row)
}

// plain builds a node as the planner does, and those below it as b does.
func (b distinctBuilder) plain(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	own := *b.base
	own.PriorityBuilder = except{n, b}
	return own.Build(ctx, n, row)
}

// update builds an UPDATE. The planner takes a row whose new values equal the old by their collation for unchanged: 'bob'
// would not become 'Bob', and no CHECK, generated column or ON UPDATE would know of it. Here it compares byte for byte.
func (b distinctBuilder) update(ctx *gms.Context, n *plan.Update, row gms.Row) (gms.RowIter, error) {
	exact, err := exactSource(ctx, n, len(row) > 0)
	if err != nil {
		return nil, err
	}
	return b.plain(ctx, exact, row)
}

// insert builds an INSERT, which with ON DUPLICATE KEY UPDATE compares rows as UPDATE does, and measures texts.
func (b distinctBuilder) insert(ctx *gms.Context, n *plan.InsertInto, row gms.Row) (gms.RowIter, error) {
	schema := n.Destination.Schema(ctx)
	if !n.OnDupExprs.HasUpdates() && !slices.ContainsFunc(schema, func(c *gms.Column) bool { return oneByte(c.Type) }) {
		return nil, nil
	}
	table, err := plan.GetInsertable(n.Destination)
	if err != nil {
		return nil, err
	}
	both, ok := table.(changeable)
	if !ok {
		return nil, nil
	}
	exact := *n
	exact.Destination = newExactTarget(n.Destination, both, schema)
	return b.plain(ctx, &exact, row)
}

// exactSource has the table or join below n, the first of its children or theirs, compare its rows byte for byte. inside
// says that the rows of a trigger come before those of a join, which then stays as it is.
func exactSource(ctx *gms.Context, n gms.Node, inside bool) (gms.Node, error) {
	if source, ok := n.(*plan.UpdateSource); ok {
		table, err := plan.GetUpdatable(source.Child)
		both, ok := table.(changeable)
		switch {
		case err != nil && !inside:
			return source.WithChildren(ctx, exactRows(ctx, source.Child))
		case !ok:
			return n, nil
		}
		return source.WithChildren(ctx, newExactTarget(source.Child, both, table.Schema(ctx)))
	}
	children := n.Children()
	if len(children) == 0 {
		return n, nil
	}
	first, err := exactSource(ctx, children[0], inside)
	if err != nil || first == children[0] {
		return n, err
	}
	exact, err := n.WithChildren(ctx, append([]gms.Node{first}, children[1:]...)...)
	if keys, ok := exact.(*plan.ForeignKeyHandler); ok {
		keys.Sch = exactSchema(keys.Sch) // by which changed rows are counted
	}
	return exact, err
}

// exactRows gives the rows of a join as they come. The planner looks for the join below nodes of its own alone.
func exactRows(ctx *gms.Context, n gms.Node) gms.Node {
	schema := exactSchema(n.Schema(ctx))
	fields := make([]gms.Expression, len(schema))
	for i, c := range schema {
		fields[i] = expression.NewGetFieldWithTable(i, 0, c.Type, c.DatabaseSource, c.Source, c.Name, c.Nullable)
	}
	return plan.NewProject(ctx, fields, n)
}

// changeable is a table that statements write to.
type changeable interface {
	gms.InsertableTable
	gms.ReplaceableTable
	gms.UpdatableTable
}

// exactTarget is the table that a statement writes to, over the rows that the statement reads of it. Its schema tells the
// planner how to compare old and new rows.
type exactTarget struct {
	plan.UnaryNode
	changeable
	schema gms.Schema
}

var _ gms.TableWrapper = (*exactTarget)(nil)

func newExactTarget(rows gms.Node, table changeable, schema gms.Schema) *exactTarget {
	return &exactTarget{plan.UnaryNode{Child: rows}, table, exactSchema(schema)}
}

func (n *exactTarget) Underlying() gms.Table          { return n.changeable }
func (n *exactTarget) Schema(*gms.Context) gms.Schema { return n.schema }
func (n *exactTarget) IsReadOnly() bool               { return n.Child.IsReadOnly() }
func (n *exactTarget) String() string                 { return n.Child.String() }

// WithChildren writes to the same table over other rows.
func (n *exactTarget) WithChildren(_ *gms.Context, children ...gms.Node) (gms.Node, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(n, len(children), 1)
	}
	return &exactTarget{plan.UnaryNode{Child: children[0]}, n.changeable, n.schema}, nil
}

// exactSchema is a schema whose texts are equal only if their bytes are.
func exactSchema(schema gms.Schema) gms.Schema {
	exact := make(gms.Schema, len(schema))
	for i, c := range schema {
		exact[i] = c
		if t, ok := c.Type.(gms.StringType); ok && collated(t) {
			column := *c
			column.Type = exactText{t}
			exact[i] = &column
		}
	}
	return exact
}

// oneByte says that a text has a byte for each character in the character set of its column. The planner counts the bytes of
// UTF-8, in which they are kept.
func oneByte(t gms.Type) bool {
	text, ok := t.(gms.StringType)
	return ok && !types.IsBinaryType(t) && text.CharacterSet().MaxLength() == 1
}

// anyLength is the type of a text without its length.
func anyLength(t gms.Type) gms.Type { return types.CreateLongText(t.(gms.StringType).Collation()) }

// exactText is a type of text that compares by bytes.
type exactText struct{ gms.StringType }

// Convert keeps a text that has no more characters than the column holds.
func (t exactText) Convert(ctx context.Context, v any) (any, gms.ConvertInRange, error) {
	if s, ok := v.(string); ok && oneByte(t.StringType) && int64(utf8.RuneCountInString(s)) <= t.MaxCharacterLength() {
		return s, gms.InRange, nil
	}
	return t.StringType.Convert(ctx, v)
}

// Compare compares texts by their bytes, and whatever else as the type does.
func (t exactText) Compare(ctx context.Context, a, b any) (int, error) {
	was, isText := a.(string)
	if now, stillText := b.(string); isText && stillText {
		return cmp.Compare(was, now), nil
	}
	return t.StringType.Compare(ctx, a, b)
}
