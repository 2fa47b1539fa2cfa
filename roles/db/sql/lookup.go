package sql

import (
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// lookedUp builds the rows that a join looks up in an index.
func (b distinctBuilder) lookedUp(ctx *gms.Context, n *plan.IndexedTableAccess, row gms.Row) (gms.RowIter, error) {
	if n.IsStatic() {
		return nil, nil
	}
	if _, computed := plan.FindVirtualColumnTable(n.Table); computed {
		return nil, nil
	}
	lookup, found, err := lookupOf(ctx, n, row)
	if err != nil {
		return nil, err
	}
	if !found {
		return gms.RowsToRowIter(), nil
	}
	parts, err := n.Table.LookupPartitions(ctx, lookup)
	if err != nil {
		return nil, err
	}
	return gms.NewTableRowIter(ctx, n.Table, parts), nil
}

// lookupOf is what is looked up for a row; found is false where no row can have it, as one whose column is shorter than the value.
func lookupOf(ctx *gms.Context, n *plan.IndexedTableAccess, row gms.Row) (lookup gms.IndexLookup, found bool, err error) {
	lookup, found, err = n.GetLookup(ctx, row)
	if !types.ErrLengthBeyondLimit.Is(err) {
		return lookup, found, err
	}
	own, ok := n.Index().(*Index)
	if !ok || !slices.ContainsFunc(own.types(), oneByte) {
		return lookup, false, nil
	}
	return measuredLookup(ctx, n, own, row)
}

// measuredLookup is GetLookup where the planner has taken a text for too long that is none perhaps: it counts the bytes of
// texts in which a byte is a character.
func measuredLookup(ctx *gms.Context, n *plan.IndexedTableAccess, index *Index, row gms.Row) (lookup gms.IndexLookup, found bool, err error) {
	keys, nulls := n.Expressions(), n.NullMask()
	var ranges gms.MySQLRange
	for i, t := range index.types() {
		if i >= len(keys) {
			ranges = append(ranges, gms.AllRangeColumnExpr(t))
			continue
		}
		v, err := keys[i].Eval(ctx, row)
		if err != nil {
			return lookup, false, err
		}
		if v == nil {
			if !nulls[i] {
				return lookup, false, nil
			}
			ranges = append(ranges, gms.NullRangeColumnExpr(t))
			continue
		}
		to := t
		if oneByte(t) {
			to = exactText{t.(gms.StringType)}
		}
		key, in, err := to.Convert(ctx, v)
		if types.ErrLengthBeyondLimit.Is(err) || err == nil && in != gms.InRange {
			return lookup, false, nil
		}
		if err != nil && !gms.ErrTruncatedIncorrect.Is(err) {
			return lookup, false, err
		}
		ranges = append(ranges, gms.ClosedRangeColumnExpr(key, key, t))
	}
	return gms.IndexLookup{Index: index, Ranges: gms.MySQLRangeCollection{ranges}}, true, nil
}
