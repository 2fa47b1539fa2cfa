package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation/window"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"

	"stack/roles/db/fit"
)

// Functions over windows that the planner lacks: CUME_DIST and NTH_VALUE (MySQL 8.4 manual, 14.20.1).

func init() {
	planbuilder.IsWindowFunc = func(ctx *gms.Context, name string) (bool, error) {
		if name == "cume_dist" || name == "nth_value" {
			return true, nil
		}
		return planbuilder.IsMySQLWindowFuncName(ctx, name)
	}
}

// windowFunction finds them.
func windowFunction(name string) (gms.Function, bool) {
	switch name = strings.ToLower(name); name {
	case "cume_dist":
		return gms.Function0{Name: name, Fn: func(ctx *gms.Context) gms.Expression {
			return &cumeDist{window.NewPercentRank(ctx).(*window.PercentRank)}
		}}, true
	case "nth_value":
		return gms.FunctionN{Name: name, Fn: newNthValue}, true
	}
	return nil, false
}

// cumeDist is CUME_DIST(): which part of a partition's rows come before the last peer of a row, with that.
type cumeDist struct{ *window.PercentRank }

func (c *cumeDist) FunctionName() string { return "CUME_DIST" }
func (c *cumeDist) Description() string  { return "which part of the rows is not behind a row" }
func (c *cumeDist) String() string       { return named(c.PercentRank.String(), "percent_rank", "cume_dist") }

func (c *cumeDist) DebugString(ctx *gms.Context) string {
	return named(c.PercentRank.DebugString(ctx), "percent_rank", "cume_dist")
}

func named(text, of, name string) string { return name + strings.TrimPrefix(text, of) }

// WithId implements gms.IdExpression.
func (c *cumeDist) WithId(id gms.ColumnId) gms.IdExpression {
	return &cumeDist{c.PercentRank.WithId(id).(*window.PercentRank)}
}

// WithWindow is the function over another window.
func (c *cumeDist) WithWindow(ctx *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	return &cumeDist{c.PercentRank.WithWindow(ctx, w).(*window.PercentRank)}
}

// WithChildren is the function with other expressions in its window.
func (c *cumeDist) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := c.PercentRank.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &cumeDist{e.(*window.PercentRank)}, nil
}

// NewWindowFunction is the function over groups of peers.
func (c *cumeDist) NewWindowFunction(*gms.Context) (gms.WindowFunction, error) {
	order := c.Window().OrderBy.ToExpressions()
	return &cumeDistWindow{PercentRank: aggregation.NewPercentRank(order)}, nil
}

type cumeDistWindow struct {
	*aggregation.PercentRank
	partition gms.WindowInterval
}

// StartPartition notes how many rows there are.
func (c *cumeDistWindow) StartPartition(ctx *gms.Context, in gms.WindowInterval, rows gms.WindowBuffer) error {
	c.partition = in
	return c.PercentRank.StartPartition(ctx, in, rows)
}

// Compute is told where the peers of a row are.
func (c *cumeDistWindow) Compute(_ *gms.Context, peers gms.WindowInterval, _ gms.WindowBuffer) (any, error) {
	return float64(peers.End-c.partition.Start) / float64(c.partition.End-c.partition.Start), nil
}

// nthValue is NTH_VALUE(e, n): e of the n-th row of a frame, NULL where it has fewer.
type nthValue struct {
	*window.FirstValue
	n int // 0: what is given is no number of a row
}

func newNthValue(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	if len(args) != 2 {
		return nil, gms.ErrInvalidArgumentNumber.New("nth_value", "2", len(args))
	}
	var n any
	if len(args[1].Children()) == 0 && args[1].Resolved() { // a number, not a column
		n, _ = args[1].Eval(ctx, nil) // of a column that is an error, and no number
	}
	return &nthValue{window.NewFirstValue(ctx, args[0]).(*window.FirstValue), asCount(n)}, nil
}

// asCount is a number of rows from 1 on, 0 where v is none.
func asCount(v any) int {
	n, _ := fit.Int64(v)
	return int(max(n, 0))
}

func (n *nthValue) FunctionName() string { return "NTH_VALUE" }
func (n *nthValue) Description() string  { return "the value of the n-th row of a frame" }
func (n *nthValue) String() string       { return n.named(n.FirstValue.String()) }

func (n *nthValue) DebugString(ctx *gms.Context) string {
	return n.named(n.FirstValue.DebugString(ctx))
}

func (n *nthValue) named(text string) string {
	return named(text, "first_value", fmt.Sprint("nth_value_", n.n))
}

// IsNullable is true: a frame may have fewer rows.
func (n *nthValue) IsNullable(*gms.Context) bool { return true }

// WithId implements gms.IdExpression.
func (n *nthValue) WithId(id gms.ColumnId) gms.IdExpression {
	return &nthValue{n.FirstValue.WithId(id).(*window.FirstValue), n.n}
}

// WithWindow is the function over another window.
func (n *nthValue) WithWindow(ctx *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	return &nthValue{n.FirstValue.WithWindow(ctx, w).(*window.FirstValue), n.n}
}

// WithChildren is the function of another expression.
func (n *nthValue) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := n.FirstValue.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &nthValue{e.(*window.FirstValue), n.n}, nil
}

// NewWindowFunction is the function over frames.
func (n *nthValue) NewWindowFunction(ctx *gms.Context) (gms.WindowFunction, error) {
	if n.n == 0 {
		return nil, mysqlError(1210, "Incorrect arguments to nth_value")
	}
	first, err := n.FirstValue.NewWindowFunction(ctx)
	if err != nil {
		return nil, err
	}
	return &nthValueWindow{first, n.n}, nil
}

type nthValueWindow struct {
	gms.WindowFunction // the first value
	n                  int
}

// Compute is the value of the n-th row of a frame.
func (w *nthValueWindow) Compute(ctx *gms.Context, in gms.WindowInterval, rows gms.WindowBuffer) (any, error) {
	if in.End-in.Start < w.n {
		return nil, nil
	}
	in.Start += w.n - 1
	return w.WindowFunction.Compute(ctx, in, rows)
}
