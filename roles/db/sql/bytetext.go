package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// matchBytes says both sides of a LIKE or REGEXP as bytes where one is: name LIKE BINARY 'a%' is
// BINARY name LIKE BINARY 'a%'. The planner would match by the collation of the other side.
func matchBytes(c *sqlparser.ComparisonExpr) {
	switch c.Operator {
	case sqlparser.LikeStr, sqlparser.NotLikeStr, sqlparser.RegexpStr, sqlparser.NotRegexpStr:
	default:
		return
	}
	switch left, right := isBytes(c.Left), isBytes(c.Right); {
	case right && !left:
		c.Left = &sqlparser.UnaryExpr{Operator: sqlparser.BinaryStr, Expr: c.Left}
	case left && !right:
		c.Right = &sqlparser.UnaryExpr{Operator: sqlparser.BinaryStr, Expr: c.Right}
	}
}

// isBytes says whether an expression is one of BINARY, or a CAST to it.
func isBytes(e sqlparser.Expr) bool {
	switch e := e.(type) {
	case *sqlparser.ParenExpr:
		return isBytes(e.Expr)
	case *sqlparser.UnaryExpr:
		return e.Operator == sqlparser.BinaryStr
	case *sqlparser.ConvertExpr:
		return e.Type != nil && strings.EqualFold(e.Type.Type, "binary")
	}
	return false
}
