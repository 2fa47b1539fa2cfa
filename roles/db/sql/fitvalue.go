package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// fittedValue is an expression made to fit a column.
type fittedValue struct {
	expression.UnaryExpressionStub
	fitting *fitting
	column  *gms.Column
	source  func() gms.Expression // that the value now comes from, nil if it is not known
	first   bool                  // the first one that a row evaluates
	nulls   bool                  // NULL is none of its business
}

func (v *fittedValue) String() string                 { return v.Child.String() }
func (v *fittedValue) Type(ctx *gms.Context) gms.Type { return v.Child.Type(ctx) }
func (v *fittedValue) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(v, len(children), 1)
	}
	other := *v
	other.Child = children[0]
	return &other, nil
}

// Eval returns the value as the column stores it.
func (v *fittedValue) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	if v.first {
		v.fitting.row++
	}
	value, err := v.Child.Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	source := v.Child
	if v.source != nil {
		source = v.source()
	}
	if value == nil {
		switch {
		case v.column.Nullable, v.column.AutoIncrement:
			return nil, nil
		case isDefault(source):
			missing := &omittedValue{fitting: v.fitting, column: v.column}
			return missing.Eval(ctx, row)
		case v.nulls:
			return nil, nil
		}
		return v.fitting.null(ctx, v.column)
	}
	if bytes, ok := value.([]byte); ok && isLiteral(source) && types.IsNumber(v.column.Type) {
		value = hexNumber(bytes)
	}
	if source == nil {
		return v.fitting.value(ctx, v.column, value, nil)
	}
	return v.fitting.value(ctx, v.column, value, source.Type(ctx))
}

// omittedValue is that of a column of an INSERT that has neither a value nor a default.
type omittedValue struct {
	fitting *fitting
	column  *gms.Column
	first   bool
	// update says that the row may be there already: then it needs no value.
	update bool
}

func (m *omittedValue) Resolved() bool               { return true }
func (m *omittedValue) String() string               { return "DEFAULT" }
func (m *omittedValue) Type(*gms.Context) gms.Type   { return m.column.Type }
func (m *omittedValue) IsNullable(*gms.Context) bool { return m.column.Nullable }
func (m *omittedValue) Children() []gms.Expression   { return nil }
func (m *omittedValue) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 0 {
		return nil, gms.ErrInvalidChildrenNumber.New(m, len(children), 0)
	}
	return m, nil
}

// Eval returns the implicit default, with warning 1364 for the first row, or that as an error.
func (m *omittedValue) Eval(ctx *gms.Context, _ gms.Row) (any, error) {
	if m.first {
		m.fitting.row++
	}
	if types.IsEnum(m.column.Type) {
		return uint16(1), nil
	}
	v, ok, err := implicit(ctx, m.column.Type)
	if err != nil {
		return nil, err
	}
	missing := "Field '" + m.column.Name + "' doesn't have a default value"
	if m.fitting.strict || !ok {
		if !m.update || !ok {
			return nil, mysqlError(1364, "%s", missing)
		}
		s, err := sessionOf(ctx)
		if err != nil {
			return nil, err
		}
		s.missing = missing
		return v, nil
	}
	if m.fitting.row == 1 {
		ctx.Session.Warn(&gms.Warning{Level: "Warning", Code: 1364, Message: missing})
	}
	return v, nil
}

// isDefault says whether a value is that of DEFAULT.
func isDefault(e gms.Expression) bool {
	if w, ok := e.(*expression.Wrapper); ok {
		e = w.Unwrap()
	}
	_, ok := e.(*gms.ColumnDefaultValue)
	return ok
}

func isLiteral(e gms.Expression) bool {
	_, ok := e.(*expression.Literal)
	return ok
}

// hexNumber is what a hexadecimal literal is where a number is wanted: its last 64 bits.
func hexNumber(b []byte) uint64 {
	n := uint64(0)
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}
