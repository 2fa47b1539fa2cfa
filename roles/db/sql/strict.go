package sql

import (
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// strictPlan is a rule for plans that are quite finished: the columns of an INSERT are
// put in their places last.
func strictPlan(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		n, same, err := strictWrites(ctx, n)
		if insert, ok := n.(*plan.InsertInto); ok && err == nil && insert.IsReplace {
			source, err := noteReplaceID(ctx, insert.Source)
			return insert.WithSource(source), transform.NewTree, err
		}
		return n, same, err
	})
}

// strictWrites makes the values that n writes fail where the session's sql_mode refuses
// what the planner's types take: blank text for a number, and the zero date.
func strictWrites(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	switch n := n.(type) {
	case *plan.InsertInto:
		if n.Ignore || n.Source == nil || !gms.LoadSqlMode(ctx).Strict() {
			return n, transform.SameTree, nil
		}
		source, err := strictSource(ctx, n.Source, n.Destination.Schema(ctx))
		if err != nil {
			return nil, transform.SameTree, err
		}
		out, _, err := transform.OneNodeExpressions(ctx, n.WithSource(source), strictSet)
		return out, transform.NewTree, err
	case *plan.Update:
		if n.Ignore || !gms.LoadSqlMode(ctx).Strict() {
			return n, transform.SameTree, nil
		}
		out, err := strictSource(ctx, n, nil)
		return out, transform.NewTree, err
	}
	return n, transform.SameTree, nil
}

// strictSource looks down the first children for where the new values come from: for an
// INSERT the projection to the columns of schema.
func strictSource(ctx *gms.Context, n gms.Node, schema gms.Schema) (gms.Node, error) {
	switch n := n.(type) {
	case *plan.UpdateSource:
		out, _, err := transform.OneNodeExpressions(ctx, n, strictSet)
		return out, err
	case *plan.Project:
		if len(n.Projections) != len(schema) {
			return n, nil
		}
		exprs := make([]gms.Expression, len(schema))
		for i, e := range n.Projections {
			exprs[i] = e
			column, _ := e.(*expression.GetField)
			generated, _ := e.(*expression.AutoIncrement)
			switch {
			case column != nil:
				exprs[i] = newStrictValue(e, schema[i].Name, schema[i].Type)
			case generated != nil:
				var err error
				if exprs[i], err = generated.WithChildren(ctx, newStrictValue(generated.Child, schema[i].Name, schema[i].Type)); err != nil {
					return nil, err
				}
			}
		}
		return plan.NewProject(ctx, exprs, n.Child), nil
	}
	children := n.Children()
	if len(children) == 0 {
		return n, nil
	}
	first, err := strictSource(ctx, children[0], schema)
	if err != nil || first == children[0] {
		return n, err
	}
	return n.WithChildren(ctx, append([]gms.Node{first}, children[1:]...)...)
}

// strictSet does it for column = value.
func strictSet(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	set, ok := e.(*expression.SetField)
	if !ok {
		return e, transform.SameTree, nil
	}
	column, ok := set.LeftChild.(*expression.GetField)
	if !ok {
		return e, transform.SameTree, nil
	}
	if _, ok := set.RightChild.(*gms.ColumnDefaultValue); ok {
		return e, transform.SameTree, nil
	}
	value := newStrictValue(set.RightChild, column.Name(), column.Type(ctx))
	if v, ok := value.(*strictValue); ok {
		v.ranged = true
	}
	return expression.NewSetField(column, value), transform.NewTree, nil
}

// strictValue is a value for a column, which strict mode may refuse.
type strictValue struct {
	expression.UnaryExpressionStub
	column string
	typ    gms.Type
	ranged bool // a number beyond the type is refused: SET would store the nearest one
}

func newStrictValue(e gms.Expression, column string, t gms.Type) gms.Expression {
	if !isNumber(t) && !isDate(t) {
		return e
	}
	return &strictValue{expression.UnaryExpressionStub{Child: e}, column, t, false}
}

func isNumber(t gms.Type) bool {
	return types.IsInteger(t) || types.IsFloat(t) || types.IsDecimal(t)
}

func isDate(t gms.Type) bool {
	return types.IsDateType(t) || types.IsDatetimeType(t) || types.IsTimestampType(t)
}

func (v *strictValue) String() string                 { return v.Child.String() }
func (v *strictValue) Type(ctx *gms.Context) gms.Type { return v.Child.Type(ctx) }
func (v *strictValue) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(v, len(children), 1)
	}
	return &strictValue{expression.UnaryExpressionStub{Child: children[0]}, v.column, v.typ, v.ranged}, nil
}

// Eval returns the value, or error 1366, 1264 or 1292.
func (v *strictValue) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	value, err := v.Child.Eval(ctx, row)
	if err != nil || value == nil {
		return value, err
	}
	text, isText := value.(string)
	if b, ok := value.([]byte); ok {
		text, isText = string(b), true
	}
	if isNumber(v.typ) {
		if isText && strings.TrimSpace(text) == "" {
			kind := "integer"
			switch {
			case types.IsDecimal(v.typ):
				kind = "decimal"
			case types.IsFloat(v.typ):
				kind = "double"
			}
			return nil, mysqlError(1366, "Incorrect %s value: '%s' for column '%s' at row 1", kind, text, v.column)
		}
		if v.ranged {
			if _, in, err := v.typ.Convert(ctx, value); err == nil && in != gms.InRange {
				return nil, mysqlError(1264, "Out of range value for column '%s' at row 1", v.column)
			}
		}
		return value, nil
	}
	if !gms.LoadSqlMode(ctx).ModeEnabled("NO_ZERO_DATE") {
		return value, nil
	}
	at, isTime := value.(time.Time)
	if isTime && at.Equal(types.ZeroTime) || isText && types.IsZeroTimestampStr(text) || !isTime && !isText && isZero(ctx, value) {
		kind := "datetime"
		if types.IsDateType(v.typ) {
			kind = "date"
		}
		if isTime {
			text = "0000-00-00"
		} else if !isText {
			text = "0"
		}
		return nil, mysqlError(1292, "Incorrect %s value: '%s' for column '%s' at row 1", kind, text, v.column)
	}
	return value, nil
}

func isZero(ctx *gms.Context, v any) bool {
	n, _, err := types.Float64.Convert(ctx, v)
	return err == nil && n == float64(0)
}
