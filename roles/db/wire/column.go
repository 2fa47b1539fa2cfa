package wire

import (
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/encodings"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	"github.com/dolthub/vitess/go/vt/proto/query"
)

// Field types of the protocol.
const (
	typeDecimal    = 0
	typeTiny       = 1
	typeShort      = 2
	typeLong       = 3
	typeFloat      = 4
	typeDouble     = 5
	typeNull       = 6
	typeTimestamp  = 7
	typeLongLong   = 8
	typeInt24      = 9
	typeDate       = 10
	typeTime       = 11
	typeDatetime   = 12
	typeYear       = 13
	typeVarchar    = 15
	typeBit        = 16
	typeJSON       = 245
	typeNewDecimal = 246
	typeEnum       = 247
	typeSet        = 248
	typeTinyBlob   = 249
	typeMediumBlob = 250
	typeLongBlob   = 251
	typeBlob       = 252
	typeVarString  = 253
	typeString     = 254
	typeGeometry   = 255
)

// Flags of a column definition.
const (
	flagNotNull       = 1
	flagPrimaryKey    = 2
	flagBlob          = 16
	flagUnsigned      = 32
	flagZerofill      = 64
	flagBinary        = 128
	flagEnum          = 256
	flagAutoIncrement = 512
	flagSet           = 2048
)

// notFixed in the decimals of a column says that a FLOAT or DOUBLE has no fixed number
// of them. Clients that see 0 here round the value.
const notFixed = 31

const (
	collationBinary  = 63
	collationUTF8mb3 = 33 // utf8mb3_general_ci, which every client knows
	collationUTF8mb4 = 45 // utf8mb4_general_ci
)

// column is what encoding a value needs to know of its column.
type column struct {
	name, table, database string

	sqlType  sql.Type
	typ      byte // field type on the wire
	flags    uint16
	charset  uint16
	length   uint32
	decimals byte

	// utf8 says that a string may go out as it is; narrow that it may unless it has
	// characters beyond U+FFFF, which utf8mb3 lacks. Else encoder converts it.
	utf8, narrow bool
	encoder      encodings.Encoder
}

// appendColumns describes schema as the client will see it. results is the collation id
// that says "character_set_results is UTF-8" to this client.
func appendColumns(cols []column, ctx *sql.Context, schema sql.Schema, results uint16) []column {
	if len(schema) == 0 {
		return cols
	}
	charset := ctx.GetCharacterSetResults()
	named := nameEncoder(charset)
	for _, c := range schema {
		narrow, isNarrow := c.Type.(restricted)
		if isNarrow {
			plain := *c
			plain.Type = narrow.Unwrap()
			c = &plain
		}
		col := column{name: c.Name, table: c.Source, database: c.DatabaseSource, sqlType: c.Type}
		if named != nil {
			for _, name := range []*string{&col.name, &col.table, &col.database} {
				*name = string(named.EncodeReplaceUnknown([]byte(*name)))
			}
		}
		col.typ, col.flags = wireType(c.Type.Type())
		col.length = c.Type.MaxTextResponseByteLength(ctx)
		col.charset = collationBinary
		if !c.Nullable {
			col.flags |= flagNotNull
		}
		if c.AutoIncrement {
			col.flags |= flagAutoIncrement
		}
		if c.PrimaryKey {
			col.flags |= flagPrimaryKey
		}
		switch col.typ {
		case typeTiny:
			// TINYINT(1), which clients know a boolean by. What is computed is a number.
			if t, ok := c.Type.(sql.NumberType); ok && t.DisplayWidth() == 1 && c.Source != "" {
				col.length = 1
			}
		case typeVarString, typeString, typeBlob, typeJSON:
			if col.flags&flagBinary == 0 {
				col.setCharset(c.Type, charset, results)
			}
		case typeFloat, typeDouble:
			col.decimals = notFixed
		case typeNewDecimal:
			if t, ok := c.Type.(sql.DecimalType); ok {
				col.decimals = t.Scale()
			}
		case typeDatetime, typeTimestamp:
			if t, ok := c.Type.(sql.DatetimeType); ok {
				col.decimals = byte(t.Precision())
				col.length = uint32(len("2006-01-02 15:04:05")) + fraction(col.decimals)
				if col.typ == typeTimestamp {
					// Its own type refuses what a clock ahead of UTC shows at the end of its range.
					col.sqlType = datetimeTypes[t.Precision()]
				}
			}
		case typeTime:
			col.decimals = 6
		}
		if isNarrow {
			unsigned, digits := narrow.Shape()
			if unsigned {
				col.flags |= flagUnsigned
			}
			if col.typ == typeTime {
				col.decimals, col.sqlType = digits, narrow
			}
		}
		if col.typ == typeTime {
			col.length = uint32(len("-838:59:59")) + fraction(col.decimals)
		}
		cols = append(cols, col)
	}
	return cols
}

// fraction is how long the digits behind the second are, with their point.
func fraction(digits byte) uint32 {
	if digits == 0 {
		return 0
	}
	return uint32(digits) + 1
}

// restricted is the type of a column that takes less than its type without the restriction.
type restricted interface {
	sql.Type
	Unwrap() sql.Type
	// Shape says whether it has no sign, and how many digits behind the second it shows.
	Shape() (unsigned bool, digits uint8)
}

// datetimeTypes are DATETIME by digits behind the second.
var datetimeTypes = func() (list [7]sql.Type) {
	for digits := range list {
		list[digits] = types.MustCreateDatetimeType(sqltypes.Datetime, digits)
	}
	return list
}()

// nameEncoder is what brings names to character_set_results, nil where they may go out
// in UTF-8.
func nameEncoder(results sql.CharacterSetID) encodings.Encoder {
	switch results {
	case sql.CharacterSet_Unspecified, sql.CharacterSet_binary, sql.CharacterSet_utf8mb4, sql.CharacterSet_utf8mb3:
		return nil
	}
	return results.Encoder()
}

// setCharset says in which character set the text of a column goes out: the session's
// character_set_results, or the column's own where that is unset or binary.
func (col *column) setCharset(t sql.Type, results sql.CharacterSetID, utf8 uint16) {
	if results == sql.CharacterSet_Unspecified || results == sql.CharacterSet_binary {
		results = sql.CharacterSet_utf8mb4
		if ct, ok := t.(sql.TypeWithCollation); ok {
			results = ct.Collation().CharacterSet()
		}
	}
	if col.typ == typeJSON {
		results = sql.CharacterSet_utf8mb4 // JSON text is never converted
	}
	switch results {
	case sql.CharacterSet_utf8mb4:
		col.charset, col.utf8 = utf8, true
	case sql.CharacterSet_utf8mb3:
		col.charset, col.narrow = collationUTF8mb3, true
		col.encoder = results.Encoder()
	case sql.CharacterSet_binary:
		col.charset, col.utf8 = collationBinary, true
	default:
		col.charset = uint16(results.DefaultCollation())
		col.encoder = results.Encoder()
	}
}

// wireType is the field type and flags by which a type of the engine goes out.
func wireType(t query.Type) (byte, uint16) {
	switch t {
	case sqltypes.Int8:
		return typeTiny, 0
	case sqltypes.Uint8:
		return typeTiny, flagUnsigned
	case sqltypes.Int16:
		return typeShort, 0
	case sqltypes.Uint16:
		return typeShort, flagUnsigned
	case sqltypes.Int24:
		return typeInt24, 0
	case sqltypes.Uint24:
		return typeInt24, flagUnsigned
	case sqltypes.Int32:
		return typeLong, 0
	case sqltypes.Uint32:
		return typeLong, flagUnsigned
	case sqltypes.Int64:
		return typeLongLong, 0
	case sqltypes.Uint64:
		return typeLongLong, flagUnsigned
	case sqltypes.Float32:
		return typeFloat, 0
	case sqltypes.Float64:
		return typeDouble, 0
	case sqltypes.Null:
		return typeNull, flagBinary
	case sqltypes.Timestamp:
		return typeTimestamp, flagBinary
	case sqltypes.Date:
		return typeDate, flagBinary
	case sqltypes.Time:
		return typeTime, flagBinary
	case sqltypes.Datetime:
		return typeDatetime, flagBinary
	case sqltypes.Year:
		return typeYear, flagUnsigned | flagZerofill
	case sqltypes.Decimal:
		return typeNewDecimal, 0
	case sqltypes.Text:
		return typeBlob, flagBlob
	case sqltypes.Blob:
		return typeBlob, flagBlob | flagBinary
	case sqltypes.VarBinary:
		return typeVarString, flagBinary
	case sqltypes.Char:
		return typeString, 0
	case sqltypes.Binary:
		return typeString, flagBinary
	case sqltypes.Bit:
		return typeBit, flagUnsigned
	case sqltypes.Enum:
		return typeString, flagEnum
	case sqltypes.Set:
		return typeString, flagSet
	case sqltypes.TypeJSON:
		return typeJSON, flagBlob
	case sqltypes.Geometry:
		return typeGeometry, flagBlob | flagBinary
	case sqltypes.Vector:
		// Clients before MySQL 9 have no such type; its bytes are the same.
		return typeBlob, flagBlob | flagBinary
	}
	return typeVarString, 0
}

// appendColumn writes "Protocol::ColumnDefinition41":
//
//	lenenc string  catalog, always "def"
//	lenenc string  database, table, original table, name, original name
//	lenenc         0x0c, the length of what follows
//	2 bytes        collation id
//	4 bytes        length
//	1 byte         type
//	2 bytes        flags
//	1 byte         decimals
//	2 bytes        zero
func appendColumn(b []byte, c *column) []byte {
	b = append(b, 3, 'd', 'e', 'f')
	b = appendLenString(b, c.database)
	b = appendLenString(b, c.table)
	b = appendLenString(b, c.table)
	b = appendLenString(b, c.name)
	b = appendLenString(b, c.name)
	b = append(b, 12)
	b = appendU16(b, c.charset)
	b = appendU32(b, c.length)
	b = append(b, c.typ)
	b = appendU16(b, c.flags)
	return append(b, c.decimals, 0, 0)
}

// placeholder is how a parameter of a prepared statement is described.
var placeholder = column{name: "?", typ: typeVarString, charset: collationBinary, flags: flagBinary}
