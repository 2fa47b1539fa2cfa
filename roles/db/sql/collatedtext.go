package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// textMakers are functions whose text has the collation of their arguments, of which the
// planner's type says nothing: it would sort, group and compare CONCAT(name, ' ') byte by byte, and
// take UPPER of an ENUM for one.
var textMakers = map[string]gms.Function{}

func init() {
	names := map[string]bool{
		"concat": true, "concat_ws": true, "elt": true, "insert": true, "left": true, "lpad": true, "quote": true, "regexp_replace": true, "regexp_substr": true, "repeat": true,
		"replace": true, "right": true, "rpad": true, "soundex": true, "substring_index": true, "make_set": true, "export_set": true,
		"lcase": true, "lower": true, "ltrim": true, "mid": true, "reverse": true, "rtrim": true, "substr": true, "substring": true, "ucase": true, "upper": true,
	}
	for _, f := range function.BuiltIns {
		if names[f.FunctionName()] {
			textMakers[f.FunctionName()] = gms.FunctionN{Name: f.FunctionName(), Fn: func(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
				texts := make([]gms.Expression, len(args))
				for i, e := range args {
					texts[i] = memberText(ctx, e)
				}
				e, err := f.NewInstance(ctx, texts)
				if err != nil || !e.Resolved() {
					return e, err
				}
				if pad, ok := e.(*function.Pad); ok {
					e = &paddedText{pad}
				}
				collation, level := gms.GetCoercibility(ctx, e)
				return collatedText(ctx, e, collation, level), nil
			}}
		}
	}
}

// collatedText is an expression with the collation that its text has in its type, but for what is
// made of constants alone: that gives way to a column's, which a type cannot say.
func collatedText(ctx *gms.Context, e gms.Expression, collation gms.CollationID, level byte) gms.Expression {
	t, ok := e.Type(ctx).(gms.StringType)
	if !ok || level >= constantLevel || !types.IsTextOnly(t) || collation == t.Collation() || collation == gms.Collation_Unspecified || collation.CharacterSet() != gms.CharacterSet_utf8mb4 {
		return e
	}
	return &inType{expression.UnaryExpressionStub{Child: e}, textType(t.Length(), collation)}
}

// constantLevel is the coercibility of literals.
const constantLevel = 4

// textType is a text of so many characters, or the longest that there is.
func textType(length int64, collation gms.CollationID) gms.Type {
	return types.MustCreateString(sqltypes.Text, min(length, types.LongText.MaxByteLength()/collation.CharacterSet().MaxLength()), collation)
}
