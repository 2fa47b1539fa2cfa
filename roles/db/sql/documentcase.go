package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// documentCase is CASE of a JSON WHEN of texts, which compares its text with them, as MySQL does: SQLAlchemy asks
// so whether a document is null. The planner compares documents, of which 'null' is a string. nil
// for every other CASE.
func documentCase(ctx *gms.Context, c *expression.Case) *expression.Case {
	if c.Expr == nil || !types.IsJSON(c.Expr.Type(ctx)) {
		return nil
	}
	for _, b := range c.Branches {
		if !types.IsTextOnly(b.Cond.Type(ctx)) {
			return nil
		}
	}
	text := expression.NewConvert(c.Expr, expression.ConvertToChar)
	return expression.NewCase(&collatedAs{expression.UnaryExpressionStub{Child: text}, gms.Collation_utf8mb4_bin}, c.Branches, c.Else)
}
