package sql

import (
	"fmt"
	"slices"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// textTakers are functions whose arguments are text, whatever their type.
var textTakers = map[string]bool{
	"aes_decrypt": true, "aes_encrypt": true, "ascii": true, "bit_length": true, "char_length": true, "character_length": true, "concat": true, "concat_ws": true, "find_in_set": true, "from_base64": true,
	"group_concat": true, "hex": true, "instr": true, "lcase": true, "left": true, "length": true, "locate": true, "lower": true, "lpad": true, "ltrim": true, "md5": true, "mid": true,
	"octet_length": true, "quote": true, "regexp_like": true, "regexp_replace": true, "repeat": true, "replace": true, "reverse": true, "right": true, "rpad": true,
	"rtrim": true, "sha": true, "sha1": true, "sha2": true, "substr": true, "substring": true, "substring_index": true, "to_base64": true, "trim": true,
	"ucase": true, "upper": true,
}

// temporalTexts is a rule for plans as they come from the statement. The planner makes text
// of a date or a time by its value alone: a DATE gets a time of day, a TIME six digits,
// and a DATETIME(3) as few digits as it can. What is made text says it by its type; a TIME,
// whose digits the planner does not know, with as few as it can.
func temporalTexts(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return temporalTextsOf(ctx, n, false)
}

// lateTemporalTexts is the rule for finished plans: conditions that an index over an expression
// may be looked up for were left as the planner compares them with those.
func lateTemporalTexts(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return temporalTextsOf(ctx, n, true)
}

// overExpressionKeys says whether a condition is about a table with an index over an expression.
func overExpressionKeys(ctx *gms.Context, n gms.Node) bool {
	filter, ok := n.(*plan.Filter)
	return ok && slices.ContainsFunc(filter.Child.Schema(ctx), func(c *gms.Column) bool { return c.HiddenSystem })
}

func temporalTextsOf(ctx *gms.Context, n gms.Node, late bool) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		if !late && overExpressionKeys(ctx, n) {
			return n, transform.SameTree, nil
		}
		return transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			if query, ok := e.(*plan.Subquery); ok {
				inner, same, err := temporalTextsOf(ctx, query.Query, late)
				if err != nil || same {
					return e, transform.SameTree, err
				}
				return query.WithQuery(inner), transform.NewTree, nil
			}
			return withTemporalTexts(ctx, e)
		})
	})
}

// wanted is what an expression makes of its arguments.
type wanted int

const (
	asTheyAre wanted = iota
	asText
	asNumber   // the digits of the text
	asInteger  // those without a fraction
	asDigits   // as a number, to compute with it
	asDocument // the first of them as JSON
)

// withTemporalTexts looks at the arguments of one expression.
func withTemporalTexts(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	if shift := shiftOf(e); shift != nil {
		return shift, transform.NewTree, nil
	}
	if bits, ok := e.(*expression.BitOp); ok && ofIntegers(ctx, bits) {
		return &bitOperation{bits}, transform.NewTree, nil
	}
	if week := extractedWeek(ctx, e); week != nil {
		return week, transform.NewTree, nil
	}
	unchanged := transform.SameTree
	if c, ok := e.(*expression.Convert); ok && c.Resolved() {
		if other := exactCast(ctx, c); other != nil {
			e, unchanged = other, transform.NewTree
		}
	}
	if c, ok := e.(*expression.Case); ok && c.Resolved() {
		if other := documentCase(ctx, c); other != nil {
			c, e, unchanged = other, other, transform.NewTree
		}
		if other := unifiedCase(ctx, c); other != nil {
			e, unchanged = other, transform.NewTree
		}
	}
	want := asTheyAre
	switch f := e.(type) {
	case *expression.Convert, *function.Coalesce, *function.IfNull, *function.If, *expression.Case:
		if e.Resolved() {
			want = wants(e.Type(ctx), f)
		}
	case *function.Quote: // which does not say what it is called
		want = asText
	case gms.FunctionExpression:
		if textTakers[strings.ToLower(f.FunctionName())] {
			want = asText
		}
		if documentTakers[strings.ToLower(f.FunctionName())] {
			want = asDocument
		}
	}
	if takesNumbers(e) {
		want = asDigits
	}
	if want == asTheyAre || !e.Resolved() {
		return e, unchanged, nil
	}
	children := e.Children()
	same := unchanged
	others := make([]gms.Expression, len(children))
	first := 0
	if list, ok := e.(*groupConcat); ok {
		first = len(list.order) // what it sorts by stays what it is
	}
	for i, child := range children {
		others[i] = child
		if child == nil || i < first || want == asDocument && i > 0 || decides(e, i) {
			continue
		}
		_, left := e.(function.Left)
		if t := madeInto(ctx, child, want); t != nil {
			others[i], same = t, transform.NewTree
		} else if left && i == 0 && types.IsNumber(child.Type(ctx)) { // which the planner refuses
			others[i], same = expression.NewConvert(child, expression.ConvertToChar), transform.NewTree
		}
	}
	if same {
		return e, transform.SameTree, nil
	}
	e, err := e.WithChildren(ctx, others...)
	return e, transform.NewTree, err
}

// decides says whether an argument is not one of those among which the function chooses.
func decides(e gms.Expression, at int) bool {
	switch e := e.(type) {
	case *function.If:
		return at == 0
	case *expression.Case:
		conditions := 2 * len(e.Branches)
		if e.Expr != nil {
			at--
		}
		return at < 0 || at < conditions && at%2 == 0
	}
	return false
}

// wants says what an expression of a type makes of the arguments that can be its value.
func wants(t gms.Type, e gms.Expression) wanted {
	_, cast := e.(*expression.Convert)
	switch {
	case types.IsText(t):
		return asText
	case cast && types.IsInteger(t):
		return asInteger
	case cast && types.IsNumber(t):
		return asNumber
	}
	return asTheyAre
}

// madeInto is an argument as what is wanted of it, nil where it is right as it is.
func madeInto(ctx *gms.Context, e gms.Expression, want wanted) gms.Expression {
	switch want {
	case asDocument:
		return exactDocumentOf(ctx, e)
	case asDigits:
		return numberOf(ctx, e)
	}
	return textOf(ctx, e, want)
}

// textOf is a date or time as text, nil for what is no such thing.
func textOf(ctx *gms.Context, e gms.Expression, want wanted) gms.Expression {
	text := &temporalText{UnaryExpressionStub: expression.UnaryExpressionStub{Child: e}, want: want}
	switch t := e.Type(ctx); {
	case types.IsDateType(t):
		text.layout = time.DateOnly
	case types.IsTimespan(t):
	case types.IsEnum(t) || types.IsSet(t):
		if want == asText {
			return memberText(ctx, e)
		}
		return nil
	case types.IsYear(t) && want == asText:
	case types.IsTime(t):
		digits, known := secondDigits(ctx, e)
		if !known && want == asText {
			return nil // the planner writes as few as it can
		}
		text.layout = time.DateTime
		if digits > 0 {
			text.layout += "." + strings.Repeat("0", digits)
		}
	default:
		return nil
	}
	return text
}

// temporalText is a date or time as the text that its type has. It is called like what it
// is made of, which plans and definitions go by.
type temporalText struct {
	expression.UnaryExpressionStub
	layout string // of time.Time, "" for TIME
	want   wanted
}

func (t *temporalText) String() string             { return t.Child.String() }
func (t *temporalText) Type(*gms.Context) gms.Type { return types.LongText }

// WithChildren is the text of another expression.
func (t *temporalText) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(t, len(children), 1)
	}
	other := *t
	other.Child = children[0]
	return &other, nil
}

// zeroDigit makes the zero date of a layout, '0000-00-00', whose month and day Format does not know.
func zeroDigit(r rune) rune {
	if r >= '0' && r <= '9' {
		return '0'
	}
	return r
}

// Eval returns text, NULL, or what is no date or time as it is.
func (t *temporalText) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := t.Child.Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	var text string
	switch v := v.(type) {
	case time.Time:
		switch {
		case t.layout == "":
			return v, nil
		case v.Equal(types.ZeroTime):
			text = strings.Map(zeroDigit, t.layout)
		default:
			text = v.Format(t.layout)
		}
	case types.Timespan:
		text = v.String() // with six digits or none
		if strings.Contains(text, ".") {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
	case int16:
		text = fmt.Sprintf("%04d", v) // a YEAR
	default:
		return v, nil
	}
	if t.want == asText {
		return text, nil
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign = "-"
	}
	digits := strings.NewReplacer("-", "", ":", "", " ", "").Replace(text)
	if t.want == asInteger {
		digits, _, _ = strings.Cut(digits, ".")
	}
	return sign + digits, nil
}
