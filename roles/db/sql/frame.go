package sql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/wire"
)

// frame is one call of a routine.
type frame struct {
	s      *Session
	r      *routine
	out    sink // result sets of a procedure go here; nil: there may be none
	inside bool // within another statement: no statement of the body ends its transaction

	blocks  []*block
	given   map[string]sqlparser.Expr // values of placeholders, by name
	current error                     // what the running handler handles: RESIGNAL
	results int
	// affected and insertID are those of the last statement.
	affected, insertID uint64
}

// block is a BEGIN … END, or the frame of the parameters.
type block struct {
	variables  map[string]*variable
	conditions map[string]condition
	cursors    map[string]*cursor
	handlers   []handler
	handling   bool // one of its handlers runs: none of them applies
}

type variable struct {
	typ   gms.Type
	value any
}

// condition is what a handler waits for or SIGNAL raises: an error number or a SQLSTATE.
type condition struct {
	code  uint16
	state string
}

type handler struct {
	on     []sqlparser.DeclareHandlerCondition
	action sqlparser.DeclareHandlerAction
	run    sqlparser.Statement
}

// cursor keeps its rows from OPEN to CLOSE: what changes meanwhile does not show.
type cursor struct {
	query  sqlparser.SelectStatement
	open   bool
	schema gms.Schema
	rows   []gms.Row // those to come
	kept   kept      // these rows
}

// close lets go of the rows.
func (c *cursor) close() {
	c.open, c.rows = false, nil
	c.kept.forget()
}

// What moves control elsewhere travels as an error.
type (
	leaveBlock  struct{ label string }
	iterateLoop struct{ label string }
	returned    struct{ value any }
	exitBlock   struct{ block *block }
)

func (leaveBlock) Error() string  { return "LEAVE outside its block" }
func (iterateLoop) Error() string { return "ITERATE outside its loop" }
func (returned) Error() string    { return "RETURN outside a function" }
func (exitBlock) Error() string   { return "an EXIT handler outside its block" }

func newBlock() *block {
	return &block{variables: map[string]*variable{}, conditions: map[string]condition{}, cursors: map[string]*cursor{}}
}

func (f *frame) push() *block {
	b := newBlock()
	f.blocks = append(f.blocks, b)
	return b
}

// pop leaves a block, and closes its cursors.
func (f *frame) pop() {
	last := len(f.blocks) - 1
	for _, c := range f.blocks[last].cursors {
		c.close()
	}
	f.blocks = f.blocks[:last]
}

// variable finds the innermost variable of this name.
func (f *frame) variable(name string) *variable {
	name = strings.ToLower(name)
	for i := len(f.blocks) - 1; i >= 0; i-- {
		if v := f.blocks[i].variables[name]; v != nil {
			return v
		}
	}
	return nil
}

func (f *frame) cursor(name string) (*cursor, error) {
	for i := len(f.blocks) - 1; i >= 0; i-- {
		if c := f.blocks[i].cursors[strings.ToLower(name)]; c != nil {
			return c, nil
		}
	}
	return nil, gms.ErrCursorNotFound.New(name)
}

// assign converts a value to a variable's type, as a column of that type would.
func (f *frame) assign(ctx *gms.Context, name string, v *variable, value any) error {
	if value == nil {
		v.value = nil
		return nil
	}
	value, err := gms.UnwrapAny(ctx, value)
	if err != nil {
		return err
	}
	converted, inRange, err := v.typ.Convert(ctx, value)
	switch {
	case err == nil && inRange == gms.InRange:
		v.value = converted
		return nil
	case types.ErrLengthBeyondLimit.Is(err):
		return mysqlError(1406, "Data too long for column '%s' at row 1", name)
	case err == nil || gms.ErrValueOutOfRange.Is(err):
		return mysqlError(1264, "Out of range value for column '%s' at row 1", name)
	}
	return mysqlError(1366, "Incorrect %s value: '%v' for column '%s' at row 1", strings.ToLower(v.typ.String()), value, name)
}

// bind puts the values of variables where a statement or expression names them, as
// placeholders and what stands for them.
func (f *frame) bind(ctx *gms.Context, nodes ...sqlparser.SQLNode) (map[string]sqlparser.Expr, error) {
	var bindings map[string]sqlparser.Expr
	add := func(name string, value sqlparser.Expr) {
		if bindings == nil {
			bindings = map[string]sqlparser.Expr{}
		}
		bindings[name] = value
	}
	var visit sqlparser.Visit
	visit = func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.AssignmentExpr: // on the left is a column
			return false, sqlparser.Walk(visit, n.Expr)
		case *sqlparser.ValuesFuncExpr:
			return false, nil
		case *sqlparser.SQLVal:
			if n.Type != sqlparser.ValArg {
				return false, nil
			}
			name := strings.TrimPrefix(string(n.Val), ":")
			if value, ok := f.given[name]; ok {
				add(name, value)
			}
			return false, nil
		case *sqlparser.ColName:
			n.StoredProcVal = nil
			if !n.Qualifier.IsEmpty() {
				return false, nil
			}
			v := f.variable(n.Name.String())
			if v == nil {
				return false, nil
			}
			value, err := variableLiteral(ctx, v.typ, v.value)
			if err != nil {
				return false, err
			}
			if _, isNull := value.(*sqlparser.NullVal); isNull {
				n.StoredProcVal = value
				return false, nil
			}
			name := "p" + strconv.Itoa(len(bindings)+1)
			add(name, value)
			n.StoredProcVal = sqlparser.NewValArg([]byte(":" + name))
			return false, nil
		}
		return true, nil
	}
	return bindings, sqlparser.Walk(visit, nodes...)
}

// variableLiteral writes a value as an expression that has its type.
func variableLiteral(ctx *gms.Context, t gms.Type, v any) (sqlparser.Expr, error) {
	if v == nil {
		return &sqlparser.NullVal{}, nil
	}
	if b, ok := v.([]byte); ok {
		return sqlparser.NewHexVal(fmt.Appendf(nil, "%x", b)), nil
	}
	value, err := printedType(t).SQL(ctx, nil, v)
	if err != nil {
		return nil, err
	}
	cast := ""
	switch {
	case types.IsBit(t):
		n, _, err := types.Uint64.Convert(ctx, v)
		return sqlparser.NewIntVal(fmt.Appendf(nil, "%d", n)), err
	case types.IsDecimal(t):
		text := value.ToString()
		if !strings.Contains(text, ".") {
			return sqlparser.NewIntVal([]byte(text)), nil
		}
		return sqlparser.NewFloatVal([]byte(text)), nil
	case types.IsDateType(t):
		cast = "date"
	case types.IsDatetimeType(t), types.IsTimestampType(t):
		cast = "datetime"
	case types.IsTimespan(t):
		cast = "time"
	case types.IsJSON(t):
		cast = "json"
	case types.IsEnum(t), types.IsSet(t):
		return sqlparser.NewStrVal(value.ToBytes()), nil
	}
	if cast == "" {
		return sqlparser.ExprFromValue(value)
	}
	c := &sqlparser.ConvertExpr{Name: "cast", Expr: sqlparser.NewStrVal(value.ToBytes()), Type: &sqlparser.ConvertType{Type: cast}}
	if cast == "datetime" || cast == "time" {
		c.Type.Length = sqlparser.NewIntVal([]byte("6"))
	}
	return c, nil
}

// evaluate computes expressions with the variables in reach.
func (f *frame) evaluate(ctx *gms.Context, exprs ...sqlparser.Expr) (gms.Row, gms.Schema, error) {
	sel := &sqlparser.Select{}
	for _, e := range exprs {
		sel.SelectExprs = append(sel.SelectExprs, &sqlparser.AliasedExpr{Expr: e})
	}
	got := &rowsSink{limit: 1}
	if err := f.run(ctx, sel, got); err != nil {
		return nil, nil, err
	}
	if len(got.rows) != 1 {
		return nil, nil, errors.New("an expression gave no value")
	}
	return got.rows[0], got.schema, nil
}

// holds evaluates a condition: NULL is false.
func (f *frame) holds(ctx *gms.Context, e sqlparser.Expr) (bool, error) {
	row, _, err := f.evaluate(ctx, e)
	if err != nil || row[0] == nil {
		return false, err
	}
	return gms.ConvertToBool(ctx, row[0])
}

// run runs a statement of the body with the variables in reach.
func (f *frame) run(ctx *gms.Context, st sqlparser.Statement, out sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	keepDigits(st)
	bindings, err := f.bind(ctx, st)
	if err != nil {
		return err
	}
	if f.inside {
		return f.s.within(ctx, f.r.text, st, bindings, out)
	}
	return f.s.alone(ctx, f.r.text, st, bindings, out)
}

// rowsSink keeps rows, at most limit of them (0: all). More is an error.
type rowsSink struct {
	limit              int
	kept               *kept // counts the rows; nil: they are few
	schema             gms.Schema
	rows               []gms.Row
	affected, insertID uint64
}

var errTooManyRows = mysqlError(1172, "Result consisted of more than one row")

func (r *rowsSink) Columns(_ *gms.Context, schema gms.Schema) error { r.schema = schema; return nil }

func (r *rowsSink) Row(row gms.Row) error {
	if r.limit > 0 && len(r.rows) == r.limit {
		return errTooManyRows
	}
	if r.kept != nil {
		if err := r.kept.add(memoryOf(row)); err != nil {
			return err
		}
	}
	r.rows = append(r.rows, row.Copy())
	return nil
}

func (r *rowsSink) OK(affected, insertID uint64, _ string) {
	r.affected, r.insertID = affected, insertID
}

// doneSink keeps what a statement has done, and none of its rows.
type doneSink struct{ rowsSink }

func (*doneSink) Row(gms.Row) error { return nil }

// conditionOf is what an error is to handlers: its number and SQLSTATE.
func (f *frame) conditionOf(err error) condition {
	var e *wire.Error
	if !errors.As(f.s.tell(err), &e) {
		return condition{1105, "HY000"}
	}
	return condition{e.Code, e.SQLState()}
}
