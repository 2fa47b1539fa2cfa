package wire

import (
	"math"
	"strconv"

	"github.com/dolthub/vitess/go/sqltypes"
)

// Param is one value given to a prepared statement.
type Param struct {
	Kind ParamKind
	// Num holds ParamInt (as int64), ParamUint, ParamFloat and ParamFloat32 (as
	// math.Float64bits).
	Num uint64
	// Bytes holds the rest: text in UTF-8, raw bytes, decimal digits, and temporal
	// values in MySQL's text form ("2026-11-23 04:05:06.000007").
	Bytes []byte
}

// ParamKind says which field of a Param holds the value and what it is.
type ParamKind uint8

// The kinds of parameters, from the field types that a client may send.
const (
	ParamNull      ParamKind = iota
	ParamInt                 // TINY … LONGLONG, signed
	ParamUint                // the same, unsigned
	ParamFloat32             // FLOAT
	ParamFloat               // DOUBLE
	ParamDecimal             // DECIMAL, NEWDECIMAL
	ParamString              // VARCHAR, VAR_STRING, STRING, ENUM, SET
	ParamBytes               // the BLOBs, BIT, GEOMETRY
	ParamJSON                // JSON
	ParamDate                // DATE
	ParamDatetime            // DATETIME
	ParamTimestamp           // TIMESTAMP
	ParamTime                // TIME
	ParamYear                // YEAR, in Num
)

// SQL is the value in the form that go-mysql-server binds. It copies nothing: Bytes
// are shared.
func (p Param) SQL() sqltypes.Value {
	switch p.Kind {
	case ParamInt:
		return sqltypes.MakeTrusted(sqltypes.Int64, strconv.AppendInt(nil, int64(p.Num), 10))
	case ParamUint:
		return sqltypes.MakeTrusted(sqltypes.Uint64, strconv.AppendUint(nil, p.Num, 10))
	case ParamYear:
		return sqltypes.MakeTrusted(sqltypes.Year, strconv.AppendUint(nil, p.Num, 10))
	case ParamFloat32:
		return sqltypes.MakeTrusted(sqltypes.Float32, appendFloat(nil, math.Float64frombits(p.Num), 32))
	case ParamFloat:
		return sqltypes.MakeTrusted(sqltypes.Float64, appendFloat(nil, math.Float64frombits(p.Num), 64))
	case ParamDecimal:
		return sqltypes.MakeTrusted(sqltypes.Decimal, p.Bytes)
	case ParamString:
		return sqltypes.MakeTrusted(sqltypes.VarChar, p.Bytes)
	case ParamBytes:
		return sqltypes.MakeTrusted(sqltypes.VarBinary, p.Bytes)
	case ParamJSON:
		// A JSON parameter is text that the column or function parses.
		return sqltypes.MakeTrusted(sqltypes.VarChar, p.Bytes)
	case ParamDate:
		return sqltypes.MakeTrusted(sqltypes.Date, p.Bytes)
	case ParamDatetime:
		return sqltypes.MakeTrusted(sqltypes.Datetime, p.Bytes)
	case ParamTimestamp:
		return sqltypes.MakeTrusted(sqltypes.Timestamp, p.Bytes)
	case ParamTime:
		return sqltypes.MakeTrusted(sqltypes.Time, p.Bytes)
	}
	return sqltypes.NULL
}
