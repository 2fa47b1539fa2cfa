package direct

import (
	"slices"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// outer is a table on the right of a LEFT JOIN of which rows of NULLs are made where none
// meets the condition. Where WHERE drops those anyhow the join is an inner one.
type outer struct {
	on    sqlparser.Expr
	edges []edge // columns that are equal to ones of tables before it
	null  []int  // positions of the columns that WHERE wants to be NULL
	needs []int  // tables of edges
}

// ready says whether a table can be read once others are placed.
func (o *outer) ready(placed []bool) bool {
	return o == nil || !slices.ContainsFunc(o.needs, func(t int) bool { return !placed[t] })
}

// leftJoin notes that the last table is on the right of a LEFT JOIN. Several tables there
// are left to the planner.
func (j *join) leftJoin(both *sqlparser.JoinTableExpr) Reason {
	right := both.RightExpr
	for {
		paren, ok := right.(*sqlparser.ParenTableExpr)
		if !ok || len(paren.Exprs) != 1 {
			break
		}
		right = paren.Exprs[0]
	}
	if _, ok := right.(*sqlparser.AliasedTableExpr); !ok || both.Condition.On == nil {
		return Shape
	}
	j.outers[len(j.outers)-1] = &outer{on: both.Condition.On}
	return None
}

// tablesOf are the tables whose columns an expression names; false where it names others.
func (j *join) tablesOf(e sqlparser.Expr) (tables []int, known bool) {
	known = true
	sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		c, ok := n.(*sqlparser.ColName)
		if !ok {
			return true, nil
		}
		place, ok := j.tables.column(c)
		if !ok {
			known = false
			return false, nil
		}
		if t := j.tables.of(place); !slices.Contains(tables, t) {
			tables = append(tables, t)
		}
		return false, nil
	}, e)
	return tables, known
}

// conjuncts are the parts of a conjunction.
func conjuncts(e sqlparser.Expr) []sqlparser.Expr {
	switch e := e.(type) {
	case *sqlparser.AndExpr:
		return append(conjuncts(e.Left), conjuncts(e.Right)...)
	case *sqlparser.ParenExpr:
		return conjuncts(e.Expr)
	}
	return []sqlparser.Expr{e}
}

// wantsNull is the column that a condition wants to be NULL; false for other conditions.
func wantsNull(e sqlparser.Expr) (sqlparser.Expr, bool) {
	is, ok := e.(*sqlparser.IsExpr)
	if !ok || is.Operator != sqlparser.IsNullStr {
		return nil, false
	}
	_, ok = is.Expr.(*sqlparser.ColName)
	return is.Expr, ok
}

// settleOuters makes inner joins of LEFT JOINs whose rows of NULLs meet no condition: no
// comparison that is taken here is true of NULL, but IS NULL. It returns the conditions with
// those of the joins that became inner ones.
func (j *join) settleOuters(conditions []sqlparser.Expr) ([]sqlparser.Expr, Reason) {
	for i := 0; i < len(conditions); i++ {
		for _, e := range conjuncts(conditions[i]) {
			tables, known := j.tablesOf(e)
			if !known {
				return nil, Shape
			}
			if _, null := wantsNull(e); null {
				continue
			}
			for _, t := range tables {
				if o := j.outers[t]; o != nil {
					j.outers[t] = nil
					conditions = append(conditions, o.on)
				}
			}
		}
	}
	return conditions, None
}

// outerConditions reads the condition of a LEFT JOIN.
func (p *Plan) outerConditions(table int) Reason {
	j := p.join
	o := j.outers[table]
	if o == nil {
		return None
	}
	for _, e := range conjuncts(o.on) {
		tables, known := j.tablesOf(e)
		if !known || !slices.Contains(tables, table) {
			return Shape
		}
		if len(tables) == 1 {
			p.where = j.wheres[table]
			reason := p.conjunction(j.tables[table], e)
			p.where = nil
			if reason != None {
				return reason
			}
			continue
		}
		equal, ok := e.(*sqlparser.ComparisonExpr)
		if !ok {
			return Shape
		}
		left, okLeft := equal.Left.(*sqlparser.ColName)
		right, okRight := equal.Right.(*sqlparser.ColName)
		if !okLeft || !okRight {
			return Shape
		}
		found, reason := p.edgeOf(left, right, equal)
		if reason != None {
			return reason
		}
		o.edges = append(o.edges, found)
		for _, t := range tables {
			// A column of a table that stands behind it is none that ON may name.
			if t > table {
				return Shape
			}
			if t != table {
				o.needs = append(o.needs, t)
			}
		}
	}
	return None
}

// afterwards takes over a condition of WHERE on a table of a LEFT JOIN, which is asked when
// it is known whether there is a row.
func (j *join) afterwards(table int, e sqlparser.Expr) Reason {
	column, ok := wantsNull(e)
	if !ok {
		return Shape
	}
	place, _ := j.tables.column(column)
	j.outers[table].null = append(j.outers[table].null, place-j.tables[table].first)
	return None
}
