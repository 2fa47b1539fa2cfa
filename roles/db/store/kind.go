package store

import (
	"fmt"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// kind is how values of a type are laid out, in rows and in keys.
type kind byte

const (
	kindInt kind = iota
	kindUint
	kindFloat32
	kindFloat64
	kindDecimal
	kindDate
	kindDatetime
	kindTime
	kindYear
	kindBit
	kindEnum
	kindSet
	kindString // collated text
	kindBytes
	kindJSON
	kindVector
	kindGeometry
)

// codec encodes and decodes the values of one type. The bytes of a fixed kind are
// the same in rows and keys, so that predicates on encoded rows compare bytes.
type codec struct {
	typ   sql.Type
	kind  kind
	width int // bytes of a fixed kind; 0 = variable

	precision uint8
	scale     uint8
	collation sql.CollationID
	nextRune  func(string) (rune, int)
	weight    sql.CollationSorter
	ascii     *asciiWeights // nil: none are known
	padSpace  bool          // trailing spaces do not count in unique checks
}

func newCodec(t sql.Type) (codec, error) {
	c := codec{typ: t}
	switch t := t.(type) {
	case types.NumberTypeImpl_:
		return numberCodec(c)
	case types.DecimalType_:
		c.kind, c.precision, c.scale = kindDecimal, t.Precision(), t.Scale()
		c.width = DecimalWidth(c.precision, c.scale)
	case sql.DatetimeType:
		c.kind, c.width = kindDatetime, 8
		if t.Type() == sqltypes.Date {
			c.kind, c.width = kindDate, 3
		}
	case types.TimespanType_:
		c.kind, c.width = kindTime, 8
	case types.YearType_:
		c.kind, c.width = kindYear, 2
	case types.BitType_:
		c.kind, c.width = kindBit, 8
	case types.EnumType:
		c.kind, c.width = kindEnum, 2
	case types.SetType:
		c.kind, c.width = kindSet, 8
	case types.StringType:
		c.kind = kindBytes
		if !types.IsBinaryType(t) {
			c.kind, c.collation = kindString, t.Collation()
			c.nextRune, c.weight = c.collation.CharacterSet().Encoder().NextRune, c.collation.Sorter()
			c.padSpace = c.collation.PadAttribute() == "PAD SPACE"
			c.ascii = asciiWeightsOf(&c)
		}
	case types.JsonType:
		c.kind = kindJSON
	case types.VectorType:
		c.kind = kindVector
	default:
		if _, ok := geometryKind(t); !ok {
			return codec{}, fmt.Errorf("type %s cannot be stored", t)
		}
		c.kind = kindGeometry
	}
	return c, nil
}

func numberCodec(c codec) (codec, error) {
	switch c.typ.Type() {
	case sqltypes.Int8:
		c.kind, c.width = kindInt, 1
	case sqltypes.Int16:
		c.kind, c.width = kindInt, 2
	case sqltypes.Int24:
		c.kind, c.width = kindInt, 3
	case sqltypes.Int32:
		c.kind, c.width = kindInt, 4
	case sqltypes.Int64:
		c.kind, c.width = kindInt, 8
	case sqltypes.Uint8:
		c.kind, c.width = kindUint, 1
	case sqltypes.Uint16:
		c.kind, c.width = kindUint, 2
	case sqltypes.Uint24:
		c.kind, c.width = kindUint, 3
	case sqltypes.Uint32:
		c.kind, c.width = kindUint, 4
	case sqltypes.Uint64:
		c.kind, c.width = kindUint, 8
	case sqltypes.Float32:
		c.kind, c.width = kindFloat32, 4
	case sqltypes.Float64:
		c.kind, c.width = kindFloat64, 8
	default:
		return codec{}, fmt.Errorf("type %s cannot be stored", c.typ)
	}
	return c, nil
}

// indexable reports why a column of this type cannot be part of a key; nil if it can.
func (c *codec) indexable() error {
	switch c.kind {
	case kindJSON, kindVector, kindGeometry:
		return fmt.Errorf("a column of type %s cannot be indexed", c.typ)
	case kindString:
		if c.weight == nil {
			return fmt.Errorf("collation %s cannot be indexed: it has no sort order", c.collation.Name())
		}
	}
	return nil
}

// mismatch is the error for a value whose Go type is not the one of the column: the
// caller has not converted it.
func (c *codec) mismatch(v any) error {
	return fmt.Errorf("a %T cannot be stored as %s", v, c.typ)
}
