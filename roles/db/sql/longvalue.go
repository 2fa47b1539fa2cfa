package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// keepsLongValue says whether what is shown of a group is one of the values of its rows, which
// may be of any length.
func keepsLongValue(ctx *gms.Context, e gms.Expression) bool {
	switch e.(type) {
	case *aggregation.Min, *aggregation.Max, *aggregation.First, *aggregation.Last, *aggregation.AnyValue:
	case gms.Aggregation:
		return false
	}
	t := e.Type(ctx)
	return types.IsText(t) || types.IsJSON(t) || types.IsGeometry(t)
}

// longValue is a buffer that keeps such a value, and counts it.
type longValue struct {
	gms.AggregationBuffer
	budget *budget // of all groups
	bytes  int64
}

// Update takes a row, and counts what the value has become.
func (l *longValue) Update(ctx *gms.Context, row gms.Row) error {
	if err := l.AggregationBuffer.Update(ctx, row); err != nil {
		return err
	}
	v, err := l.AggregationBuffer.Eval(ctx)
	if err != nil {
		return err
	}
	grown := memoryOfValue(v) - l.bytes
	l.bytes += grown
	return l.budget.add(grown)
}
