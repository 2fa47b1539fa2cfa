package sql

import (
	"cmp"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// The planner's SIGN() rounds first: that of 0.3 was 0.
func init() {
	addFunction("sign", 1, always(types.Int64), func(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
		if d, ok := args[0].(*apd.Decimal); ok {
			return int64(d.Sign()), nil
		}
		v, _, err := types.Float64.Convert(ctx, args[0])
		if gms.ErrTruncatedIncorrect.Is(err) {
			ctx.Warn(1292, "%s", err.Error())
			err = nil
		}
		if err != nil || v == nil {
			return nil, err
		}
		return int64(cmp.Compare(v.(float64), 0)), nil
	})
}
