package wire

import (
	"testing"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// Clients take TINYINT(1) for a boolean by its length, and the digits of a time from it.
func TestColumnLengths(t *testing.T) {
	for _, test := range []struct {
		name, source string
		typ          sql.Type
		want         uint32
	}{
		{"TINYINT(1)", "t", types.Boolean, 1},
		{"a comparison", "", types.Boolean, 4},
		{"TINYINT", "t", types.Int8, 4},
		{"DATETIME", "t", types.MustCreateDatetimeType(sqltypes.Datetime, 0), 19},
		{"DATETIME(3)", "t", types.MustCreateDatetimeType(sqltypes.Datetime, 3), 23},
		{"TIMESTAMP(6)", "t", types.MustCreateDatetimeType(sqltypes.Timestamp, 6), 26},
		{"DATE", "t", types.Date, 10},
		{"TIME(6)", "t", types.Time, 17},
	} {
		schema := sql.Schema{{Name: "c", Source: test.source, Type: test.typ}}
		if got := appendColumns(nil, sql.NewEmptyContext(), schema, collationUTF8mb4)[0].length; got != test.want {
			t.Errorf("%s: length %d, want %d", test.name, got, test.want)
		}
	}
}
