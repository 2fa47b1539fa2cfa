package sql

import (
	"slices"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// Functions that choose among values give them a common type. The planner knows of decimals
// that they are some, of an ENUM its number, and compares all numbers as DOUBLE.

// chooseFunction finds such a function for the planner, made with arguments of one type.
func chooseFunction(name string) (gms.Function, bool) {
	switch name {
	case "if":
		return gms.Function3{Name: name, Fn: func(ctx *gms.Context, when, a, b gms.Expression) gms.Expression {
			values := unified(ctx, a, b)
			return function.NewIf(ctx, when, values[0], values[1])
		}}, true
	case "ifnull":
		return gms.Function2{Name: name, Fn: func(ctx *gms.Context, a, b gms.Expression) gms.Expression {
			values := unified(ctx, a, b)
			return function.NewIfNull(ctx, values[0], values[1])
		}}, true
	case "nullif":
		return gms.Function2{Name: name, Fn: func(ctx *gms.Context, a, b gms.Expression) gms.Expression {
			number := func(e gms.Expression) bool { return !e.Resolved() || types.IsNumber(e.Type(ctx)) }
			if number(a) || number(b) {
				return function.NewNullIf(ctx, a, b)
			}
			return function.NewNullIf(ctx, memberText(ctx, a), memberText(ctx, b))
		}}, true
	case "coalesce":
		return gms.FunctionN{Name: name, Fn: func(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
			args = unified(ctx, args...)
			e, err := function.NewCoalesce(ctx, args...)
			if err != nil || !e.Resolved() {
				return e, err
			}
			collation, level := coercibilityOf(ctx, args)
			return collatedText(ctx, e, collation, level), nil
		}}, true
	case "greatest":
		return gms.FunctionN{Name: name, Fn: func(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
			return newExtreme(ctx, name, 1, function.NewGreatest, args)
		}}, true
	case "least":
		return gms.FunctionN{Name: name, Fn: func(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
			return newExtreme(ctx, name, -1, function.NewLeast, args)
		}}, true
	case "round":
		return gms.FunctionN{Name: name, Fn: func(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
			if len(args) == 1 && args[0].Resolved() && types.IsFloat(args[0].Type(ctx)) {
				return function.NewRound(ctx, evenFloat(args[0]))
			}
			e, err := function.NewRound(ctx, args...)
			return rounded(ctx, e, args), err
		}}, true
	case "ceil", "ceiling":
		return gms.Function1{Name: name, Fn: func(ctx *gms.Context, e gms.Expression) gms.Expression {
			return function.NewCeil(ctx, freshDecimal(e))
		}}, true
	case "floor":
		return gms.Function1{Name: name, Fn: func(ctx *gms.Context, e gms.Expression) gms.Expression {
			return function.NewFloor(ctx, freshDecimal(e))
		}}, true
	case "truncate":
		return gms.Function2{Name: name, Fn: func(ctx *gms.Context, a, digits gms.Expression) gms.Expression {
			return rounded(ctx, function.NewTruncate(ctx, a, digits), []gms.Expression{a, digits})
		}}, true
	case "min":
		return gms.Function1{Name: name, Fn: func(ctx *gms.Context, e gms.Expression) gms.Expression {
			return aggregation.NewMin(memberText(ctx, ofDistinct(e)))
		}}, true
	case "max":
		return gms.Function1{Name: name, Fn: func(ctx *gms.Context, e gms.Expression) gms.Expression {
			return aggregation.NewMax(memberText(ctx, ofDistinct(e)))
		}}, true
	}
	return nil, false
}

// rounded is ROUND or TRUNCATE of a DECIMAL with the scale that MySQL gives it, where the digits
// are said.
func rounded(ctx *gms.Context, e gms.Expression, args []gms.Expression) gms.Expression {
	if e == nil || !e.Resolved() {
		return e
	}
	t, ok := args[0].Type(ctx).(gms.DecimalType)
	if !ok {
		return e
	}
	digits := int64(0)
	if len(args) > 1 {
		literal, ok := args[1].(*expression.Literal)
		if !ok || literal.Value() == nil {
			return e
		}
		n, err := integerOf(ctx, literal.Value())
		if err != nil {
			return e
		}
		digits = min(max(n, 0), int64(t.Scale()))
	}
	whole := int64(t.Precision()) - int64(t.Scale()) + 1
	typ, err := types.CreateDecimalType(uint8(min(whole+digits, types.DecimalTypeMaxPrecision)), uint8(digits))
	if err != nil {
		return e
	}
	return &inType{expression.UnaryExpressionStub{Child: e}, typ}
}

// unifiedCase is a CASE with values of one type; nil where they are.
func unifiedCase(ctx *gms.Context, c *expression.Case) gms.Expression {
	var values []gms.Expression
	for _, b := range c.Branches {
		values = append(values, b.Value)
	}
	if c.Else != nil {
		values = append(values, c.Else)
	}
	changed := false
	branches := slices.Clone(c.Branches)
	otherwise := c.Else
	for i, v := range unified(ctx, values...) {
		changed = changed || !v.Type(ctx).Equals(values[i].Type(ctx))
		if i < len(branches) {
			branches[i].Value = v
		} else {
			otherwise = v
		}
	}
	if !changed {
		return nil
	}
	return expression.NewCase(c.Expr, branches, otherwise)
}

// unified are expressions of which one gives the value, made of one type where MySQL says
// that of the value by it.
func unified(ctx *gms.Context, values ...gms.Expression) []gms.Expression {
	for _, v := range values {
		if !v.Resolved() {
			return values
		}
	}
	values = slices.Clone(values)
	for i, v := range values {
		var other gms.Expression
		switch v := v.(type) {
		case *expression.Case:
			other = unifiedCase(ctx, v)
		case *expression.Convert:
			other = exactCast(ctx, v)
		}
		if other != nil {
			values[i] = other
		} else if len(values) > 1 {
			values[i] = memberText(ctx, v)
		}
	}
	common := commonType(ctx, values)
	if common == nil {
		return values
	}
	for i, v := range values {
		if t := v.Type(ctx); !types.IsNullType(t) && !t.Equals(common) {
			values[i] = &inType{expression.UnaryExpressionStub{Child: v}, common}
		}
	}
	return values
}

// commonType is the type of one of some values where these are exact numbers among which is a
// DECIMAL, numbers among which is a DOUBLE, dates of which some have a time, or texts; nil for
// all else.
func commonType(ctx *gms.Context, values []gms.Expression) gms.Type {
	exact, approximate, decimals, dates, moments, others := 0, 0, 0, 0, 0, 0
	whole, scale, digits := 0, 0, 0
	var texts []gms.Expression
	length := int64(0)
	signed, unsigned := false, false // integers, of which only the second may be over 2⁶³
	for _, v := range values {
		switch t := v.Type(ctx); {
		case types.IsNullType(t):
		case types.IsDecimal(t):
			d := t.(gms.DecimalType)
			whole, scale = max(whole, int(d.Precision())-int(d.Scale())), max(scale, int(d.Scale()))
			exact, decimals = exact+1, decimals+1
		case types.IsInteger(t), types.IsBoolean(t):
			whole, exact = max(whole, integerDigits(t)), exact+1
			signed, unsigned = signed || !types.IsUnsigned(t), unsigned || t.Type() == sqltypes.Uint64
		case types.IsFloat(t):
			approximate++
		case isDay(ctx, v):
			dates++
		case types.IsTime(t):
			n, known := secondDigits(ctx, v)
			if f, ok := v.(*expression.GetField); ok && !known {
				if d, ok := f.Type(ctx).(gms.DatetimeType); ok {
					n, known = d.Precision(), true
				}
			}
			if !known {
				others++
			}
			digits, moments = max(digits, n), moments+1
		case types.IsTextOnly(t):
			texts, length = append(texts, v), max(length, t.(gms.StringType).Length())
		default:
			others++
		}
	}
	switch {
	case others > 0 || exact+approximate > 0 && dates+moments > 0:
	case len(texts) > 0:
		if len(texts) > 1 && exact+approximate+dates+moments == 0 {
			return textType(length, collationOf(ctx, texts))
		}
	case approximate > 0 && exact > 0:
		return types.Float64
	case decimals == 0 && signed && unsigned:
		return types.MustCreateDecimalType(20, 0)
	case decimals > 0 && scale < types.DecimalTypeMaxScale: // more is not known
		t, err := types.CreateDecimalType(uint8(min(whole+scale, types.DecimalTypeMaxPrecision)), uint8(scale))
		if err == nil {
			return t
		}
	case moments > 0 && dates+moments > 1:
		return types.MustCreateDatetimeType(sqltypes.Datetime, digits)
	}
	return nil
}

// integerDigits is how many decimal digits the values of a type of integers have.
func integerDigits(t gms.Type) int {
	switch t.Type() {
	case sqltypes.Int8, sqltypes.Uint8:
		return 3
	case sqltypes.Int16, sqltypes.Uint16:
		return 5
	case sqltypes.Int24, sqltypes.Uint24:
		return 8
	case sqltypes.Int32, sqltypes.Uint32:
		return 10
	}
	return 20
}

// inType is the value of an expression in another type. It is called like the expression.
type inType struct {
	expression.UnaryExpressionStub
	typ gms.Type
}

func (c *inType) String() string                 { return c.Child.String() }
func (c *inType) Type(*gms.Context) gms.Type     { return c.typ }
func (c *inType) IsNullable(x *gms.Context) bool { return c.Child.IsNullable(x) }

// CollationCoercibility is that of the type.
func (c *inType) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	if types.IsText(c.typ) {
		_, level := gms.GetCoercibility(ctx, c.Child)
		return c.typ.(gms.StringType).Collation(), level
	}
	return gms.Collation_binary, 5
}

// WithChildren is another expression's value.
func (c *inType) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(c, len(children), 1)
	}
	return &inType{expression.UnaryExpressionStub{Child: children[0]}, c.typ}, nil
}

// Eval returns the value.
func (c *inType) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := c.Child.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	if types.IsText(c.typ) {
		text, _, err := types.ConvertToCollatedString(ctx, v, c.Child.Type(ctx))
		return text, err
	}
	if d, ok := c.typ.(gms.DecimalType); ok { // with all the digits that the type has
		n, err := asDecimal(ctx, v)
		if err != nil {
			return nil, err
		}
		exact := new(apd.Decimal)
		_, err = wide.Quantize(exact, n, -int32(d.Scale()))
		return exact, err
	}
	v, _, err = c.typ.Convert(ctx, v)
	return v, err
}

// memberText is the text of an ENUM or SET, everything else as it is.
func memberText(ctx *gms.Context, e gms.Expression) gms.Expression {
	if !e.Resolved() {
		return e
	}
	var collation gms.CollationID
	switch t := e.Type(ctx).(type) {
	case gms.EnumType:
		collation = t.Collation()
	case gms.SetType:
		collation = t.Collation()
	default:
		return e
	}
	text := types.MustCreateString(sqltypes.VarChar, 1024, collation)
	return &inType{expression.UnaryExpressionStub{Child: e}, text}
}

// newExtreme is GREATEST (sign 1) or LEAST (-1), with the planner's for values of which some are
// text and some are not.
func newExtreme(ctx *gms.Context, name string, sign int, planners func(*gms.Context, ...gms.Expression) (gms.Expression, error), args []gms.Expression) (gms.Expression, error) {
	if len(args) < 2 {
		return nil, wrongCount(name)
	}
	args = unified(ctx, args...)
	texts := slices.ContainsFunc(args, func(e gms.Expression) bool { return e.Resolved() && types.IsTextOnly(e.Type(ctx)) })
	for i, e := range args { // a date beside a text is one
		if texts && e.Resolved() && (types.IsTime(e.Type(ctx)) || types.IsTimespan(e.Type(ctx))) {
			if text := textOf(ctx, e, asText); text != nil {
				args[i] = text
			}
		}
	}
	typ := sameType(ctx, args)
	if typ == nil {
		return planners(ctx, args...)
	}
	return &ownFunction{name, args, always(typ), func(ctx *gms.Context, _ *ownFunction, values []any) (any, error) {
		best := values[0]
		for _, v := range values[1:] {
			n, err := compareValues(ctx, typ, v, best)
			if err != nil {
				return nil, err
			}
			if n*sign > 0 {
				best = v
			}
		}
		best, _, err := typ.Convert(ctx, best)
		return best, err
	}}, nil
}

func compareValues(ctx *gms.Context, typ gms.Type, a, b any) (int, error) {
	if !types.IsInteger(typ) && !types.IsDecimal(typ) {
		return typ.Compare(ctx, a, b)
	}
	x, err := asDecimal(ctx, a)
	if err != nil {
		return 0, err
	}
	y, err := asDecimal(ctx, b)
	if err != nil {
		return 0, err
	}
	return x.Cmp(y), nil
}

// sameType is the type of values that are all of one sort; nil where they are not, or where one
// is not known yet.
func sameType(ctx *gms.Context, args []gms.Expression) gms.Type {
	integers, unsigned, texts, others := 0, 0, 0, 0
	var first gms.Type
	for _, e := range args {
		if !e.Resolved() {
			return nil
		}
		t := e.Type(ctx)
		switch {
		case types.IsNullType(t), types.IsTuple(t), types.IsDeferredType(t):
			return nil
		case types.IsInteger(t):
			integers++
			if types.IsUnsigned(t) {
				unsigned++
			}
		case types.IsTextOnly(t):
			texts++
		default:
			others++
		}
		if first == nil {
			first = t
		} else if others > 0 && !t.Equals(first) {
			return nil
		}
	}
	switch {
	case others > 0 && (integers > 0 || texts > 0), integers > 0 && texts > 0:
		return nil
	case unsigned == len(args):
		return types.Uint64
	case unsigned > 0:
		return types.MustCreateDecimalType(20, 0)
	case integers > 0:
		return types.Int64
	case texts > 0:
		return textType(types.LongText.Length(), collationOf(ctx, args))
	}
	switch {
	case types.IsDecimal(first), types.IsFloat(first), types.IsDatetimeType(first), types.IsDateType(first), types.IsTimestampType(first), types.IsTimespan(first):
		return first
	}
	return nil
}

// collationOf is the collation by which texts are compared.
func collationOf(ctx *gms.Context, args []gms.Expression) gms.CollationID {
	collation, _ := coercibilityOf(ctx, args)
	if collation.CharacterSet() != gms.CharacterSet_utf8mb4 {
		return gms.Collation_Default
	}
	return collation
}

func coercibilityOf(ctx *gms.Context, args []gms.Expression) (gms.CollationID, byte) {
	collation, level := gms.GetCoercibility(ctx, args[0])
	for _, e := range args[1:] {
		c, l := gms.GetCoercibility(ctx, e)
		collation, level = gms.ResolveCoercibility(collation, level, c, l)
	}
	return collation, level
}
