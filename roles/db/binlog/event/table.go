package event

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"

	"stack/roles/db/store"
)

// Column types of the log, include/field_types.h of MySQL.
const (
	typeTiny      = 1
	typeShort     = 2
	typeLong      = 3
	typeFloat     = 4
	typeDouble    = 5
	typeLongLong  = 8
	typeInt24     = 9
	typeDate      = 10
	typeYear      = 13
	typeVarchar   = 15
	typeBit       = 16
	typeTimestamp = 17 // with fraction
	typeDatetime  = 18
	typeTime      = 19
	typeVector    = 242
	typeJSON      = 245
	typeDecimal   = 246
	typeEnum      = 247
	typeSet       = 248
	typeBlob      = 252
	typeString    = 254
	typeGeometry  = 255
)

// Table is how the rows of a store.Table stand in the log. It is immutable.
type Table struct {
	columns []column
	bitmap  int    // bytes of a bitmap with a bit per column
	body    []byte // of the table map, behind the flags
	id      uint64
}

// column is a column's type in the log.
type column struct {
	code   byte // as in the table map
	real   byte // typeEnum and typeSet have code typeString
	meta   []byte
	width  int // bytes of an integer, ENUM, SET, BIT or of the length before the bytes
	digits int // of the fraction
	typ    sql.Type
	encode func([]byte) ([]byte, bool) // text to the column's character set; nil: as it is

	precision, scale uint8
	name             string
}

// TableOf describes t for the log. The result is kept with t.
func TableOf(t *store.Table) (*Table, error) {
	v, err := t.Derived(func() (any, error) { return newTable(t) })
	if err != nil {
		return nil, err
	}
	return v.(*Table), nil
}

func newTable(t *store.Table) (*Table, error) {
	out := &Table{
		columns: make([]column, len(t.Types)),
		bitmap:  (len(t.Types) + 7) / 8,
		// Six bytes; another version of the table has another number.
		id: uint64(t.Desc.ID)<<16 | uint64(t.Desc.Version&0xffff),
	}
	for i, typ := range t.Types {
		c, err := newColumn(typ)
		if c.code == typeTime {
			c.digits = int(t.Desc.Columns[i].Type.Digits())
			c.meta = []byte{byte(c.digits)}
		}
		if err != nil {
			return nil, fmt.Errorf("table %s.%s, column %s: %w", t.Desc.Database, t.Desc.Name, t.Desc.Columns[i].Name, err)
		}
		c.name = t.Desc.Columns[i].Name
		out.columns[i] = c
	}
	if len(t.Desc.Database) > 255 || len(t.Desc.Name) > 255 {
		return nil, fmt.Errorf("table %s.%s: its name has more than 255 bytes", t.Desc.Database, t.Desc.Name)
	}
	out.body = out.appendBody(nil, t)
	return out, nil
}

func newColumn(t sql.Type) (column, error) {
	c := column{typ: t}
	switch t := t.(type) {
	case types.NumberTypeImpl_:
		return numberColumn(c)
	case types.DecimalType_:
		c.code, c.precision, c.scale = typeDecimal, t.Precision(), t.Scale()
		c.meta = []byte{c.precision, c.scale}
	case sql.DatetimeType:
		c.digits = t.Precision()
		switch t.Type() {
		case sqltypes.Date:
			c.code = typeDate
			return c, nil
		case sqltypes.Timestamp:
			c.code = typeTimestamp
		default:
			c.code = typeDatetime
		}
		c.meta = []byte{byte(c.digits)}
	case types.TimespanType_:
		c.code, c.digits, c.meta = typeTime, 6, []byte{6}
	case types.YearType_:
		c.code = typeYear
	case types.BitType_:
		bits := int(t.NumberOfBits())
		c.code, c.width, c.meta = typeBit, (bits+7)/8, []byte{byte(bits % 8), byte(bits / 8)}
	case types.EnumType:
		c.code, c.real, c.width = typeString, typeEnum, 1
		if t.NumberOfElements() > 255 {
			c.width = 2
		}
		c.meta, c.encode = []byte{typeEnum, byte(c.width)}, encoderOf(t.Collation())
	case types.SetType:
		c.code, c.real, c.width = typeString, typeSet, setWidth(int(t.NumberOfElements()))
		c.meta, c.encode = []byte{typeSet, byte(c.width)}, encoderOf(t.Collation())
	case types.StringType:
		return stringColumn(c, t)
	case types.JsonType:
		c.code, c.width, c.meta = typeJSON, 4, []byte{4}
	case types.VectorType:
		c.code, c.width, c.meta = typeVector, 4, []byte{4}
	case sql.SpatialColumnType:
		c.code, c.width, c.meta = typeGeometry, 4, []byte{4}
	default:
		return c, fmt.Errorf("type %s cannot be logged", t)
	}
	return c, nil
}

func numberColumn(c column) (column, error) {
	switch c.typ.Type() {
	case sqltypes.Int8, sqltypes.Uint8:
		c.code, c.width = typeTiny, 1
	case sqltypes.Int16, sqltypes.Uint16:
		c.code, c.width = typeShort, 2
	case sqltypes.Int24, sqltypes.Uint24:
		c.code, c.width = typeInt24, 3
	case sqltypes.Int32, sqltypes.Uint32:
		c.code, c.width = typeLong, 4
	case sqltypes.Int64, sqltypes.Uint64:
		c.code, c.width = typeLongLong, 8
	case sqltypes.Float32:
		c.code, c.meta = typeFloat, []byte{4}
	case sqltypes.Float64:
		c.code, c.meta = typeDouble, []byte{8}
	default:
		return c, fmt.Errorf("type %s cannot be logged", c.typ)
	}
	return c, nil
}

// stringColumn: CHAR and BINARY say their length in the two bytes of a type whose
// second one has room for 255 only, so the upper bits of the length are turned into
// the first.
func stringColumn(c column, t types.StringType) (column, error) {
	length := t.MaxByteLength()
	c.encode = encoderOf(t.Collation())
	switch t.Type() {
	case sqltypes.Char, sqltypes.Binary:
		c.code, c.width = typeString, lengthWidth(length)
		c.meta = []byte{typeString ^ byte(length>>4&0x30), byte(length)}
		if length > 1023 {
			return c, fmt.Errorf("%s has %d bytes, the log takes 1023", t, length)
		}
	case sqltypes.VarChar, sqltypes.VarBinary:
		c.code, c.width = typeVarchar, lengthWidth(length)
		c.meta = []byte{byte(length), byte(length >> 8)}
		if length > 65535 {
			return c, fmt.Errorf("%s has %d bytes, the log takes 65535", t, length)
		}
	default:
		c.code = typeBlob
		for c.width = 1; c.width < 4 && length >= 1<<(8*c.width); c.width++ {
		}
		c.meta = []byte{byte(c.width)}
	}
	return c, nil
}

func lengthWidth(length int64) int {
	if length > 255 {
		return 2
	}
	return 1
}

// setWidth is the length in bytes of a SET with n members.
func setWidth(n int) int {
	if w := (n + 7) / 8; w <= 4 {
		return max(w, 1)
	}
	return 8
}

// encoderOf is nil where text is logged as it is kept, in UTF-8.
func encoderOf(c sql.CollationID) func([]byte) ([]byte, bool) {
	switch cs := c.CharacterSet(); cs {
	case sql.CharacterSet_utf8mb4, sql.CharacterSet_utf8mb3, sql.CharacterSet_binary, sql.CharacterSet_ascii, sql.CharacterSet_Unspecified:
		return nil
	default:
		encoder := cs.Encoder()
		return func(text []byte) ([]byte, bool) {
			// It looks at as many bytes as a character may have, also at the end.
			return encoder.Encode(append(make([]byte, 0, len(text)+utf8.UTFMax), text...))
		}
	}
}

// Kinds of optional metadata in a table map, Table_map_event of MySQL.
const (
	metaSignedness       = 1
	metaColumnCharset    = 3
	metaColumnName       = 4
	metaSetValues        = 5
	metaEnumValues       = 6
	metaGeometry         = 7
	metaPrimaryKey       = 8
	metaPrimaryKeyPrefix = 9
	metaEnumSetCharset   = 11
	metaVisibility       = 12
	metaVectorDimensions = 13
)

// appendBody appends the table map behind its flags:
//
//	length of the database's name, the name, 0; the same of the table
//	number of columns; a type code each
//	length of the metadata; the metadata
//	bitmap of columns that may be NULL
//	optional metadata: kind, length, bytes; each
func (t *Table) appendBody(dst []byte, of *store.Table) []byte {
	for _, name := range []string{of.Desc.Database, of.Desc.Name} {
		dst = append(append(append(dst, byte(len(name))), name...), 0)
	}
	dst = appendLength(dst, uint64(len(t.columns)))
	var meta []byte
	nullable := make([]byte, t.bitmap)
	for i := range t.columns {
		dst = append(dst, t.columns[i].code)
		meta = append(meta, t.columns[i].meta...)
		if of.Desc.Columns[i].Nullable {
			nullable[i/8] |= 1 << (i % 8)
		}
	}
	dst = append(appendLength(dst, uint64(len(meta))), meta...)
	dst = append(dst, nullable...)
	return t.appendOptional(dst, of)
}

func (t *Table) appendOptional(dst []byte, of *store.Table) []byte {
	put := func(kind byte, value []byte) {
		if len(value) > 0 {
			dst = append(appendLength(append(dst, kind), uint64(len(value))), value...)
		}
	}
	var unsigned, visible bits
	var charsets, enumCharsets, names, sets, enums, geometries, vectors []byte
	for i := range t.columns {
		c, typ := &t.columns[i], of.Types[i]
		names = appendString(names, c.name)
		visible.add(!of.Desc.Columns[i].Hidden)
		switch typ := typ.(type) {
		case types.NumberTypeImpl_:
			unsigned.add(sqltypes.IsUnsigned(typ.Type()) || of.Desc.Columns[i].Type.Unsigned)
		case types.DecimalType_:
			unsigned.add(of.Desc.Columns[i].Type.Unsigned)
		case types.StringType:
			charsets = appendLength(charsets, uint64(typ.Collation()))
		case types.EnumType:
			enumCharsets = appendLength(enumCharsets, uint64(typ.Collation()))
			enums = c.appendMembers(enums, typ.Values())
		case types.SetType:
			enumCharsets = appendLength(enumCharsets, uint64(typ.Collation()))
			sets = c.appendMembers(sets, typ.Values())
		case types.VectorType:
			vectors = appendLength(vectors, uint64(typ.Dimensions))
		case sql.SpatialColumnType:
			geometries = appendLength(geometries, geometryCode(of.Desc.Columns[i].Type.Geometry))
		}
	}
	put(metaSignedness, unsigned.b)
	put(metaColumnCharset, charsets)
	put(metaColumnName, names)
	put(metaSetValues, sets)
	put(metaEnumValues, enums)
	put(metaGeometry, geometries)
	put(primaryKey(of))
	put(metaEnumSetCharset, enumCharsets)
	put(metaVisibility, visible.b)
	put(metaVectorDimensions, vectors)
	return dst
}

// bits is a bitmap whose first bit is the highest of the first byte.
type bits struct {
	b []byte
	n int
}

func (s *bits) add(on bool) {
	if s.n%8 == 0 {
		s.b = append(s.b, 0)
	}
	if on {
		s.b[s.n/8] |= 0x80 >> (s.n % 8)
	}
	s.n++
}

func (c *column) appendMembers(dst []byte, members []string) []byte {
	dst = appendLength(dst, uint64(len(members)))
	for _, m := range members {
		if c.encode != nil {
			if b, ok := c.encode([]byte(m)); ok {
				m = string(b)
			}
		}
		dst = appendString(dst, m)
	}
	return dst
}

// primaryKey lists the columns of the primary key; with the length of each where one
// has a prefix.
func primaryKey(of *store.Table) (byte, []byte) {
	var plain, prefixed []byte
	has := false
	for _, c := range of.Desc.Primary.Columns {
		_, at := of.Desc.Column(c.Column)
		plain = appendLength(plain, uint64(at))
		prefixed = appendLength(appendLength(prefixed, uint64(at)), uint64(c.Prefix))
		has = has || c.Prefix > 0
	}
	if has {
		return metaPrimaryKeyPrefix, prefixed
	}
	return metaPrimaryKey, plain
}

// geometryCode numbers the kinds of geometry as MySQL does.
func geometryCode(kind string) uint64 {
	for i, k := range []string{"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection"} {
		if k == kind {
			return uint64(i)
		}
	}
	return 0
}

// tableMapExact is the flag that MySQL 5.1.24 and later sets.
const tableMapExact = 1

// appendMap appends the table map event that must come before the table's rows.
//
//	19  table id, 6 bytes   25  flags, u16   27  body
func (t *Table) appendMap(dst []byte, server, timestamp uint32) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeTableMap, server, timestamp, 0)
	dst = appendLittle(dst, t.id, 6)
	dst = binary.LittleEndian.AppendUint16(dst, tableMapExact)
	return end(append(dst, t.body...), start)
}
