package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// hashTypes are the joins that may read the same rows of their right side again for each row of the left
// one, and what they are once these rows are kept in memory.
var hashTypes = map[plan.JoinType]plan.JoinType{
	plan.JoinTypeLookup: plan.JoinTypeHash, plan.JoinTypeLeftOuterLookup: plan.JoinTypeLeftOuterHash,
	plan.JoinTypeSemi: plan.JoinTypeSemiHash, plan.JoinTypeSemiLookup: plan.JoinTypeSemiHash,
	plan.JoinTypeAnti: plan.JoinTypeAntiHash, plan.JoinTypeAntiLookup: plan.JoinTypeAntiHash,
	plan.JoinTypeAntiIncludeNulls: plan.JoinTypeAntiHashIncludeNulls, plan.JoinTypeAntiLookupIncludeNulls: plan.JoinTypeAntiHashIncludeNulls,
}

// hashJoin keeps the right side of a join in memory where it is the same for each row of the left one.
// The planner looks rows up by a constant alone where an index has no other column of the condition,
// reading all rows of the constant each time, and has no such semi and anti joins:
//
//	a.x IN (SELECT b.y FROM b WHERE b.k = 'a')
//
// It returns nil for what stays as it is.
func hashJoin(ctx *gms.Context, j *plan.JoinNode) (*plan.JoinNode, error) {
	op, ok := hashTypes[j.Op]
	if !ok || j.Filter == nil {
		return nil, nil
	}
	condition, same, err := transform.Expr(ctx, j.Filter, unhide)
	if err != nil {
		return nil, err
	}
	probe, entry := hashedBy(ctx, condition, tableSet(j.Left()), tableSet(j.Right()))
	if len(probe) == 0 || !sameEachTime(ctx, j.Right()) {
		if same {
			return nil, nil
		}
		return j.WithFilter(condition), nil
	}
	lookup, _, err := transform.OneNodeExpressions(ctx, plan.NewHashLookup(ctx, j.Right(), keyOf(entry), keyOf(probe), op), collateExpression)
	if err != nil {
		return nil, err
	}
	lookup, _ = collateLookup(ctx, lookup.(*plan.HashLookup))
	joined, err := j.WithFilter(condition).WithChildren(ctx, j.Left(), lookup)
	if err != nil {
		return nil, err
	}
	hashed := joined.(*plan.JoinNode)
	hashed.Op = op
	return hashed, nil
}

// hashedBy are the keys that a condition compares the two sides by.
func hashedBy(ctx *gms.Context, condition gms.Expression, left, right map[gms.TableId]bool) (probe, entry []gms.Expression) {
	for _, part := range expression.SplitConjunction(ctx, condition) {
		eq, ok := part.(*expression.Equals)
		if !ok {
			continue
		}
		ls, rs := keyParts(eq.Left()), keyParts(eq.Right())
		if len(ls) != len(rs) {
			continue
		}
		for i, l := range ls {
			r := rs[i]
			if !hashable(l.Type(ctx), r.Type(ctx)) {
				continue
			}
			switch {
			case namesOnly(ctx, l, left) && namesOnly(ctx, r, right):
				probe, entry = append(probe, l), append(entry, r)
			case namesOnly(ctx, r, left) && namesOnly(ctx, l, right):
				probe, entry = append(probe, r), append(entry, l)
			}
		}
	}
	return probe, entry
}

// hashable says whether values of two types that are equal have one key (see collateLookup).
func hashable(l, r gms.Type) bool {
	switch {
	case isExact(l) && isExact(r), collated(l) && collated(r), types.IsTimestampType(l) && types.IsTimestampType(r):
		return true
	case types.IsDateType(l), types.IsDatetimeType(l), types.IsBinaryType(l):
		return l.Equals(r)
	}
	return false
}

// namesOnly says whether an expression names columns, all of them of the tables, and is the same each time.
func namesOnly(ctx *gms.Context, e gms.Expression, tables map[gms.TableId]bool) bool {
	named, only := false, true
	gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		switch e := e.(type) {
		case *expression.GetField:
			named, only = true, only && tables[e.TableId()]
		case *plan.Subquery:
			only = false
		case gms.NonDeterministicExpression:
			only = only && !e.IsNonDeterministic()
		}
		return only
	})
	return named && only
}

// sameEachTime says whether a side of a join gives the same rows whatever the other side and the
// queries around have.
func sameEachTime(ctx *gms.Context, n gms.Node) bool {
	tables, aliases := map[gms.TableId]bool{}, map[gms.ColumnId]bool{}
	same := true
	each := func(do func(*gms.Context, gms.Expression) bool) {
		transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
			if e, ok := n.(gms.Expressioner); ok {
				for _, e := range e.Expressions() {
					gms.Inspect(ctx, e, do)
				}
			}
			return true
		})
	}
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		if t, ok := n.(plan.TableIdNode); ok {
			tables[t.Id()] = true
		}
		if _, ok := n.(*plan.RecursiveTable); ok { // it has other rows in each round
			same = false
		}
		return true
	})
	each(func(_ *gms.Context, e gms.Expression) bool {
		if a, ok := e.(*expression.Alias); ok {
			aliases[a.Id()] = true
		}
		return true
	})
	each(func(_ *gms.Context, e gms.Expression) bool {
		switch e := e.(type) {
		case *expression.GetField:
			same = same && (tables[e.TableId()] || e.TableId() == 0 && aliases[e.Id()])
		case *plan.Subquery:
			same = same && e.Correlated().Empty() && !e.Volatile()
		case gms.NonDeterministicExpression:
			same = same && !e.IsNonDeterministic()
		}
		return same
	})
	return same
}

// keptFrom says whether the planner must not make another join of a semi or an anti join by a part of its
// condition. Of x NOT IN (SELECT …) it makes a LEFT JOIN, and where it looks rows up in an index then, or goes along
// two of them, it forgets that a condition which is NULL is not FALSE: a row whose x is not found stays
// out if there is a NULL among the others. And it gives up where a table is read for its rows alone, without a column.
func keptFrom(ctx *gms.Context, j *plan.JoinNode, part gms.Expression) bool {
	if !j.Op.IsSemi() && !j.Op.IsAnti() {
		return false
	}
	if j.Op.IsExcludeNulls() && transform.InspectExpr(ctx, part, func(ctx *gms.Context, e gms.Expression) bool { return e.IsNullable(ctx) }) {
		return true
	}
	bare := false
	transform.Inspect(j, func(n gms.Node) bool {
		table, ok := n.(plan.TableIdNode)
		bare = bare || ok && len(table.Schema(ctx)) == 0
		return !ok
	})
	return bare
}

// Keys of HashLookup.Lookup beside those of rows.
type (
	nullRows struct{} // rows that have a NULL in their key
	allRows  struct{}
)

// hashed builds the rows that a semi or an anti join compares with one of its left side. The
// planner's own keeps rows once all were read, which such a join seldom does, and misses the NULLs of
// NOT IN.
func (b distinctBuilder) hashed(ctx *gms.Context, n *plan.HashLookup, row gms.Row) (gms.RowIter, error) {
	if n.Lookup == nil {
		if err := b.fill(ctx, n, row); err != nil {
			return nil, err
		}
	}
	rows := *n.Lookup
	key, err := hashedKey(ctx, n, n.LeftProbeKey, row)
	switch {
	case err != nil:
		return nil, err
	case key == nullRows{} && n.JoinType.IsExcludeNulls():
		return gms.RowsToRowIter(rows[allRows{}]...), nil
	case key == nullRows{}:
		return gms.RowsToRowIter(), nil
	}
	found := rows[key]
	if nulls := rows[nullRows{}]; len(nulls) > 0 {
		found = append(found[:len(found):len(found)], nulls...)
	}
	return gms.RowsToRowIter(found...), nil
}

// fill reads the rows that a hash join keeps. Only NOT IN asks for those with NULLs.
func (b distinctBuilder) fill(ctx *gms.Context, n *plan.HashLookup, row gms.Row) error {
	rows, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return err
	}
	kept := map[any][]gms.Row{}
	for {
		r, err := rows.Next(ctx)
		if errors.Is(err, io.EOF) {
			n.Lookup = &kept
			return rows.Close(ctx)
		}
		var key any
		if err == nil {
			key, err = hashedKey(ctx, n, n.RightEntryKey, r)
		}
		if err != nil {
			_ = rows.Close(ctx) // err says more
			return err
		}
		if n.JoinType.IsExcludeNulls() {
			kept[allRows{}] = append(kept[allRows{}], r)
		} else if key == (nullRows{}) {
			continue
		}
		kept[key] = append(kept[key], r)
	}
}

// hashedKey is the key of a row of one side; nullRows where a part of it is NULL.
func hashedKey(ctx *gms.Context, n *plan.HashLookup, e gms.Expression, row gms.Row) (any, error) {
	for _, part := range keyParts(e) {
		if v, err := part.Eval(ctx, row); v == nil || err != nil {
			return nullRows{}, err
		}
	}
	key, _, err := n.GetHashKey(ctx, e, row)
	return key, err
}
