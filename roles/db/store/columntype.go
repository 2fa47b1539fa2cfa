package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	"github.com/dolthub/vitess/go/vt/proto/query"
)

// ColumnType is a column's type as the catalog stores it: plain data from which the
// same sql.Type is built again.
type ColumnType struct {
	// Base is the name of the MySQL protocol type ("INT32", "VARCHAR", "DECIMAL", …).
	Base string `json:"base"`
	// Length is the length of strings in characters (bytes for binary types), the
	// number of bits of BIT, the dimensions of VECTOR, the display width of numbers. Of
	// TIME one more than the digits behind the second: 0 are six, as all once had.
	Length int64 `json:"length,omitempty"`
	// Unsigned is that of DECIMAL, FLOAT and DOUBLE; integers have it in Base.
	Unsigned bool `json:"unsigned,omitempty"`
	// Precision is that of DECIMAL (digits) and of temporal types (fraction digits).
	Precision uint8 `json:"precision,omitempty"`
	// Scale is that of DECIMAL.
	Scale uint8 `json:"scale,omitempty"`
	// Collation is the collation id of strings, ENUM and SET.
	Collation uint16 `json:"collation,omitempty"`
	// Values are the members of ENUM and SET.
	Values []string `json:"values,omitempty"`
	// Geometry names the kind of a spatial column ("point", "polygon", …).
	Geometry string `json:"geometry,omitempty"`
	// SRID is set where the column pins a spatial reference system.
	SRID *uint32 `json:"srid,omitempty"`
}

// ColumnTypeOf describes t. It fails for types that no column can have (tuples,
// deferred and system types).
func ColumnTypeOf(t sql.Type) (ColumnType, error) {
	ct := ColumnType{Base: t.Type().String()}
	switch t := t.(type) {
	case types.NumberTypeImpl_:
		ct.Length = int64(t.DisplayWidth())
	case types.DecimalType_:
		ct.Precision, ct.Scale = t.Precision(), t.Scale()
	case types.StringType:
		ct.Length = t.MaxCharacterLength()
		ct.Collation = uint16(t.Collation())
	case types.EnumType:
		ct.Values, ct.Collation = t.Values(), uint16(t.Collation())
	case types.SetType:
		ct.Values, ct.Collation = t.Values(), uint16(t.Collation())
	case types.BitType_:
		ct.Length = int64(t.NumberOfBits())
	case sql.DatetimeType:
		ct.Precision = uint8(t.Precision())
	case types.VectorType:
		ct.Length = int64(t.Dimensions)
	case types.TimespanType_:
		ct = ct.WithDigits(MaxDigits)
	case types.YearType_, types.JsonType:
	case sql.SpatialColumnType:
		kind, ok := geometryKind(t.(sql.Type))
		if !ok {
			return ColumnType{}, fmt.Errorf("type %s cannot be stored in a column", t.(sql.Type))
		}
		ct.Geometry = kind
		if srid, set := t.GetSpatialTypeSRID(); set {
			ct.SRID = &srid
		}
	default:
		return ColumnType{}, fmt.Errorf("type %s cannot be stored in a column", t)
	}
	return ct, nil
}

// MaxDigits is how many digits behind the second a TIME has at most.
const MaxDigits = 6

// WithDigits is a TIME with so many digits behind the second.
func (ct ColumnType) WithDigits(digits uint8) ColumnType {
	ct.Length = int64(digits) + 1
	return ct
}

// Digits are those behind the second of a TIME.
func (ct ColumnType) Digits() uint8 {
	if ct.Length < 1 || ct.Length > MaxDigits {
		return MaxDigits
	}
	return uint8(ct.Length - 1)
}

// Narrow says whether the column takes less than its type for the planner does: a TIME
// with fewer than six digits, a number without a sign.
func (ct ColumnType) Narrow() bool {
	return ct.Unsigned || ct.Base == "TIME" && ct.Digits() < MaxDigits
}

// SQL builds the type that ct describes. That it is Narrow is not part of it.
func (ct ColumnType) SQL() (sql.Type, error) {
	if ct.Geometry != "" {
		return ct.geometry()
	}
	number, ok := query.Type_value[ct.Base]
	if !ok {
		return nil, fmt.Errorf("column type %q in the catalog is unknown to this version", ct.Base)
	}
	collation := sql.CollationID(ct.Collation)
	switch base := query.Type(number); base {
	case sqltypes.Int8, sqltypes.Int16, sqltypes.Int24, sqltypes.Int32, sqltypes.Int64,
		sqltypes.Uint8, sqltypes.Uint16, sqltypes.Uint24, sqltypes.Uint32, sqltypes.Uint64,
		sqltypes.Float32, sqltypes.Float64:
		return types.CreateNumberTypeWithDisplayWidth(base, int(ct.Length))
	case sqltypes.Decimal:
		return types.CreateColumnDecimalType(ct.Precision, ct.Scale)
	case sqltypes.Char, sqltypes.VarChar, sqltypes.Text, sqltypes.Binary, sqltypes.VarBinary, sqltypes.Blob:
		return types.CreateString(base, ct.Length, collation)
	case sqltypes.Enum:
		return types.CreateEnumType(ct.Values, collation)
	case sqltypes.Set:
		return types.CreateSetType(ct.Values, collation)
	case sqltypes.Bit:
		return types.CreateBitType(uint8(ct.Length))
	case sqltypes.Date, sqltypes.Datetime, sqltypes.Timestamp:
		return types.CreateDatetimeType(base, int(ct.Precision))
	case sqltypes.Time:
		return types.Time, nil
	case sqltypes.Year:
		return types.Year, nil
	case sqltypes.TypeJSON:
		return types.JSON, nil
	case sqltypes.Vector:
		return types.CreateVectorType(int(ct.Length))
	}
	return nil, fmt.Errorf("column type %q in the catalog is unknown to this version", ct.Base)
}

var geometryTypes = []struct {
	kind string
	typ  sql.Type
}{
	{"geometry", types.GeometryType{}},
	{"point", types.PointType{}},
	{"linestring", types.LineStringType{}},
	{"polygon", types.PolygonType{}},
	{"multipoint", types.MultiPointType{}},
	{"multilinestring", types.MultiLineStringType{}},
	{"multipolygon", types.MultiPolygonType{}},
	{"geomcollection", types.GeomCollType{}},
}

func geometryKind(t sql.Type) (string, bool) {
	switch t.(type) {
	case types.GeometryType:
		return "geometry", true
	case types.PointType:
		return "point", true
	case types.LineStringType:
		return "linestring", true
	case types.PolygonType:
		return "polygon", true
	case types.MultiPointType:
		return "multipoint", true
	case types.MultiLineStringType:
		return "multilinestring", true
	case types.MultiPolygonType:
		return "multipolygon", true
	case types.GeomCollType:
		return "geomcollection", true
	}
	return "", false
}

func (ct ColumnType) geometry() (sql.Type, error) {
	for _, g := range geometryTypes {
		if g.kind != ct.Geometry {
			continue
		}
		if ct.SRID != nil {
			return g.typ.(sql.SpatialColumnType).SetSRID(*ct.SRID), nil
		}
		return g.typ, nil
	}
	return nil, fmt.Errorf("column type %q in the catalog is unknown to this version", ct.Geometry)
}

// Equal reports whether the two types are the same.
func (ct ColumnType) Equal(o ColumnType) bool {
	if (ct.SRID == nil) != (o.SRID == nil) || ct.SRID != nil && *ct.SRID != *o.SRID {
		return false
	}
	return ct.Base == o.Base && ct.Length == o.Length && ct.Unsigned == o.Unsigned && ct.Precision == o.Precision && ct.Scale == o.Scale &&
		ct.Collation == o.Collation && ct.Geometry == o.Geometry && slices.Equal(ct.Values, o.Values)
}

// Extends reports whether every value of type o has the same stored bytes and the
// same key under ct, and none becomes invalid: the same type, a longer one, ENUM or
// SET with members added at the end.
func (ct ColumnType) Extends(o ColumnType) bool {
	if len(ct.Values) < len(o.Values) || ct.Length < o.Length && !number(ct.Base) {
		return false
	}
	if ct.Base == "BINARY" && ct.Length != o.Length || ct.Base == "BIT" && ct.Length != o.Length {
		return false // padded to the length
	}
	if ct.Unsigned && !o.Unsigned {
		return false
	}
	same := ct
	same.Values, same.Length, same.Unsigned = ct.Values[:len(o.Values)], o.Length, o.Unsigned
	return same.Equal(o)
}

// number reports whether Length is a display width only.
func number(base string) bool {
	return strings.HasPrefix(base, "INT") || strings.HasPrefix(base, "UINT") || strings.HasPrefix(base, "FLOAT")
}
