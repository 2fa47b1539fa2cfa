package sql

import (
	"errors"
	"fmt"
	"slices"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// conversion makes rows of a table into rows of its changed definition, as INSERT … SELECT
// would, and looks whether they may be there.
type conversion struct {
	ctx     *gms.Context
	session *Session
	zone    *time.Location // the session's, nil for UTC
	from    *store.Table
	to      *store.Table
	rewrite bool       // rows come in the old form; else in the new one, only to be looked at
	source  []int      // positions in old rows, -1: the column is new
	schema  gms.Schema // of new rows, with expressions that can be computed
	counts  int        // position of a column that has become AUTO_INCREMENT, -1 if none
	follows bool       // rows change meanwhile: none can be given a number
	counted bool       // a row was given one
	checks  []checkExpr
	notNull []int
}

type checkExpr struct {
	name string
	expr gms.Expression
}

// checkColumn names the columns that stand for CHECK constraints while their expressions
// are resolved. No client can name one so.
const checkColumn = "#check"

// newConversion returns nil where rows need neither be changed nor looked at. checks:
// CHECK constraints are looked at, else only NOT NULL is. The session's catalog holds to.
func newConversion(ctx *gms.Context, s *Session, from, to *store.Table, checks bool) (c *conversion, err error) {
	defer recovered(&err)
	c = &conversion{ctx: ctx, session: s, zone: s.zone(), from: from, to: to, rewrite: from.Primary.Desc.ID != to.Primary.Desc.ID, counts: -1}
	var wanted []store.CheckDesc
	for _, check := range to.Desc.Checks {
		if checks && check.Enforced && (c.rewrite || !slices.Contains(from.Desc.Checks, check)) {
			wanted = append(wanted, check)
		}
	}
	for i := range to.Desc.Columns {
		col := &to.Desc.Columns[i]
		was, at := from.Desc.Column(col.ID)
		c.source = append(c.source, at)
		if !col.Nullable && (c.rewrite || was != nil && was.Nullable) {
			c.notNull = append(c.notNull, i)
		}
		if col.AutoIncrement && (was == nil || !was.AutoIncrement) {
			c.counts = i
		}
	}
	if !c.rewrite && len(wanted) == 0 && len(c.notNull) == 0 {
		return nil, nil
	}
	return c, c.resolve(wanted)
}

// resolve makes the planner build the expressions.
func (c *conversion) resolve(checks []store.CheckDesc) error {
	name := c.to.Desc.Name
	schema := tableSchema(c.to, c.to.Desc.Database, name).Schema
	columns := len(schema)
	for i, check := range checks {
		schema = append(schema, &gms.Column{
			Name: fmt.Sprint(checkColumn, i), Type: types.Boolean, Source: name, DatabaseSource: c.to.Desc.Database, Nullable: true,
			Generated: gms.NewUnresolvedColumnDefaultValue("(" + check.Expr + ")"),
		})
	}
	binder := planbuilder.New(c.ctx, c.session.engine.gms.Analyzer.Catalog, nil)
	schema = binder.ResolveSchemaDefaults(c.to.Desc.Database, name, schema)
	for _, col := range schema {
		for _, v := range []**gms.ColumnDefaultValue{&col.Default, &col.Generated} {
			if *v == nil {
				continue
			}
			placed, err := inRows(c.ctx, *v, schema)
			if err != nil {
				return err
			}
			*v = placed
		}
	}
	c.schema = schema[:columns]
	for i, check := range checks {
		c.checks = append(c.checks, checkExpr{check.Name, schema[columns+i].Generated.Expr})
	}
	return nil
}

// inRows lets an expression find its columns in rows of the schema.
func inRows(ctx *gms.Context, v *gms.ColumnDefaultValue, schema gms.Schema) (*gms.ColumnDefaultValue, error) {
	e, _, err := transform.Expr(ctx, v.Expr, func(_ *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
		field, ok := e.(*expression.GetField)
		if !ok {
			return e, transform.SameTree, nil
		}
		at := schema.IndexOfColName(field.Name())
		if at < 0 {
			return nil, transform.SameTree, gms.ErrColumnNotFound.New(field.Name())
		}
		return field.WithIndex(at), transform.NewTree, nil
	})
	if err == nil {
		e, _, err = transform.Expr(ctx, e, withTemporalTexts) // as plans that write rows do
	}
	if err != nil {
		return nil, err
	}
	out := *v
	out.Expr = e
	return &out, nil
}

// each is what the build calls; nil for no conversion.
func (c *conversion) each() txn.Convert {
	if c == nil {
		return nil
	}
	return c.row
}

// row makes a row of the new definition of one of the old, or of none.
func (c *conversion) row(old gms.Row) (row gms.Row, err error) {
	defer recovered(&err)
	row = shownRow(c.from, old, c.zone)
	if c.rewrite {
		old = row
		if row, err = c.rewritten(old); err != nil {
			return nil, err
		}
	}
	for _, i := range c.notNull {
		if row[i] == nil {
			return nil, gms.ErrInsertIntoNonNullableProvidedNull.New(c.schema[i].Name)
		}
	}
	for _, check := range c.checks {
		ok, err := gms.EvaluateCondition(c.ctx, check.expr, row)
		if err != nil {
			return nil, err
		}
		if gms.IsFalse(ok) {
			return nil, gms.ErrCheckConstraintViolated.New(check.name)
		}
	}
	if !c.rewrite {
		return old, nil
	}
	return storedRow(c.to, row, c.zone), nil
}

// rewritten takes over what there was, then computes defaults of new columns and what is
// generated, in order.
func (c *conversion) rewritten(old gms.Row) (gms.Row, error) {
	row := make(gms.Row, len(c.schema))
	for i, at := range c.source {
		if at < 0 || c.schema[i].Generated != nil {
			continue
		}
		v, err := c.value(old[at], at, i)
		if err != nil {
			return nil, err
		}
		row[i] = v
	}
	for i, at := range c.source {
		if at >= 0 || c.schema[i].Generated != nil || i == c.counts {
			continue
		}
		v, err := newColumnValue(c.ctx, c.schema[i], row)
		if err != nil {
			return nil, err
		}
		row[i] = v
	}
	for i, col := range c.schema {
		if col.Generated == nil {
			continue
		}
		v, err := col.Generated.Eval(c.ctx, row)
		if err != nil {
			return nil, err
		}
		if row[i], err = toColumn(c.ctx, v, col); err != nil {
			return nil, err
		}
	}
	if err := restrictRow(c.to, row); err != nil {
		return nil, err
	}
	if c.counts >= 0 {
		return row, c.count(row)
	}
	return row, nil
}

// errCounted ends a build beside writers in which a row needs a number: replicas, which repeat the
// statement, count the rows in order, so they must be counted in order here.
var errCounted = errors.New("a row needs a number")

// count gives a row of a column that has become AUTO_INCREMENT its number.
func (c *conversion) count(row gms.Row) error {
	col := c.schema[c.counts]
	if v := row[c.counts]; v != nil {
		zero, err := col.Type.Compare(c.ctx, v, col.Type.Zero())
		if err != nil || zero != 0 || gms.LoadSqlMode(c.ctx).ModeEnabled("NO_AUTO_VALUE_ON_ZERO") {
			return err
		}
	}
	if c.follows {
		return errCounted
	}
	c.counted = true
	n, err := c.session.tx.NextAutoIncrement(c.to)
	if err != nil {
		return err
	}
	row[c.counts], err = toColumn(c.ctx, n, col)
	return err
}

// value takes a value of an old column over into a new one's type.
func (c *conversion) value(v any, from, to int) (any, error) {
	if v == nil || c.from.Desc.Columns[from].Type.Equal(c.to.Desc.Columns[to].Type) {
		return v, nil
	}
	was, col := c.from.Types[from], c.schema[to]
	oldEnum, fromEnum := was.(gms.EnumType)
	newEnum, toEnum := col.Type.(gms.EnumType)
	if fromEnum && toEnum {
		return memberOf(v, oldEnum, newEnum, col.Name)
	}
	if types.IsSet(was) && types.IsSet(col.Type) {
		members, err := was.(gms.SetType).BitsToString(v.(uint64))
		if err != nil {
			return nil, err
		}
		v = members
	}
	if isDate(was) && types.IsText(col.Type) {
		text, err := printedType(was).SQL(c.ctx, nil, v)
		if err != nil {
			return nil, err
		}
		v, was = text.ToString(), types.LongText
	}
	converted, inRange, err := types.TypeAwareConversion(c.ctx, v, was, col.Type)
	switch {
	case gms.ErrNotMatchingSRID.Is(err):
		return nil, gms.ErrNotMatchingSRIDWithColName.New(col.Name, err)
	case gms.ErrTruncatedIncorrect.Is(err):
		return nil, gms.ErrInvalidValue.New(col.Type, v)
	case err != nil:
		return nil, err
	case inRange != gms.InRange:
		return nil, gms.ErrValueOutOfRange.New(v, col.Type)
	}
	if of, isText := col.Type.(gms.StringType); isText {
		if text, ok := converted.(string); ok {
			if problem := fit.Lacking(of.CharacterSet(), text); problem != nil {
				return nil, mysqlError(problem.Error, "%s", problem.Text(problem.Error, col.Name, 1))
			}
		}
	}
	return converted, nil
}

// memberOf finds a member of an ENUM among those of another. 0, which stands for what was
// none, stays.
func memberOf(v any, from, to gms.EnumType, column string) (any, error) {
	n, ok := v.(uint16)
	if !ok || n == 0 {
		return v, nil
	}
	member, _ := from.At(int(n))
	at := to.IndexOf(member)
	if at < 0 {
		return nil, types.ErrDataTruncatedForColumn.New(column)
	}
	return uint16(at), nil
}

// toColumn brings a computed value to a column's type.
func toColumn(ctx *gms.Context, v any, col *gms.Column) (any, error) {
	if v == nil {
		return nil, nil
	}
	v, inRange, err := col.Type.Convert(ctx, v)
	if err != nil {
		return nil, err
	}
	if inRange != gms.InRange {
		return nil, gms.ErrValueOutOfRange.New(v, col.Type)
	}
	return v, nil
}

// newColumnValue is what a row gets in a new column that is not generated.
func newColumnValue(ctx *gms.Context, col *gms.Column, row gms.Row) (any, error) {
	if col.Default == nil {
		if col.Nullable {
			return nil, nil
		}
		return toColumn(ctx, col.Type.Zero(), col)
	}
	v, err := col.Default.Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	return toColumn(ctx, v, col)
}

// sameForAll says whether all rows get the same value in a new column: one that is written
// there, or the time of the statement.
func sameForAll(ctx *gms.Context, col *gms.Column) bool {
	if col.Generated != nil || col.AutoIncrement {
		return false
	}
	if col.Default == nil {
		return true
	}
	same := true
	transform.InspectExpr(ctx, col.Default.Expr, func(_ *gms.Context, e gms.Expression) bool {
		switch e.(type) {
		case *expression.Literal, *expression.UnaryMinus, *function.Now:
		default:
			same = false
		}
		return !same
	})
	return same
}
