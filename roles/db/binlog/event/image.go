package event

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// maxColumns is how many columns a table may have.
const maxColumns = 4096

// ErrOtherTable is wrapped where rows in the log do not fit the table that is there.
var ErrOtherTable = errors.New("the table is another one than in the log")

// TableMap is a table map event: which table the rows that follow belong to, and how
// they are written.
type TableMap struct {
	ID             uint64
	Database, Name string

	codes []byte
	metas []byte   // of all columns, one behind another
	names []string // nil: not recorded
}

// ParseTableMap reads a table map event without its checksum.
func ParseTableMap(ev []byte) (*TableMap, error) {
	if len(ev) < HeaderSize+8 || Type(ev[4]) != TypeTableMap {
		return nil, fmt.Errorf("table map of %d bytes: %w", len(ev), ErrCorrupt)
	}
	r := scanner{b: ev[HeaderSize:]}
	m := &TableMap{ID: little(r.take(6))}
	r.take(2)
	m.Database = string(r.take(int(r.byte())))
	r.take(1)
	m.Name = string(r.take(int(r.byte())))
	r.take(1)
	n := r.length()
	if n == 0 || n > maxColumns {
		return nil, fmt.Errorf("table map with %d columns: %w", n, ErrCorrupt)
	}
	m.codes = append([]byte(nil), r.take(int(n))...)
	m.metas = append([]byte(nil), r.lengthBytes()...)
	r.take((int(n) + 7) / 8)
	for len(r.b) > 0 && !r.short {
		kind := r.byte()
		value := scanner{b: r.lengthBytes()}
		if kind != metaColumnName {
			continue
		}
		for len(value.b) > 0 && !value.short && len(m.names) <= int(n) {
			m.names = append(m.names, string(value.lengthBytes()))
		}
		if value.short || len(m.names) != int(n) {
			return nil, fmt.Errorf("table map of %s.%s, names of columns: %w", m.Database, m.Name, ErrCorrupt)
		}
	}
	if r.short {
		return nil, fmt.Errorf("table map of %s.%s: %w", m.Database, m.Name, ErrCorrupt)
	}
	return m, nil
}

// Images reads the rows of one table.
type Images struct {
	table   *Table
	columns []column
	bitmap  int
	same    bool // the log writes them as this server does
}

// Images readies reading the rows that follow the map as rows of a table. It fails,
// wrapping ErrOtherTable, where their columns are not the table's.
func (m *TableMap) Images(of *store.Table) (*Images, error) {
	t, err := TableOf(of)
	if err != nil {
		return nil, err
	}
	fail := func(format string, args ...any) (*Images, error) {
		return nil, fmt.Errorf("table %s.%s: %s: %w", m.Database, m.Name, fmt.Sprintf(format, args...), ErrOtherTable)
	}
	if len(m.codes) != len(t.columns) {
		return fail("%d columns in the log, %d here", len(m.codes), len(t.columns))
	}
	im := &Images{table: t, columns: t.columns, bitmap: t.bitmap, same: true}
	metas := m.metas
	for i := range t.columns {
		c := &t.columns[i]
		if m.names != nil && !strings.EqualFold(m.names[i], c.name) {
			return fail("column %d is %s in the log, %s here", i+1, m.names[i], c.name)
		}
		n := metaSize(m.codes[i])
		if n > len(metas) {
			return nil, fmt.Errorf("table map of %s.%s, column %s: %w", m.Database, m.Name, c.name, ErrCorrupt)
		}
		meta := metas[:n]
		metas = metas[n:]
		if m.codes[i] == c.code && string(meta) == string(c.meta) {
			continue
		}
		other, err := c.asLogged(m.codes[i], meta)
		if err != nil {
			return fail("column %s: %v", c.name, err)
		}
		if im.same {
			im.columns, im.same = append([]column(nil), t.columns...), false
		}
		im.columns[i] = other
	}
	return im, nil
}

// metaSize is the number of bytes of metadata that a type has.
func metaSize(code byte) int {
	switch code {
	case typeFloat, typeDouble, typeTimestamp, typeDatetime, typeTime, typeBlob, typeJSON, typeGeometry, typeVector:
		return 1
	case typeVarchar, typeBit, typeDecimal, typeString, typeEnum, typeSet:
		return 2
	}
	return 0
}

// asLogged is the column with what the log says of its form: lengths and fractions of
// another server may differ, the type may not.
func (c *column) asLogged(code byte, meta []byte) (column, error) {
	out := *c
	if code == typeBlob && c.code == typeJSON {
		// MariaDB keeps documents as text.
		out.code = typeBlob
	}
	if code != out.code {
		return out, fmt.Errorf("it has type code %d in the log, %d here", code, c.code)
	}
	bad := fmt.Errorf("metadata % x of type code %d", meta, code)
	switch code {
	case typeFloat, typeDouble:
		return out, bad
	case typeVarchar:
		out.width = lengthWidth(int64(meta[0]) | int64(meta[1])<<8)
	case typeBit:
		out.width = int(meta[1])
		if meta[0] > 0 {
			out.width++
		}
		if meta[0] > 7 || out.width < 1 || out.width > 8 {
			return out, bad
		}
	case typeDecimal:
		out.precision, out.scale = meta[0], meta[1]
		if out.precision < 1 || out.precision > 65 || out.scale > min(30, out.precision) {
			return out, bad
		}
	case typeTimestamp, typeDatetime, typeTime:
		if out.digits = int(meta[0]); out.digits > 6 {
			return out, bad
		}
	case typeBlob, typeJSON, typeGeometry, typeVector:
		if out.width = int(meta[0]); out.width < 1 || out.width > 4 {
			return out, bad
		}
	case typeString:
		return out, out.stringForm(meta)
	}
	return out, nil
}

// stringForm takes over the form of a CHAR, BINARY, ENUM or SET.
func (c *column) stringForm(meta []byte) error {
	real := byte(0)
	if meta[0] == typeEnum || meta[0] == typeSet {
		real = meta[0]
	}
	if real != c.real {
		return fmt.Errorf("metadata % x of another type", meta)
	}
	if real == 0 {
		if meta[0]|0x30 != typeString {
			return fmt.Errorf("metadata % x of another type", meta)
		}
		c.width = lengthWidth(int64(meta[1]) | int64(meta[0]&0x30^0x30)<<4)
		return nil
	}
	if c.width = int(meta[1]); c.width < 1 || real == typeEnum && c.width > 2 || c.width > 8 {
		return fmt.Errorf("metadata % x", meta)
	}
	return nil
}

// Image is a row in the log.
type Image struct {
	Row   sql.Row
	bytes []byte // as logged, where this server writes rows so; else nil
}

// ReadRows calls f for each row of a rows event, which comes without its checksum: after
// is the zero Image but for an update; before is the new row of an insert.
func (im *Images) ReadRows(ctx context.Context, ev []byte, f func(before, after Image) error) error {
	if len(ev) < HeaderSize {
		return fmt.Errorf("%d bytes where rows are expected: %w", len(ev), ErrCorrupt)
	}
	kind, first := Type(ev[4]).Rows()
	if kind == 0 {
		return fmt.Errorf("an event of type %v where rows are expected: %w", Type(ev[4]), ErrCorrupt)
	}
	r := scanner{b: ev[HeaderSize:]}
	r.take(8)
	if first {
		// There is no extra data.
	} else if n := int(little(r.take(2))); n < 2 {
		r.short = true
	} else {
		r.take(n - 2)
	}
	if n := r.length(); !r.short && n != uint64(len(im.columns)) {
		return fmt.Errorf("rows of %d columns behind a table map of %d: %w", n, len(im.columns), ErrCorrupt)
	}
	images := 1
	if kind == TypeUpdateRows {
		images = 2
	}
	for range images {
		if !im.whole(r.take(im.bitmap)) && !r.short {
			return errors.New("the rows in the log do not have all columns: set binlog_row_image=FULL where they come from")
		}
	}
	if r.short {
		return fmt.Errorf("a %v event of %d bytes: %w", kind, len(ev), ErrCorrupt)
	}
	for len(r.b) > 0 {
		var before, after Image
		var err error
		if before, r.b, err = im.read(ctx, r.b); err == nil && kind == TypeUpdateRows {
			after, r.b, err = im.read(ctx, r.b)
		}
		if err == nil {
			err = f(before, after)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Rows is the type of rows that an event of this type has, 0 for none. first says that they
// are written as MySQL 5.1 and MariaDB do.
func (t Type) Rows() (kind Type, first bool) {
	switch t {
	case TypeWriteRows, TypeUpdateRows, TypeDeleteRows:
		return t, false
	case TypeWriteRowsV1, TypeUpdateRowsV1, TypeDeleteRowsV1:
		return t - TypeWriteRowsV1 + TypeWriteRows, true
	}
	return 0, false
}

// whole reports whether a bitmap names every column.
func (im *Images) whole(bitmap []byte) bool {
	for i := range im.columns {
		if i/8 >= len(bitmap) || bitmap[i/8]&(1<<(i%8)) == 0 {
			return false
		}
	}
	return true
}

// read reads one row image off b.
func (im *Images) read(ctx context.Context, b []byte) (Image, []byte, error) {
	if len(b) < im.bitmap {
		return Image{}, nil, fmt.Errorf("a row of %d bytes: %w", len(b), ErrCorrupt)
	}
	nulls, rest := b[:im.bitmap], b[im.bitmap:]
	row := make(sql.Row, len(im.columns))
	for i := range im.columns {
		if nulls[i/8]&(1<<(i%8)) != 0 {
			continue
		}
		var err error
		if row[i], rest, err = im.columns[i].read(ctx, rest); err != nil {
			return Image{}, nil, fmt.Errorf("column %s in the log: %w", im.columns[i].name, err)
		}
	}
	out := Image{Row: row}
	if im.same {
		out.bytes = b[:len(b)-len(rest)]
	}
	return out, rest, nil
}

// Equal reports whether a stored row is the one of an image: whether the log would
// write both in the same way. Forms that the log does not tell apart, such as the spaces
// in a JSON text, are equal.
func (im *Images) Equal(ctx context.Context, stored sql.Row, image Image) (bool, error) {
	have, err := im.table.appendRow(ctx, nil, stored)
	if err != nil {
		return false, err
	}
	if image.bytes != nil && string(have) == string(image.bytes) {
		return true, nil
	}
	want, err := im.table.appendRow(ctx, nil, image.Row)
	return string(have) == string(want), err
}

// scanner takes bytes from the front. Where there are too few it gives zero bytes and
// is short from then on.
type scanner struct {
	b     []byte
	short bool
}

func (s *scanner) take(n int) []byte {
	if n < 0 || n > len(s.b) {
		s.short, s.b = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	b := s.b[:n]
	s.b = s.b[n:]
	return b
}

func (s *scanner) byte() byte { return s.take(1)[0] }

// length takes a length-encoded integer.
func (s *scanner) length() uint64 {
	switch b := s.byte(); b {
	case 0xfc:
		return little(s.take(2))
	case 0xfd:
		return little(s.take(3))
	case 0xfe:
		return binary.LittleEndian.Uint64(s.take(8))
	case 0xfb, 0xff:
		s.short, s.b = true, nil
		return 0
	default:
		return uint64(b)
	}
}

// lengthBytes takes bytes behind their length.
func (s *scanner) lengthBytes() []byte {
	n := s.length()
	if n > uint64(len(s.b)) {
		s.short, s.b = true, nil
		return nil
	}
	return s.take(int(n))
}

// RowsSayAll reports whether the log tells what foreign keys do to other rows as rows of its
// own, or they did nothing.
func RowsSayAll(ev []byte) bool {
	return len(ev) >= HeaderSize+8 && ev[HeaderSize+6]&rowsNoForeignKeys != 0
}

// RowsTable is the number that a rows event, without or with its checksum, gives its table.
func RowsTable(ev []byte) (uint64, error) {
	if len(ev) < HeaderSize+6 {
		return 0, fmt.Errorf("rows of %d bytes: %w", len(ev), ErrCorrupt)
	}
	return little(ev[HeaderSize : HeaderSize+6]), nil
}
