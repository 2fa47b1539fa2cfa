package sql

import (
	"io"
	"sort"
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// rangeFrames is a rule for plans as they come from the statement: windows whose frames go by the
// values of ORDER BY get frames of our own. The planner's know the first key alone, take it for
// ascending, and those of some functions end at the row where its peers follow.
func rangeFrames(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return framedByValues(ctx, n)
}

func framedByValues(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		_, windows := n.(*plan.Window)
		return transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			switch e := e.(type) {
			case *plan.Subquery:
				inner, same, err := framedByValues(ctx, e.Query)
				if err != nil || same {
					return e, transform.SameTree, err
				}
				return e.WithQuery(inner), transform.NewTree, nil
			case gms.WindowAdaptableExpression:
				if def := e.Window(); windows && def != nil && len(def.OrderBy) > 0 && (def.Frame == nil || isRange(def.Frame)) {
					own := *def
					own.Frame = valueFrame{def.Frame, def.Frame != nil}
					if def.Frame == nil { // MySQL 8.4 manual, 14.20.3
						own.Frame = valueFrame{WindowFrame: plan.NewRangeUnboundedPrecedingToCurrentRowFrame()}
					}
					return e.WithWindow(ctx, &own), transform.NewTree, nil
				}
			}
			return e, transform.SameTree, nil
		})
	})
}

func isRange(f gms.WindowFrame) bool {
	_, own := f.(valueFrame)
	return !own && strings.HasPrefix(strings.ToUpper(f.String()), "RANGE")
}

// valueFrame is a frame by the values of ORDER BY.
type valueFrame struct {
	gms.WindowFrame
	said bool // in the statement
}

// unsaidFrame is the text of a frame that is not said. Fields of a plan are called by the texts of
// windows that have none.
const unsaidFrame = "#peers"

func (f valueFrame) String() string {
	if !f.said {
		return unsaidFrame
	}
	return f.WindowFrame.String()
}

// saidOnly is a name without unsaidFrame.
func saidOnly(name string) string { return strings.Replace(name, " "+unsaidFrame+")", ")", 1) }

// NewFramer is the frame of a window.
func (f valueFrame) NewFramer(w *gms.WindowDefinition) (gms.WindowFramer, error) {
	out := &valueFramer{frame: f, order: w.OrderBy}
	for _, bound := range []struct {
		distance  gms.Expression
		following bool
		at        **valueLimit
	}{
		{f.StartNPreceding(), false, &out.start}, {f.StartNFollowing(), true, &out.start},
		{f.EndNPreceding(), false, &out.end}, {f.EndNFollowing(), true, &out.end},
	} {
		if bound.distance == nil {
			continue
		}
		if len(w.OrderBy) != 1 {
			return nil, mysqlError(3587, "Window '<unnamed window>' with RANGE N PRECEDING/FOLLOWING frame requires exactly one ORDER BY expression, of numeric or temporal type")
		}
		*bound.at = newValueLimit(w.OrderBy[0], bound.distance, bound.following)
	}
	return out, nil
}

// valueLimit is the value at a distance from that of a row.
type valueLimit struct {
	key, distance gms.Expression
	minus         bool
	sum           gms.Expression // as the planner computes it
}

func newValueLimit(key gms.SortCondition, distance gms.Expression, following bool) *valueLimit {
	l := &valueLimit{key: key.Expr, distance: distance, minus: following == (key.Order == gms.Descending)}
	sign := sqlparser.PlusStr
	if l.minus {
		sign = sqlparser.MinusStr
	}
	l.sum = expression.NewArithmetic(l.key, distance, sign)
	if shift := shiftOf(l.sum); shift != nil {
		l.sum = shift
	}
	return l
}

// of is the limit of a row, nil where it has none, and how values are compared with it.
func (l *valueLimit) of(ctx *gms.Context, row gms.Row) (at any, compare func(v any) (int, error), err error) {
	if !isExact(l.key.Type(ctx)) || !isExact(l.distance.Type(ctx)) {
		compared := types.GetCompareType(l.key.Type(ctx), l.sum.Type(ctx))
		at, err = l.sum.Eval(ctx, row)
		return at, func(v any) (int, error) { return compared.Compare(ctx, v, at) }, err
	}
	// Sums of integers as the planner computes them wrap, or lose digits.
	key, err := l.key.Eval(ctx, row)
	if err != nil || key == nil {
		return nil, nil, err
	}
	distance, err := l.distance.Eval(ctx, row)
	if err != nil || distance == nil {
		return nil, nil, err
	}
	a, err := asDecimal(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	b, err := asDecimal(ctx, distance)
	if err != nil {
		return nil, nil, err
	}
	limit := new(apd.Decimal)
	if l.minus {
		_, err = wide.Sub(limit, a, b)
	} else {
		_, err = wide.Add(limit, a, b)
	}
	return limit, func(v any) (int, error) {
		d, err := asDecimal(ctx, v)
		if err != nil {
			return 0, err
		}
		return d.Cmp(limit), nil
	}, err
}

// valueFramer goes over the rows of a partition, which are sorted by order.
type valueFramer struct {
	frame      valueFrame
	order      gms.SortConditions
	start, end *valueLimit // where frames of the row begin and end, nil where that is a row

	partition, peers, now gms.WindowInterval
	row                   int // the next
}

// NewFramer is the frame in another partition.
func (f *valueFramer) NewFramer(in gms.WindowInterval) (gms.WindowFramer, error) {
	out := *f
	out.partition, out.row = in, in.Start
	out.peers = gms.WindowInterval{Start: in.Start, End: in.Start}
	out.now = out.peers
	return &out, nil
}

// Next is the frame of the next row.
func (f *valueFramer) Next(ctx *gms.Context, rows gms.WindowBuffer) (gms.WindowInterval, error) {
	if f.row >= f.partition.End {
		return gms.WindowInterval{}, io.EOF
	}
	if f.row >= f.peers.End {
		if err := f.findPeers(ctx, rows); err != nil {
			return gms.WindowInterval{}, err
		}
	}
	now := f.peers
	var err error
	if f.frame.UnboundedPreceding() {
		now.Start = f.partition.Start
	} else if f.start != nil {
		now.Start, err = f.find(ctx, rows, f.start, f.peers.Start, func(side int) bool { return side >= 0 })
	}
	if err == nil {
		if f.frame.UnboundedFollowing() {
			now.End = f.partition.End
		} else if f.end != nil {
			now.End, err = f.find(ctx, rows, f.end, f.peers.End, func(side int) bool { return side > 0 })
		}
	}
	if err != nil {
		return gms.WindowInterval{}, err
	}
	now.End = max(now.End, now.Start)
	f.now = now
	f.row++
	return now, nil
}

// findPeers finds the rows from the next on that ORDER BY does not tell apart.
func (f *valueFramer) findPeers(ctx *gms.Context, rows gms.WindowBuffer) error {
	f.peers = gms.WindowInterval{Start: f.row, End: f.row + 1}
	keys := make([]any, len(f.order))
	for i, o := range f.order {
		var err error
		if keys[i], err = o.Expr.Eval(ctx, rows[f.row]); err != nil {
			return err
		}
	}
	for ; f.peers.End < f.partition.End; f.peers.End++ {
		for i, o := range f.order {
			key, err := o.Expr.Eval(ctx, rows[f.peers.End])
			if err != nil {
				return err
			}
			if side, err := o.Expr.Type(ctx).Compare(ctx, keys[i], key); err != nil || side != 0 {
				return err
			}
		}
	}
	return nil
}

// find is the first row of the partition that is at the limit or behind it, by beyond, which is told on
// which side of the limit a row is. Rows with NULL have no limit but their peers.
func (f *valueFramer) find(ctx *gms.Context, rows gms.WindowBuffer, limit *valueLimit, peer int, beyond func(side int) bool) (int, error) {
	at, compare, err := limit.of(ctx, rows[f.row])
	if at == nil || err != nil {
		return peer, err
	}
	key, descends := f.order[0].Expr, f.order[0].Order == gms.Descending
	found := sort.Search(f.partition.End-f.partition.Start, func(i int) bool {
		v, failed := key.Eval(ctx, rows[f.partition.Start+i])
		side := -1 // NULL is less than all
		if failed == nil && v != nil {
			side, failed = compare(v)
		}
		if failed != nil {
			err = failed
		}
		if descends {
			side = -side
		}
		return beyond(side)
	})
	return f.partition.Start + found, err
}

// FirstIdx is where the frame begins.
func (f *valueFramer) FirstIdx() int { return f.now.Start }

// LastIdx is where it ends.
func (f *valueFramer) LastIdx() int { return f.now.End }

// Interval is the frame.
func (f *valueFramer) Interval() (gms.WindowInterval, error) { return f.now, nil }
