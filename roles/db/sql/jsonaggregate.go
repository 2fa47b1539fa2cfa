package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// jsonAggregate is JSON_ARRAYAGG or JSON_OBJECTAGG, whose values count against db.query_memory.
type jsonAggregate struct{ plainAggregate }

func newJSONAggregate(plain gms.Aggregation) *jsonAggregate {
	return &jsonAggregate{plainAggregate{plain}}
}

// CollationCoercibility is the planner's.
func (a *jsonAggregate) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, a.Aggregation)
}

// WithChildren is the aggregate of other arguments. The planner's JSON_OBJECTAGG forgets its
// column.
func (a *jsonAggregate) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := a.Aggregation.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	if object, ok := e.(*aggregation.JSONObjectAgg); ok {
		e = object.WithId(a.Id())
	}
	return newJSONAggregate(e.(gms.Aggregation)), nil
}

// WithWindow is the aggregate over a window.
func (a *jsonAggregate) WithWindow(ctx *gms.Context, w *gms.WindowDefinition) gms.WindowAdaptableExpression {
	return newJSONAggregate(a.Aggregation.WithWindow(ctx, w).(gms.Aggregation))
}

// WithId is the aggregate under another id.
func (a *jsonAggregate) WithId(id gms.ColumnId) gms.IdExpression {
	return newJSONAggregate(a.Aggregation.WithId(id).(gms.Aggregation))
}

// NewBuffer starts a group.
func (a *jsonAggregate) NewBuffer(ctx *gms.Context) (gms.AggregationBuffer, error) {
	kept, err := newKept(ctx)
	if err != nil {
		return nil, err
	}
	value, err := transform.Clone(ctx, a.value())
	if err != nil {
		return nil, err
	}
	if _, ok := a.Aggregation.(*aggregation.JsonArray); ok {
		return &jsonArray{value: value, kept: kept}, nil
	}
	key, err := transform.Clone(ctx, a.Children()[0])
	return &jsonObject{key: key, value: value, members: map[string]any{}, kept: kept}, err
}

// value is the argument that gives the values.
func (a *jsonAggregate) value() gms.Expression {
	if _, ok := a.Aggregation.(*aggregation.JsonArray); ok {
		return a.Children()[0]
	}
	return a.Children()[1]
}

// NewWindowFunction is the aggregate over frames.
func (a *jsonAggregate) NewWindowFunction(ctx *gms.Context) (gms.WindowFunction, error) {
	plain, err := a.Aggregation.NewWindowFunction(ctx)
	if err != nil {
		return nil, err
	}
	kept, err := newKept(ctx)
	_, column := a.value().(*expression.GetField)
	return &jsonWindow{WindowFunction: plain, kept: kept, column: column}, err
}

// jsonValue is a value as JSON has it.
func jsonValue(ctx *gms.Context, e gms.Expression, row gms.Row) (any, error) {
	v, err := e.Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	if v, err = gms.UnwrapAny(ctx, v); err != nil {
		return nil, err
	}
	if document, ok := v.(gms.JSONWrapper); ok {
		return document.ToInterface(ctx)
	}
	return v, nil
}

// jsonArray is the array of a group.
type jsonArray struct {
	value  gms.Expression
	values []any
	kept   kept
}

// Update appends the value of a row.
func (a *jsonArray) Update(ctx *gms.Context, row gms.Row) error {
	v, err := jsonValue(ctx, a.value, row)
	if err != nil {
		return err
	}
	if err := a.kept.add(valueOverhead + memoryOfValue(v)); err != nil {
		return err
	}
	a.values = append(a.values, v)
	return nil
}

// Eval is the array. From then on it is a value of a row, counted by who keeps that.
func (a *jsonArray) Eval(*gms.Context) (any, error) {
	a.kept.forget()
	return types.JSONDocument{Val: a.values}, nil
}

// Dispose lets go of the values and the argument.
func (a *jsonArray) Dispose(ctx *gms.Context) {
	a.kept.forget()
	a.values = nil
	disposeExpression(ctx, a.value)
}

// jsonObject is the object of a group.
type jsonObject struct {
	key, value gms.Expression
	members    map[string]any
	kept       kept
}

// Update sets the member that a row names.
func (o *jsonObject) Update(ctx *gms.Context, row gms.Row) error {
	key, err := o.key.Eval(ctx, row)
	if err != nil {
		return err
	}
	if key == nil {
		return gms.ErrJSONObjectAggNullKey.New()
	}
	v, err := jsonValue(ctx, o.value, row)
	if err != nil {
		return err
	}
	if key, _, err = types.LongText.Convert(ctx, key); err != nil {
		return err
	}
	name, _, err := gms.Unwrap[string](ctx, key)
	if err != nil {
		return err
	}
	grown := memberMemory(name, v)
	if old, ok := o.members[name]; ok {
		grown -= memberMemory(name, old)
	}
	if err := o.kept.add(grown); err != nil {
		return err
	}
	o.members[name] = v
	return nil
}

// Eval is the object, NULL of no rows. From then on it is a value of a row, counted by who keeps
// that.
func (o *jsonObject) Eval(*gms.Context) (any, error) {
	o.kept.forget()
	if len(o.members) == 0 {
		return nil, nil
	}
	return types.JSONDocument{Val: o.members}, nil
}

// Dispose lets go of the members and the arguments.
func (o *jsonObject) Dispose(ctx *gms.Context) {
	o.kept.forget()
	o.members = nil
	disposeExpression(ctx, o.key)
	disposeExpression(ctx, o.value)
}

// jsonWindow counts the arrays of a window's frames, each of which has its own.
type jsonWindow struct {
	gms.WindowFunction
	kept   kept
	column bool // the values are those of a column, which the window keeps anyway
}

// Compute is the array of a frame.
func (w *jsonWindow) Compute(ctx *gms.Context, in gms.WindowInterval, rows gms.WindowBuffer) (any, error) {
	v, err := w.WindowFunction.Compute(ctx, in, rows)
	if err != nil {
		return nil, err
	}
	size := memoryOfValue(v)
	if document, ok := v.(types.JSONDocument); ok && w.column {
		if values, ok := document.Val.([]any); ok {
			size = rowOverhead + valueOverhead*int64(len(values))
		}
	}
	if err := w.kept.add(size); err != nil {
		return nil, err
	}
	return v, nil
}

// Dispose lets go of what was computed.
func (w *jsonWindow) Dispose(ctx *gms.Context) {
	w.kept.forget()
	w.WindowFunction.Dispose(ctx)
}
