package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// collatedAs is a column of text in a comparison with one of another collation, by which
// MySQL compares them. The planner would read the column's index, in which other texts are
// equal; it does not take it for a column so.
type collatedAs struct {
	expression.UnaryExpressionStub
	collation gms.CollationID
}

var _ gms.CollationCoercible = (*collatedAs)(nil)

func (c *collatedAs) String() string { return c.Child.String() }

// Type is that of texts of the collation.
func (c *collatedAs) Type(*gms.Context) gms.Type {
	return types.MustCreateString(sqltypes.Text, types.LongText.Length()/4, c.collation)
}

// CollationCoercibility is that of COLLATE.
func (c *collatedAs) CollationCoercibility(*gms.Context) (gms.CollationID, byte) {
	return c.collation, 0
}

// Eval returns the column's value.
func (c *collatedAs) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	return c.Child.Eval(ctx, row)
}

// WithChildren returns another column so.
func (c *collatedAs) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(c, len(children), 1)
	}
	return &collatedAs{expression.UnaryExpressionStub{Child: children[0]}, c.collation}, nil
}

// compareMixed makes a comparison of two columns of different collations one by the
// collation that MySQL compares them by; nil for other comparisons, error 1267 where MySQL
// has none.
func compareMixed(ctx *gms.Context, e gms.Expression) (gms.Expression, error) {
	var operator string
	switch e.(type) {
	case *expression.Equals:
		operator = "="
	case *expression.NullSafeEquals:
		operator = "<=>"
	case *expression.LessThan:
		operator = "<"
	case *expression.LessThanOrEqual:
		operator = "<="
	case *expression.GreaterThan:
		operator = ">"
	case *expression.GreaterThanOrEqual:
		operator = ">="
	default:
		return nil, nil
	}
	c := e.(expression.Comparer)
	left, ok := columnCollation(ctx, c.Left())
	if !ok {
		return nil, nil
	}
	right, ok := columnCollation(ctx, c.Right())
	if !ok || left == right {
		return nil, nil
	}
	by, ok := commonCollation(left, right)
	switch {
	case !ok:
		return nil, mysqlError(1267, "Illegal mix of collations (%s,IMPLICIT) and (%s,IMPLICIT) for operation '%s'", left.Name(), right.Name(), operator)
	case by == left:
		return c.WithChildren(ctx, c.Left(), &collatedAs{expression.UnaryExpressionStub{Child: c.Right()}, by})
	}
	return c.WithChildren(ctx, &collatedAs{expression.UnaryExpressionStub{Child: c.Left()}, by}, c.Right())
}

// columnCollation is the collation of a column of text; false for all else.
func columnCollation(ctx *gms.Context, e gms.Expression) (gms.CollationID, bool) {
	field, ok := e.(*expression.GetField)
	if !ok {
		return 0, false
	}
	t, ok := field.Type(ctx).(gms.StringType)
	if !ok || !types.IsTextOnly(t) || t.Collation() == gms.Collation_Unspecified {
		return 0, false
	}
	return t.Collation(), true
}

// commonCollation is the one by which MySQL compares columns of two: that of the wider
// Unicode, that of Unicode, or within a character set the one that compares codes.
func commonCollation(left, right gms.CollationID) (gms.CollationID, bool) {
	l, r := width(left.CharacterSet()), width(right.CharacterSet())
	switch {
	case l > r:
		return left, true
	case r > l:
		return right, true
	case left.CharacterSet() != right.CharacterSet():
		return 0, false
	case strings.HasSuffix(left.Name(), "_bin"):
		return left, true
	case strings.HasSuffix(right.Name(), "_bin"):
		return right, true
	}
	return 0, false
}

// width orders character sets by which the text of one can be written in.
func width(c gms.CharacterSetID) int {
	switch c {
	case gms.CharacterSet_utf8mb4:
		return 3
	case gms.CharacterSet_utf8mb3:
		return 2
	case gms.CharacterSet_utf16, gms.CharacterSet_utf32:
		return 1
	}
	return 0
}
