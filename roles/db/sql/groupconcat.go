package sql

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/hash"
	"github.com/dolthub/go-mysql-server/sql/sorters"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// groupConcat is GROUP_CONCAT. The planner's takes the first of several arguments for all,
// leaves out empty texts, tells DISTINCT ones by their bytes, gives texts of no collation,
// cuts within a character and says nothing about it.
type groupConcat struct {
	concatOptions
	exprs  []gms.Expression
	order  gms.SortConditions
	limit  uint64 // group_concat_max_len, bytes
	id     gms.ColumnId
	window *gms.WindowDefinition
}

// concatOptions is what stands between the expressions of a GROUP_CONCAT.
type concatOptions struct {
	distinct   bool
	descending []bool // by part of ORDER BY
	separator  string
}

var (
	_ gms.Aggregation        = (*groupConcat)(nil)
	_ gms.FunctionExpression = (*groupConcat)(nil)
)

// concatCall is a GROUP_CONCAT as a call of options as text, the arguments, what they are sorted by.
func concatCall(g *sqlparser.GroupConcatExpr) *sqlparser.FuncExpr {
	options := concatOptions{distinct: g.Distinct != "", separator: ","}
	if !g.Separator.DefaultSeparator {
		options.separator = g.Separator.SeparatorString
	}
	args := slices.Clone(g.Exprs)
	for _, o := range g.OrderBy {
		options.descending = append(options.descending, o.Direction == sqlparser.DescScr)
		by := o.Expr
		if v, ok := by.(*sqlparser.SQLVal); ok && v.Type == sqlparser.IntVal {
			if at, err := strconv.Atoi(string(v.Val)); err == nil && 1 <= at && at <= len(g.Exprs) {
				if arg, ok := g.Exprs[at-1].(*sqlparser.AliasedExpr); ok {
					by = arg.Expr
				}
			}
		}
		args = append(args, &sqlparser.AliasedExpr{Expr: by})
	}
	first := &sqlparser.AliasedExpr{Expr: sqlparser.NewStrVal([]byte(options.text()))}
	return &sqlparser.FuncExpr{Name: sqlparser.NewColIdent("group_concat"), Exprs: slices.Insert(args, 0, sqlparser.SelectExpr(first))}
}

// text is the options as newGroupConcat reads them: a letter for DISTINCT, one for each part of
// ORDER BY, a colon and the separator.
func (o concatOptions) text() string {
	text := []byte("a")
	if o.distinct {
		text[0] = 'd'
	}
	for _, down := range o.descending {
		if down {
			text = append(text, 'd')
		} else {
			text = append(text, 'a')
		}
	}
	return string(text) + ":" + o.separator
}

// newGroupConcat makes the aggregate of the arguments that concatCall gives it.
func newGroupConcat(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	var text string
	if len(args) > 0 {
		if literal, ok := args[0].(*expression.Literal); ok {
			text, _ = literal.Value().(string)
		}
	}
	letters, separator, ok := strings.Cut(text, ":")
	if !ok || letters == "" || len(args) < 1+len(letters) {
		return nil, mysqlError(1064, "GROUP_CONCAT is not called by a name in quotes")
	}
	g := &groupConcat{concatOptions: concatOptions{distinct: letters[0] == 'd', separator: separator}}
	from := len(args) - (len(letters) - 1)
	g.exprs = args[1:from]
	for i, e := range args[from:] {
		c := gms.SortCondition{Expr: e, Order: gms.Ascending}
		if letters[i+1] == 'd' {
			c.Order = gms.Descending
		}
		g.descending = append(g.descending, letters[i+1] == 'd')
		g.order = append(g.order, c)
	}
	limit, err := ctx.GetSessionVariable(ctx, "group_concat_max_len")
	if err != nil {
		return nil, err
	}
	g.limit, _ = limit.(uint64)
	return g, nil
}

// FunctionName is group_concat.
func (g *groupConcat) FunctionName() string { return "group_concat" }

// Description says what it does.
func (g *groupConcat) Description() string { return "joins the texts of a group." }

// Resolved says whether all of it is.
func (g *groupConcat) Resolved() bool { return expression.ExpressionsResolved(g.Children()...) }

// String is by what the planner tells aggregates of a query; see tellApart.
func (g *groupConcat) String() string {
	return g.say(func(e gms.Expression) string { return e.String() })
}

// DebugString says more of the arguments.
func (g *groupConcat) DebugString(ctx *gms.Context) string {
	return g.say(func(e gms.Expression) string { return gms.DebugString(ctx, e) })
}

func (g *groupConcat) say(expr func(gms.Expression) string) string {
	var b strings.Builder
	b.WriteString("group_concat(")
	if g.distinct {
		b.WriteString("distinct ")
	}
	for i, e := range g.exprs {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(expr(e))
	}
	for i, c := range g.order {
		b.WriteString([]string{" order by ", ", "}[min(i, 1)] + expr(c.Expr) + " " + c.Order.String())
	}
	return b.String() + " separator " + strconv.Quote(g.separator) + ")"
}

// Id is that of the column that it is.
func (g *groupConcat) Id() gms.ColumnId { return g.id }

// WithId is the same under another id.
func (g *groupConcat) WithId(id gms.ColumnId) gms.IdExpression {
	other := *g
	other.id = id
	return &other
}

// Window is nil: MySQL has no GROUP_CONCAT over windows.
func (g *groupConcat) Window() *gms.WindowDefinition { return g.window }

// WithWindow keeps the window that NewWindowFunction refuses.
func (g *groupConcat) WithWindow(_ *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	other := *g
	other.window = w
	return &other
}

// NewWindowFunction fails.
func (g *groupConcat) NewWindowFunction(*gms.Context) (gms.WindowFunction, error) {
	return nil, mysqlError(1235, "This version of MySQL doesn't yet support 'GROUP_CONCAT over a window'")
}

// Eval fails: a group has its text from its buffer.
func (g *groupConcat) Eval(*gms.Context, gms.Row) (any, error) {
	return nil, mysqlError(1111, "Invalid use of group function")
}

// Children are what it sorts by, then the arguments.
func (g *groupConcat) Children() []gms.Expression {
	return append(g.order.ToExpressions(), g.exprs...)
}

// WithChildren is the same of other arguments.
func (g *groupConcat) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != len(g.order)+len(g.exprs) {
		return nil, gms.ErrInvalidChildrenNumber.New(g, len(children), len(g.order)+len(g.exprs))
	}
	other := *g
	other.order = g.order.FromExpressions(ctx, children[:len(g.order)]...)
	other.exprs = children[len(g.order):]
	return &other, nil
}

// Type is text of the arguments' collation, or binary if one of them is.
func (g *groupConcat) Type(ctx *gms.Context) gms.Type {
	base, collation := sqltypes.Text, gms.Collation_Default
	for _, e := range g.exprs {
		if t := e.Type(ctx); types.IsBinaryType(t) && !types.IsJSON(t) {
			base, collation = sqltypes.Blob, gms.Collation_binary
		}
	}
	if base == sqltypes.Text {
		if c, _ := g.CollationCoercibility(ctx); c != gms.Collation_binary && c.CharacterSet() == collation.CharacterSet() {
			collation = c
		}
	}
	length := int64(g.limit)
	switch {
	case length > types.MediumText.MaxByteLength():
		length = types.LongText.MaxByteLength()
	case length > types.Text.MaxByteLength():
		length = types.MediumText.MaxByteLength()
	default:
		length = types.Text.MaxByteLength()
	}
	return types.MustCreateString(base, length/collation.CharacterSet().MaxLength(), collation)
}

// CollationCoercibility is that of CONCAT of the arguments.
func (g *groupConcat) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	text, err := function.NewConcat(ctx, g.exprs...)
	if err != nil {
		return gms.Collation_Default, 4
	}
	return gms.GetCoercibility(ctx, text)
}

// IsNullable is true: of no rows the result is NULL.
func (g *groupConcat) IsNullable(*gms.Context) bool { return true }

// NewBuffer starts a group.
func (g *groupConcat) NewBuffer(ctx *gms.Context) (gms.AggregationBuffer, error) {
	kept, err := newKept(ctx)
	if err != nil {
		return nil, err
	}
	b := &concatBuffer{separator: g.separator, limit: g.limit, kept: kept, long: kept, binary: types.IsBinaryType(g.Type(ctx))}
	for i, c := range g.order {
		by, err := transform.Clone(ctx, c.Expr)
		if err != nil {
			return nil, err
		}
		b.by = append(b.by, by)
		c.Expr = expression.NewGetField(i, by.Type(ctx), "", true)
		b.sorted = append(b.sorted, c)
	}
	for _, e := range g.exprs {
		expr, err := transform.Clone(ctx, e)
		if err != nil {
			return nil, err
		}
		b.exprs = append(b.exprs, expr)
	}
	if b.text, err = function.NewConcat(ctx, b.exprs...); err != nil {
		return nil, err
	}
	if g.distinct {
		b.schema = hash.ExprsToSchema(ctx, b.exprs...)
		if b.seen, err = newDistinctKeys(ctx); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// concatBuffer is the text of a group: as far as it goes, or what it is made of where it
// has an order.
type concatBuffer struct {
	separator string
	limit     uint64 // bytes
	binary    bool
	exprs     []gms.Expression
	text      gms.Expression // of exprs
	seen      *distinctKeys
	schema    gms.Schema

	by     []gms.Expression
	sorted gms.SortConditions
	rows   []gms.Row // values of by, then the text
	kept   kept      // these rows

	out   []byte
	long  kept // out
	added int  // rows in out
	cut   bool
}

// Update adds a row, unless one of its values is NULL or DISTINCT has had them.
func (b *concatBuffer) Update(ctx *gms.Context, row gms.Row) error {
	v, err := b.text.Eval(ctx, row)
	if err != nil || v == nil {
		return err
	}
	text := v.(string)
	if b.seen != nil {
		if fresh, err := b.fresh(ctx, row); err != nil || !fresh {
			return err
		}
	}
	if len(b.by) == 0 {
		return b.add(ctx, text)
	}
	values := make(gms.Row, 0, len(b.by)+1)
	for _, e := range b.by {
		v, err := e.Eval(ctx, row)
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	values = append(values, text)
	if err := b.kept.add(memoryOf(values)); err != nil {
		return err
	}
	b.rows = append(b.rows, values)
	return nil
}

func (b *concatBuffer) fresh(ctx *gms.Context, row gms.Row) (bool, error) {
	values := make(gms.Row, len(b.exprs))
	for i, e := range b.exprs {
		v, err := e.Eval(ctx, row)
		if err != nil {
			return false, err
		}
		values[i] = v
	}
	key, err := hash.HashOf(ctx, b.schema, values)
	if err != nil {
		return false, err
	}
	return b.seen.add(key)
}

// add appends the next text, and warns where it no longer fits.
func (b *concatBuffer) add(ctx *gms.Context, text string) error {
	if b.cut {
		return nil
	}
	if err := b.long.add(int64(len(b.separator) + len(text))); err != nil {
		return err
	}
	if b.added++; b.added > 1 {
		b.out = append(b.out, b.separator...)
	}
	b.out = append(b.out, text...)
	if uint64(len(b.out)) <= b.limit {
		return nil
	}
	b.cut = true
	end := int(b.limit)
	for !b.binary && end > 0 && !utf8.RuneStart(b.out[end]) {
		end--
	}
	b.out = b.out[:end]
	ctx.Warn(1260, "Row %d was cut by GROUP_CONCAT()", b.added)
	return nil
}

// Eval is the text, NULL of no rows.
func (b *concatBuffer) Eval(ctx *gms.Context) (any, error) {
	if len(b.by) > 0 {
		b.added, b.cut = 0, false
		defer func() {
			b.out = nil
			b.long.forget()
		}()
		sorter := sorters.NewRowSorterWithRows(ctx, b.sorted, b.rows)
		sort.Stable(sorter)
		if err := sorter.GetError(); err != nil {
			return nil, err
		}
		for _, row := range b.rows {
			if err := b.add(ctx, row[len(row)-1].(string)); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case b.added == 0:
		return nil, nil
	case b.binary:
		return b.out, nil
	}
	return string(b.out), nil
}

// Dispose lets go of the rows and the arguments.
func (b *concatBuffer) Dispose(ctx *gms.Context) {
	if b.seen != nil {
		b.seen.forget()
	}
	b.kept.forget()
	b.long.forget()
	b.rows, b.out = nil, nil
	for _, e := range append(b.by, b.exprs...) {
		disposeExpression(ctx, e)
	}
}
