package event

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// TextTable writes the rows of a table for a reader that has no type JSON and keeps
// documents as LONGTEXT.
type TextTable struct {
	ID      uint64
	columns []column
	bitmap  int
}

// ErrVector is wrapped where a table has a column of type VECTOR, which such readers lack.
var ErrVector = fmt.Errorf("type VECTOR")

// AppendTextMap appends a table map in which JSON columns are LONGTEXT. ev has no
// checksum. Without such columns nothing is appended and the table is nil. What the map
// tells beyond types is left out: that the reader has no use for.
func AppendTextMap(dst, ev []byte) ([]byte, *TextTable, error) {
	m, err := ParseTableMap(ev)
	if err != nil {
		return dst, nil, err
	}
	t := &TextTable{ID: m.ID, columns: make([]column, len(m.codes)), bitmap: (len(m.codes) + 7) / 8}
	has, metas := false, m.metas
	for i, code := range m.codes {
		n := metaSize(code)
		if n > len(metas) {
			return dst, nil, fmt.Errorf("table map of %s.%s: %w", m.Database, m.Name, ErrCorrupt)
		}
		if code == typeVector {
			column := "number " + strconv.Itoa(i+1)
			if i < len(m.names) {
				column = m.names[i]
			}
			return dst, nil, fmt.Errorf("table %s.%s, column %s: %w", m.Database, m.Name, column, ErrVector)
		}
		if t.columns[i], err = loggedColumn(code, metas[:n]); err != nil {
			return dst, nil, fmt.Errorf("table map of %s.%s: %w: %w", m.Database, m.Name, err, ErrCorrupt)
		}
		has, metas = has || code == typeJSON, metas[n:]
	}
	if !has {
		return dst, nil, nil
	}
	start := len(dst)
	dst = append(dst, ev...)
	names := start + HeaderSize + 8
	names += 2 + int(dst[names])
	names += 2 + int(dst[names])
	codes := names + lengthSize(uint64(len(m.codes)))
	for i := range m.codes {
		if dst[codes+i] == typeJSON {
			dst[codes+i] = typeBlob // its metadata is the width of the length, as that of JSON
		}
	}
	rest := codes + len(m.codes) + lengthSize(uint64(len(m.metas))) + len(m.metas) + t.bitmap
	if rest > len(dst) {
		return dst[:start], nil, fmt.Errorf("table map of %s.%s: %w", m.Database, m.Name, ErrCorrupt)
	}
	return end(dst[:rest], start), t, nil
}

// loggedColumn is a column as far as the log alone tells of it.
func loggedColumn(code byte, meta []byte) (column, error) {
	c := column{code: code}
	switch code {
	case typeTiny:
		c.width = 1
	case typeShort:
		c.width = 2
	case typeInt24:
		c.width = 3
	case typeLong:
		c.width = 4
	case typeLongLong:
		c.width = 8
	case typeDate, typeYear, typeFloat, typeDouble:
	case typeString:
		if meta[0] == typeEnum || meta[0] == typeSet {
			c.real = meta[0]
		}
		return c.asLogged(code, meta)
	case typeVarchar, typeBit, typeDecimal, typeTimestamp, typeDatetime, typeTime, typeBlob, typeJSON, typeGeometry:
		return c.asLogged(code, meta)
	default:
		return c, fmt.Errorf("type code %d", code)
	}
	return c, nil
}

// AppendRows appends a rows event of the table with its documents as text. ev has no
// checksum.
func (t *TextTable) AppendRows(dst, ev []byte) ([]byte, error) {
	h, err := ParseHeader(ev)
	if err != nil {
		return dst, err
	}
	bad := fmt.Errorf("a %v event of %d bytes: %w", h.Type, len(ev), ErrCorrupt)
	r := scanner{b: ev[HeaderSize:]}
	r.take(8)
	r.take(int(little(r.take(2))) - 2)
	n := r.length()
	images := 1
	if h.Type == TypeUpdateRows {
		images = 2
	}
	r.take(images * t.bitmap)
	if r.short || n != uint64(len(t.columns)) {
		return dst, bad
	}
	start := len(dst)
	dst = append(dst, ev[:len(ev)-len(r.b)]...)
	for b := r.b; len(b) > 0; {
		if len(b) < t.bitmap {
			return dst[:start], bad
		}
		nulls := b[:t.bitmap]
		dst, b = append(dst, nulls...), b[t.bitmap:]
		for i := range t.columns {
			if nulls[i/8]&(1<<(i%8)) != 0 {
				continue
			}
			size := t.columns[i].size(b)
			if size < 0 || size > len(b) {
				return dst[:start], bad
			}
			if t.columns[i].code != typeJSON {
				dst = append(dst, b[:size]...)
			} else if dst, err = t.columns[i].appendText(dst, b[:size]); err != nil {
				return dst[:start], err
			}
			b = b[size:]
		}
	}
	if len(dst)-start > MaxSize-ChecksumSize {
		return dst[:start], fmt.Errorf("rows whose documents are more than %d bytes as text", MaxSize)
	}
	return end(dst, start), nil
}

// appendText appends a document as a LONGTEXT.
func (c *column) appendText(dst, b []byte) ([]byte, error) {
	v, err := readJSON(b[c.width:])
	if err != nil {
		return dst, err
	}
	text := "null"
	if doc, ok := v.(types.JSONDocument); ok && doc.Val != nil {
		plain, err := fit.DocumentText(context.Background(), doc) // as the store keeps it
		if err != nil {
			return dst, fmt.Errorf("JSON as text: %w", err)
		}
		text = string(plain)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...), nil
}

// SetIgnorable says in an event that a reader which does not know its type may skip it.
func SetIgnorable(ev []byte) {
	binary.LittleEndian.PutUint16(ev[17:], binary.LittleEndian.Uint16(ev[17:])|flagIgnorable)
}
