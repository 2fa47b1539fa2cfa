package sql

import (
	"context"
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation/window"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/fit"
	"stack/roles/db/store"
)

// The planner has no TIME with fewer than six digits and no DECIMAL, FLOAT or DOUBLE without a
// sign. Tables show it the types that it has; what a column takes less is in the catalog,
// looked after where values are made to fit, and told to clients with the result.

// columnType is the type that values of a column are made to fit.
func columnType(t *store.Table, at int) gms.Type {
	if d := &t.Desc.Columns[at].Type; d.Narrow() {
		return fit.NewNarrow(t.Types[at], d.Unsigned, d.Digits())
	}
	return t.Types[at]
}

// restrictRow brings the values of a row to what its columns take; what is out of range is
// an error.
func restrictRow(t *store.Table, row gms.Row) error {
	for _, at := range t.Narrow {
		v, problem := columnType(t, at).(fit.Narrow).Restrict(row[at], false)
		if problem != nil {
			return mysqlError(problem.Error, "%s", problem.Text(problem.Error, t.Desc.Columns[at].Name, 1))
		}
		row[at] = v
	}
	return nil
}

// keepRestrictions lets the planner take columns whose types it does not have: it gets the type
// that it has, and columnDesc reads the statement.
func keepRestrictions(st sqlparser.Statement) {
	for _, c := range declaredColumns(st) {
		if c.Type.Zerofill { // nobody sees the zeros, but the values are those of UNSIGNED
			c.Type.Unsigned = true
		}
		if strings.EqualFold(c.Type.Type, "time") && c.Type.Length != nil && len(c.Type.Length.Val) == 1 && c.Type.Length.Val[0] <= '6' {
			c.Type.ResolvedType = types.Time
		}
	}
}

// declaredColumns are the columns whose types a statement says.
func declaredColumns(st sqlparser.Statement) (list []*sqlparser.ColumnDefinition) {
	switch st := st.(type) {
	case *sqlparser.DDL:
		if st.TableSpec != nil {
			list = st.TableSpec.Columns
		}
	case *sqlparser.AlterTable:
		for _, d := range st.Statements {
			list = append(list, declaredColumns(d)...)
		}
	}
	return list
}

// restrict gives a column's type what the running statement says of it and the planner does
// not know. was is the type that the column had, nil if there was none.
func restrict(ctx *gms.Context, c *gms.Column, ct store.ColumnType, was *store.ColumnType) (store.ColumnType, error) {
	isTime := ct.Base == "TIME"
	if !isTime && ct.Base != "DECIMAL" && ct.Base != "FLOAT32" && ct.Base != "FLOAT64" {
		return ct, nil
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return ct, err
	}
	st := s.runningStatement()
	for _, d := range declaredColumns(st) {
		if !strings.EqualFold(d.Name.String(), c.Name) {
			continue
		}
		if isTime {
			digits := uint8(0)
			if d.Type.Length != nil {
				digits = d.Type.Length.Val[0] - '0'
			}
			ct = ct.WithDigits(digits)
		}
		ct.Unsigned = !isTime && bool(d.Type.Unsigned)
		return ct, checkDefault(ctx, c, ct)
	}
	if was == nil {
		was = s.likeColumn(ctx, st, c.Name)
	}
	if was != nil && was.Base == ct.Base {
		ct.Unsigned = was.Unsigned
		if isTime {
			ct = ct.WithDigits(was.Digits())
		}
	}
	return ct, nil
}

// checkDefault refuses a default that the column does not take.
func checkDefault(ctx *gms.Context, c *gms.Column, ct store.ColumnType) error {
	if !ct.Unsigned || c.Default == nil || !c.Default.Resolved() || !c.Default.IsLiteral() {
		return nil
	}
	v, err := c.Default.Eval(ctx, nil)
	if err != nil {
		return err
	}
	if _, problem := fit.NewNarrow(c.Type, true, 0).Restrict(v, false); problem != nil {
		return mysqlError(1067, "Invalid default value for '%s'", c.Name)
	}
	return nil
}

// likeColumn is the type of a column of the table that CREATE TABLE … LIKE names.
func (s *Session) likeColumn(ctx *gms.Context, st sqlparser.Statement, name string) *store.ColumnType {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.OptLike == nil {
		return nil
	}
	for _, like := range ddl.OptLike.LikeTables {
		if t, err := s.storedNamed(ctx, like); err == nil && t != nil {
			if at := columnNamed(t.Desc, name); at >= 0 {
				return &t.Desc.Columns[at].Type
			}
		}
	}
	return nil
}

// Types as statements that show definitions have them.
type (
	shownDecimal struct{ types.DecimalType_ }
	shownNumber  struct{ types.NumberTypeImpl_ }
	shownTime    struct {
		types.TimespanType_
		digits uint8
	}
)

func (t shownDecimal) String() string { return t.DecimalType_.String() + " unsigned" }
func (t shownNumber) String() string  { return t.NumberTypeImpl_.String() + " unsigned" }
func (t shownTime) String() string    { return fit.NewNarrow(types.Time, false, t.digits).String() }

// Convert is a default as text, with the column's digits.
func (t shownTime) Convert(ctx context.Context, v any) (any, gms.ConvertInRange, error) {
	if v == nil {
		return nil, gms.InRange, nil
	}
	span, err := t.ConvertToTimespan(v)
	if err != nil {
		return nil, gms.InRange, err
	}
	return timeText(span, t.digits), gms.InRange, nil
}

func timeText(span types.Timespan, digits uint8) string {
	return fit.WithDigits(string(fit.RoundSpan(span, digits, false).AppendBytes(nil)), digits)
}

// showTypes gives the table's columns the types that they have, for statements that compute
// nothing.
func (t *Table) showTypes() {
	for _, at := range t.stored.Narrow {
		c := t.full[at]
		switch plain := c.Type.(type) {
		case types.DecimalType_:
			c.Type = shownDecimal{plain}
		case types.NumberTypeImpl_:
			c.Type = shownNumber{plain}
		case types.TimespanType_:
			c.Type = shownTime{plain, t.stored.Desc.Columns[at].Type.Digits()}
		}
	}
}

// showsTypes says whether the running statement shows definitions of tables and computes
// nothing with them.
func (s *Session) showsTypes() bool {
	if s.describes {
		return true
	}
	switch st := s.running.st.(type) {
	case *sqlparser.Show:
		switch strings.ToLower(st.Type) {
		case "create table", "columns", "fields", "full columns", "full fields":
			return true
		}
	case *sqlparser.Select:
		for _, t := range s.tablesOf(st) {
			if !strings.EqualFold(t.database, "information_schema") {
				return false
			}
			if strings.EqualFold(t.name, "columns") {
				return true
			}
		}
	}
	return false
}

// noteNarrow is a rule for finished plans, the last one: it notes what columns of the result take
// less than their type, which clients are told.
func noteNarrow(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return n, transform.SameTree, nil
	}
	s.narrow = nil
	for _, c := range n.Schema(ctx) {
		if types.IsTimespan(c.Type) || types.IsDecimal(c.Type) || types.IsFloat(c.Type) {
			s.narrow = restrictions(ctx, n)
			break
		}
	}
	return n, transform.SameTree, nil
}

// narrowed is the schema of a result with what noteNarrow has found.
func (s *Session) narrowed(schema gms.Schema) gms.Schema {
	if len(s.narrow) != len(schema) {
		return schema
	}
	out := schema
	for i, d := range s.narrow {
		if !d.Narrow() || schema[i].Type.Type().String() != d.Base {
			continue
		}
		if &out[0] == &schema[0] {
			out = append(gms.Schema(nil), schema...)
		}
		c := *schema[i]
		c.Type = fit.NewNarrow(c.Type, d.Unsigned, d.Digits())
		out[i] = &c
	}
	return out
}

// restrictions are the types in the catalog of a plan's columns, the zero value for what is
// no column of a table.
func restrictions(ctx *gms.Context, n gms.Node) []store.ColumnType {
	if t := readTable(n); t != nil {
		var list []store.ColumnType
		for i, d := range t.stored.Desc.Columns {
			if t.projected == nil {
				list = append(list, d.Type)
			} else if i < len(t.columns) {
				list = append(list, t.stored.Desc.Columns[t.columns[i]].Type)
			}
		}
		if len(list) > len(t.Schema(ctx)) {
			list = list[:len(t.Schema(ctx))]
		}
		return list
	}
	of := func(child gms.Node, list []gms.Expression) []store.ColumnType {
		schema, below := child.Schema(ctx), restrictions(ctx, child)
		if len(schema) != len(below) {
			return nil
		}
		out := make([]store.ColumnType, len(list))
		for i, e := range list {
			out[i] = restrictionOf(ctx, e, schema, below)
		}
		return out
	}
	switch n := n.(type) {
	case *plan.Project:
		return of(n.Child, n.Projections)
	case *plan.GroupBy:
		return of(n.Child, n.SelectDeps)
	case *plan.Window:
		return of(n.Child, n.SelectExprs)
	case *plan.SetOp:
		left, right := restrictions(ctx, n.Left()), restrictions(ctx, n.Right())
		if len(left) != len(right) {
			return nil
		}
		for i := range left {
			left[i] = wider(left[i], right[i])
		}
		return left
	}
	width := len(n.Schema(ctx))
	var list []store.ColumnType
	for _, child := range n.Children() {
		list = append(list, restrictions(ctx, child)...)
		if len(list) == width {
			return list
		}
	}
	return nil
}

// restrictionOf is the type in the catalog that the values of an expression have, of which
// schema and below are the columns that it sees.
func restrictionOf(ctx *gms.Context, e gms.Expression, schema gms.Schema, below []store.ColumnType) (found store.ColumnType) {
	if of := takenFrom(e); of != nil {
		return restrictionOf(ctx, of, schema, below)
	}
	switch e := e.(type) {
	case *expression.GetField:
		for i, c := range schema {
			if strings.EqualFold(saidOnly(c.Name), e.Name()) && strings.EqualFold(c.Source, e.Table()) {
				return below[i]
			}
		}
		return found
	case *expression.Alias, *function.Coalesce, *function.IfNull, *function.NullIf:
	default:
		return found
	}
	first := true
	for _, child := range e.Children() {
		if types.IsNull(ctx, child) {
			continue
		}
		d := restrictionOf(ctx, child, schema, below)
		if !first {
			d = wider(found, d)
		}
		found, first = d, false
	}
	return found
}

// takenFrom is the argument of an aggregate or a function over a window that takes one of its values
// as it is; its children are those of the window too. nil for all else.
func takenFrom(e gms.Expression) gms.Expression {
	switch e := e.(type) {
	case *rolledKey:
		return e.Child
	case *aggregation.Min:
		return e.Child
	case *aggregation.Max:
		return e.Child
	case *aggregation.First:
		return e.Child
	case *aggregation.Last:
		return e.Child
	case *aggregation.AnyValue:
		return e.Child
	case *window.FirstValue:
		return e.Child
	case *nthValue:
		return e.Child
	case *window.LastValue:
		return e.Child
	case *window.Lag:
		return e.ChildExpressions[0]
	case *window.Lead:
		return e.ChildExpressions[0]
	}
	return nil
}

// wider is what two columns of a result have in common.
func wider(a, b store.ColumnType) store.ColumnType {
	if a.Base != b.Base {
		return store.ColumnType{}
	}
	a.Unsigned = a.Unsigned && b.Unsigned
	if a.Base == "TIME" {
		a = a.WithDigits(max(a.Digits(), b.Digits()))
	}
	return a
}

// tooPrecise refuses a TIME with more digits than there are.
func tooPrecise(st sqlparser.Statement) error {
	for _, c := range declaredColumns(st) {
		if c.Type.Zerofill { // nobody sees the zeros, but the values are those of UNSIGNED
			c.Type.Unsigned = true
		}
		if strings.EqualFold(c.Type.Type, "time") && c.Type.Length != nil && c.Type.ResolvedType == nil {
			return mysqlError(1426, "%s", fmt.Sprintf("Too-big precision %s specified for '%s'. Maximum is 6.", c.Type.Length.Val, c.Name.String()))
		}
	}
	return nil
}

// literalSpan is the TIME that a default writes out, if it does.
func literalSpan(ctx *gms.Context, d *gms.ColumnDefaultValue) (types.Timespan, bool) {
	if d == nil || !d.Resolved() || !d.IsLiteral() {
		return 0, false
	}
	v, err := d.Eval(ctx, nil)
	span, ok := v.(types.Timespan)
	return span, ok && err == nil
}
