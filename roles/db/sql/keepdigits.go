package sql

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// keepDigits keeps the literals of a statement from being rounded. The planner's builder
// rounds one with a point to the scale of the DECIMAL column that it stands beside in a
// comparison, before any rule sees it. It does so for bare literals only: they become minus
// minus the literal, which exactDecimals takes back. Of DDL only bodies that
// are kept as their text: the planner writes other expressions anew.
func keepDigits(st sqlparser.Statement) {
	switch st := st.(type) {
	case *sqlparser.DDL:
		if st.ViewSpec != nil {
			keepDigits(st.ViewSpec.ViewExpr)
		}
		if st.TriggerSpec != nil {
			keepDigits(st.TriggerSpec.Body)
		}
	case *sqlparser.BeginEndBlock:
		for _, inner := range st.Statements {
			keepDigits(inner)
		}
	case *sqlparser.Select, *sqlparser.SetOp, *sqlparser.ParenSelect, *sqlparser.Insert, *sqlparser.Update, *sqlparser.Delete:
		eachOperand(st, func(operand *sqlparser.Expr) {
			if v, ok := (*operand).(*sqlparser.SQLVal); ok && hasPoint(v) {
				*operand = minusMinus(v)
			}
		})
	}
}

// eachOperand visits what stands beside a column in a comparison.
func eachOperand(st sqlparser.SQLNode, visit func(*sqlparser.Expr)) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if c, ok := n.(*sqlparser.ComparisonExpr); ok {
			switch c.Operator {
			case sqlparser.EqualStr, sqlparser.NotEqualStr, sqlparser.NullSafeEqualStr, sqlparser.LessThanStr,
				sqlparser.LessEqualStr, sqlparser.GreaterThanStr, sqlparser.GreaterEqualStr:
				if isColumn(c.Right) {
					visit(&c.Left)
				}
				if isColumn(c.Left) {
					visit(&c.Right)
				}
			}
		}
		return true, nil
	}, st)
}

func isColumn(e sqlparser.Expr) bool {
	_, ok := e.(*sqlparser.ColName)
	return ok
}

func hasPoint(v *sqlparser.SQLVal) bool {
	return v.Type == sqlparser.FloatVal && !bytes.ContainsAny(v.Val, "eE")
}

func minusMinus(e sqlparser.Expr) sqlparser.Expr {
	return &sqlparser.UnaryExpr{Operator: sqlparser.MinusStr, Expr: &sqlparser.UnaryExpr{Operator: sqlparser.MinusStr, Expr: e}}
}

// bareLiteral takes it back.
func bareLiteral(e gms.Expression) (gms.Expression, bool) {
	outer, ok := e.(*expression.UnaryMinus)
	if !ok {
		return e, false
	}
	inner, ok := outer.Child.(*expression.UnaryMinus)
	if !ok {
		return e, false
	}
	literal, ok := inner.Child.(*expression.Literal)
	if !ok {
		return e, false
	}
	_, ok = literal.Value().(*apd.Decimal)
	return literal, ok
}

// keepBound does for placeholders, where their values have a point, what keepDigits does
// for literals. The statement is as before after the function returned.
func (s *Session) keepBound(st sqlparser.Statement, bindings map[string]sqlparser.Expr) (restore func()) {
	decimal := func(name string) bool {
		v, ok := bindings[name].(*sqlparser.SQLVal)
		return ok && hasPoint(v)
	}
	if e, ok := st.(*sqlparser.Execute); ok {
		inner, ok := s.BaseSession.GetPreparedQuery(e.Name)
		if !ok {
			return func() {}
		}
		st = inner
		decimal = func(name string) bool { return s.boundDecimal(e, name) }
	} else if len(bindings) == 0 {
		return func() {}
	}
	var undo []func()
	eachOperand(st, func(operand *sqlparser.Expr) {
		was := *operand
		v, ok := was.(*sqlparser.SQLVal)
		if c, isName := was.(*sqlparser.ColName); isName { // of a variable
			v, ok = c.StoredProcVal.(*sqlparser.SQLVal)
		}
		if ok && v.Type == sqlparser.ValArg && decimal(strings.TrimPrefix(string(v.Val), ":")) {
			*operand = minusMinus(v)
			undo = append(undo, func() { *operand = was })
		}
	})
	return func() {
		for _, u := range undo {
			u()
		}
	}
}

// boundDecimal says whether EXECUTE … USING gives a placeholder, v1 and so on, a DECIMAL.
func (s *Session) boundDecimal(e *sqlparser.Execute, name string) bool {
	for i, variable := range e.VarList {
		if name == "v"+strconv.Itoa(i+1) {
			_, v, err := s.GetUserVariable(nil, strings.TrimPrefix(variable, "@"))
			_, ok := v.(*apd.Decimal)
			return err == nil && ok
		}
	}
	return false
}
