package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
)

// scanned is the condition of a Filter over a table, with what the store's scan decides of
// it on the rows as they are stored. It evaluates as the condition does, so that a plan
// with it is right wherever it is not made use of.
type scanned struct {
	gms.Expression
	table *store.Table // that where is about
	// where is what the scan decides, rest what is left; one of them may be nil.
	where *store.Predicate
	rest  gms.Expression
	// unused says, by the positions in the table, which columns nobody reads above the Filter
	// once where is decided; nil: not known.
	unused []bool
	skip   int64 // rows to leave out first; only without rest
}

var _ gms.CollationCoercible = (*scanned)(nil)

// Children is the condition.
func (c *scanned) Children() []gms.Expression { return []gms.Expression{c.Expression} }

// WithChildren returns the other condition alone: what the scan would decide was about the
// one before.
func (c *scanned) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(c, len(children), 1)
	}
	return children[0], nil
}

// CollationCoercibility is the condition's.
func (c *scanned) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, c.Expression)
}

// scanCondition takes from the condition of a Filter what the scan below it can decide; nil
// where that is nothing.
func scanCondition(ctx *gms.Context, n *plan.Filter) *scanned {
	t := readTable(filteredNode(n))
	if t == nil || hasVirtual(t) {
		return nil
	}
	c := newConditions(ctx, n.Child, t)
	if c == nil {
		return nil
	}
	out := &scanned{Expression: n.Expression, table: t.stored}
	var decided []*store.Predicate
	var left []gms.Expression
	effects := false
	for _, e := range expression.SplitConjunction(ctx, n.Expression) {
		// What stands behind an expression that may do something is not asked before it.
		if !effects {
			if p := c.predicate(ctx, e); p != nil {
				decided = append(decided, p)
				continue
			}
		}
		effects = effects || !withoutEffect(ctx, e)
		left = append(left, e)
	}
	switch len(decided) {
	case 0:
		return nil
	case 1:
		out.where = decided[0]
	default:
		out.where = store.And(decided...)
	}
	if len(left) > 0 {
		out.rest = expression.JoinAnd(left...)
	}
	return out
}

// filteredNode is what reads the rows of a Filter, without the alias.
func filteredNode(n *plan.Filter) gms.Node {
	if alias, ok := n.Child.(*plan.TableAlias); ok {
		return alias.Child
	}
	return n.Child
}

// withoutEffect says whether it makes no difference how often and for which rows an
// expression is evaluated.
func withoutEffect(ctx *gms.Context, e gms.Expression) bool {
	ok := true
	gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		switch e := e.(type) {
		case *expression.UserVar, *expression.SystemVar, *expression.SetField:
			ok = false
		case gms.NonDeterministicExpression:
			ok = ok && !e.IsNonDeterministic()
		case *plan.Subquery:
			ok = false
		case gms.FunctionExpression:
			switch strings.ToLower(e.FunctionName()) {
			case "sleep", "nextval", "last_insert_id", "benchmark":
				ok = false
			}
		}
		return ok
	})
	return ok
}

// conditions makes predicates of the conditions on one table.
type conditions struct {
	table  *store.Table
	id     gms.TableId
	name   string
	fields map[string]int // position in the table, by name
	row    gms.Row        // for asking the planner's expressions
	zoned  bool           // TIMESTAMPs are compared as a time zone shows them, not as they are stored
}

// newConditions is nil where the columns of the table cannot be told by their names.
func newConditions(ctx *gms.Context, n gms.Node, t *Table) *conditions {
	node, ok := n.(plan.TableIdNode)
	if !ok {
		return nil
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil
	}
	c := &conditions{table: t.stored, id: node.Id(), name: node.Name(), fields: map[string]int{}, zoned: s.zoneFor(t.stored) != nil}
	for i, column := range node.Schema(ctx) {
		at := i
		if t.projected != nil {
			at = t.columns[i]
		}
		c.fields[strings.ToLower(column.Name)] = at
	}
	return c
}

// field is the column that an expression is; false if it is none of the table's.
func (c *conditions) field(e gms.Expression) (*expression.GetField, int, bool) {
	f, ok := e.(*expression.GetField)
	if !ok || f.TableId() != c.id || !strings.EqualFold(f.Table(), c.name) {
		return nil, 0, false
	}
	at, ok := c.fields[strings.ToLower(f.Name())]
	return f, at, ok
}

// predicate is a condition in the store's terms, nil where it cannot be said exactly.
func (c *conditions) predicate(ctx *gms.Context, e gms.Expression) *store.Predicate {
	switch e := e.(type) {
	case *quick: // of a subquery, whose plan was finished before
		return c.predicate(ctx, e.Expression)
	case *expression.Literal:
		return constantly(e.Value())
	case *expression.And:
		return c.both(ctx, e.Children(), store.And)
	case *expression.Or:
		return c.both(ctx, e.Children(), store.Or)
	case *expression.Not:
		if p := c.predicate(ctx, e.Child); p != nil {
			return store.Not(p)
		}
	case *expression.IsNull:
		if _, at, ok := c.field(e.Child); ok {
			return store.IsNull(at)
		}
	case *expression.Equals, *expression.LessThan, *expression.LessThanOrEqual, *expression.GreaterThan, *expression.GreaterThanOrEqual:
		return c.comparison(ctx, e.(expression.Comparer))
	case *expression.NullSafeEquals:
		_, at, ok := c.field(e.Left())
		if !ok {
			return nil
		}
		equal := c.comparison(ctx, expression.NewEquals(e.Left(), e.Right()))
		if equal == nil {
			return nil
		}
		return store.And(store.Not(store.IsNull(at)), equal)
	case *expression.Between:
		low := c.comparison(ctx, expression.NewGreaterThanOrEqual(e.Val, e.Lower))
		high := c.comparison(ctx, expression.NewLessThanOrEqual(e.Val, e.Upper))
		if low != nil && high != nil {
			return store.And(low, high)
		}
	case *expression.InTuple, *expression.HashInTuple:
		return c.in(ctx, e.(expression.Comparer))
	case *expression.Like:
		return c.like(ctx, e)
	}
	return nil
}

func (c *conditions) both(ctx *gms.Context, operands []gms.Expression, join func(...*store.Predicate) *store.Predicate) *store.Predicate {
	list := make([]*store.Predicate, len(operands))
	for i, e := range operands {
		if list[i] = c.predicate(ctx, e); list[i] == nil {
			return nil
		}
	}
	return join(list...)
}

func constantly(v any) *store.Predicate {
	switch v {
	case nil:
		return store.Constantly(store.Unknown)
	case true:
		return store.Constantly(store.True)
	case false:
		return store.Constantly(store.False)
	}
	return nil
}

// turned are the comparisons with their sides exchanged.
func turned(e expression.Comparer) expression.Comparer {
	l, r := e.Left(), e.Right()
	switch e.(type) {
	case *expression.Equals:
		return expression.NewEquals(r, l)
	case *expression.LessThan:
		return expression.NewGreaterThan(r, l)
	case *expression.LessThanOrEqual:
		return expression.NewGreaterThanOrEqual(r, l)
	case *expression.GreaterThan:
		return expression.NewLessThan(r, l)
	case *expression.GreaterThanOrEqual:
		return expression.NewLessThanOrEqual(r, l)
	}
	return e
}

// accepting says which orders of a column and a literal a comparison is true of.
func accepting(e expression.Comparer) func(n int) bool {
	switch e.(type) {
	case *expression.Equals:
		return func(n int) bool { return n == 0 }
	case *expression.LessThan:
		return func(n int) bool { return n < 0 }
	case *expression.LessThanOrEqual:
		return func(n int) bool { return n <= 0 }
	case *expression.GreaterThan:
		return func(n int) bool { return n > 0 }
	}
	return func(n int) bool { return n >= 0 }
}

// comparison compares a column with a literal.
func (c *conditions) comparison(ctx *gms.Context, e expression.Comparer) *store.Predicate {
	field, at, ok := c.field(e.Left())
	if !ok {
		if e = turned(e); e == nil {
			return nil
		}
		if field, at, ok = c.field(e.Left()); !ok {
			return nil
		}
	}
	literal := literalOf(ctx, e.Right())
	if literal == nil {
		return nil
	}
	holds := accepting(e)
	if types.IsTextOnly(field.Type(ctx)) {
		order := c.textOrder(ctx, field, e, literal)
		if order == nil {
			return nil
		}
		return store.OfColumn(at, func(value []byte) (bool, error) { return holds(order(value)), nil })
	}
	order := c.fixedOrder(ctx, field, at, e, literal)
	if order == nil {
		return nil
	}
	return store.OfColumn(at, func(value []byte) (bool, error) { return holds(order(value)), nil })
}

// literalOf is a literal, or what a sign before one makes of it; nil for all else, and NULL.
func literalOf(ctx *gms.Context, e gms.Expression) *expression.Literal {
	if minus, ok := e.(*expression.UnaryMinus); ok {
		if _, ok := minus.Child.(*expression.Literal); !ok {
			return nil
		}
		v, err := minus.Eval(ctx, nil)
		if err != nil || v == nil {
			return nil
		}
		return expression.NewLiteral(v, minus.Type(ctx))
	}
	if l, ok := e.(*expression.Literal); ok && l.Value() != nil {
		return l
	}
	return nil
}
