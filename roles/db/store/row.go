package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/dolthub/go-mysql-server/sql"
)

// LargeValueSize is the length in bytes above which a value leaves its row for
// SpaceLarge.
const LargeValueSize = 8 << 10

// A row as stored under its primary key:
//
//	0     format, 01
//	1     layout version, u32 big endian
//	5     NULL bitmap, a bit per column of the layout, lowest first
//	      fixed columns, each at its place whether NULL or not (value.go)
//	      end offsets, u32 big endian each, one per variable column, from the start of
//	      the next part; bit 31: the value is large and a 16-byte reference stands here
//	      variable columns: the bytes (a geometry's followed by their CRC-32C), or length u64 and xxhash64 u64 of a large value
//
// Any column is found by arithmetic, without decoding the ones before it.
const (
	rowFormat    = 0x01
	rowHeader    = 5
	largeFlag    = 1 << 31
	largeRefSize = 16
)

// layout is a compiled Layout: where each stored column of a row version is.
type layout struct {
	version  uint32
	columns  []layoutColumn
	byID     map[uint16]int
	fixedAt  int // offset of the fixed part
	endsAt   int // offset of the end offsets
	varAt    int // offset of the variable part
	variable int // number of variable columns
}

type layoutColumn struct {
	id    uint16
	codec codec
	at    int // fixed: absolute offset; variable: ordinal among the variable columns
}

func newLayout(l Layout) (*layout, error) {
	out := &layout{version: l.Version, byID: make(map[uint16]int, len(l.Columns))}
	out.fixedAt = rowHeader + (len(l.Columns)+7)/8
	at := out.fixedAt
	for i, lc := range l.Columns {
		t, err := lc.Type.SQL()
		if err != nil {
			return nil, err
		}
		c, err := newCodec(t)
		if err != nil {
			return nil, err
		}
		col := layoutColumn{id: lc.ID, codec: c}
		if c.width > 0 {
			col.at = at
			at += c.width
		} else {
			col.at = out.variable
			out.variable++
		}
		out.columns = append(out.columns, col)
		out.byID[lc.ID] = i
	}
	out.endsAt, out.varAt = at, at+4*out.variable
	return out, nil
}

// LargeRef names a value in SpaceLarge.
type LargeRef struct {
	Column uint16
	Length uint64 // bytes
	Hash   uint64 // xxhash64 of the bytes
}

// LargeValue is a value that EncodeRow moved out of the row.
type LargeValue struct {
	LargeRef
	Bytes []byte
}

// EncodeRow encodes row (one value per column of the table, virtual ones ignored)
// and returns the values that go to SpaceLarge.
func (t *Table) EncodeRow(ctx context.Context, row sql.Row) ([]byte, []LargeValue, error) {
	l := t.current
	if len(row) != len(t.codecs) {
		return nil, nil, fmt.Errorf("table %s.%s has %d columns, the row has %d", t.Desc.Database, t.Desc.Name, len(t.codecs), len(row))
	}
	out := make([]byte, l.varAt, l.varAt+t.variableSize(row))
	out[0] = rowFormat
	binary.BigEndian.PutUint32(out[1:], l.version)
	var large []LargeValue
	for i := range l.columns {
		lc := &l.columns[i]
		v := row[t.positions[i]]
		var err error
		switch {
		case v == nil:
			out[rowHeader+i/8] |= 1 << (i % 8)
		case lc.codec.width > 0:
			_, err = lc.codec.appendFixed(out[:lc.at], v)
		default:
			out, large, err = lc.appendVariable(ctx, out, large, v)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("column %s: %w", t.Desc.Columns[t.positions[i]].Name, err)
		}
		if lc.codec.width == 0 {
			end := uint32(len(out) - l.varAt)
			if n := len(large); n > 0 && large[n-1].Column == lc.id {
				end |= largeFlag
			}
			binary.BigEndian.PutUint32(out[l.endsAt+4*lc.at:], end)
		}
	}
	return out, large, nil
}

// variableSize is about how much the variable columns of a row take.
func (t *Table) variableSize(row sql.Row) (n int) {
	for i := range t.current.columns {
		if t.current.columns[i].codec.width > 0 {
			continue
		}
		size := 0
		switch v := row[t.positions[i]].(type) {
		case string:
			size = len(v)
		case []byte:
			size = len(v)
		}
		if size > LargeValueSize {
			size = 16
		}
		n += size
	}
	return n
}

func (lc *layoutColumn) appendVariable(ctx context.Context, out []byte, large []LargeValue, v any) ([]byte, []LargeValue, error) {
	if text, ok := v.(string); ok && lc.codec.kind == kindString && len(text) <= LargeValueSize {
		return append(out, text...), large, nil
	}
	b, err := lc.codec.variable(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	if len(b) <= LargeValueSize {
		return append(out, b...), large, nil
	}
	ref := LargeRef{Column: lc.id, Length: uint64(len(b)), Hash: xxhash.Sum64(b)}
	out = binary.BigEndian.AppendUint64(out, ref.Length)
	out = binary.BigEndian.AppendUint64(out, ref.Hash)
	return out, append(large, LargeValue{ref, b}), nil
}

// Large reads the bytes of a large value of the row with this primary key.
type Large func(primary []byte, ref LargeRef) ([]byte, error)

// DecodeRow decodes the columns at the given positions (all where nil) into row,
// which has one value per column of the table; virtual columns are left nil.
func (t *Table) DecodeRow(ctx context.Context, primary, data []byte, positions []int, large Large, row sql.Row) error {
	l, err := t.layoutOf(data)
	if err != nil {
		return err
	}
	if positions == nil {
		positions = t.all
	}
	for _, at := range positions {
		if row[at], err = t.decodeColumn(ctx, l, primary, data, at, large); err != nil {
			return fmt.Errorf("table %s.%s, row % x, column %s: %w", t.Desc.Database, t.Desc.Name, primary, t.Desc.Columns[at].Name, err)
		}
	}
	return nil
}

// layoutOf checks everything about the row that decoding a column relies on.
func (t *Table) layoutOf(data []byte) (*layout, error) {
	if len(data) < rowHeader || data[0] != rowFormat {
		return nil, fmt.Errorf("table %s.%s: row format: %w", t.Desc.Database, t.Desc.Name, ErrCorrupt)
	}
	l := t.layouts[binary.BigEndian.Uint32(data[1:])]
	if l == nil || len(data) < l.varAt {
		return nil, fmt.Errorf("table %s.%s: row of layout %d: %w", t.Desc.Database, t.Desc.Name, binary.BigEndian.Uint32(data[1:]), ErrCorrupt)
	}
	return l, nil
}

func (t *Table) decodeColumn(ctx context.Context, l *layout, primary, data []byte, at int, large Large) (any, error) {
	c := &t.Desc.Columns[at]
	if c.Virtual {
		return nil, nil
	}
	i, ok := l.byID[c.ID]
	if !ok {
		return t.missing[at], nil
	}
	if data[rowHeader+i/8]&(1<<(i%8)) != 0 {
		return nil, nil
	}
	lc := &l.columns[i]
	if lc.codec.width > 0 {
		return lc.codec.fixed(data[lc.at : lc.at+lc.codec.width])
	}
	b, ref, err := l.variableAt(data, lc)
	if err != nil {
		return nil, err
	}
	if ref != nil {
		if b, err = large(primary, *ref); err != nil {
			return nil, err
		}
		if uint64(len(b)) != ref.Length || xxhash.Sum64(b) != ref.Hash {
			return nil, fmt.Errorf("large value of %d bytes does not match its hash: %w", ref.Length, ErrCorrupt)
		}
	}
	return lc.codec.value(ctx, b)
}

func (l *layout) variableAt(data []byte, lc *layoutColumn) ([]byte, *LargeRef, error) {
	start := uint32(0)
	if lc.at > 0 {
		start = binary.BigEndian.Uint32(data[l.endsAt+4*(lc.at-1):]) &^ largeFlag
	}
	end := binary.BigEndian.Uint32(data[l.endsAt+4*lc.at:])
	isLarge := end&largeFlag != 0
	end &^= largeFlag
	if start > end || int(end) > len(data)-l.varAt {
		return nil, nil, fmt.Errorf("value from %d to %d of %d: %w", start, end, len(data)-l.varAt, ErrCorrupt)
	}
	b := data[l.varAt+int(start) : l.varAt+int(end)]
	if !isLarge {
		return b, nil, nil
	}
	if len(b) != largeRefSize {
		return nil, nil, fmt.Errorf("large reference of %d bytes: %w", len(b), ErrCorrupt)
	}
	ref := &LargeRef{Column: lc.id, Length: binary.BigEndian.Uint64(b), Hash: binary.BigEndian.Uint64(b[8:])}
	if ref.Length <= LargeValueSize || ref.Length > maxLargeValue {
		return nil, nil, fmt.Errorf("large value of %d bytes: %w", ref.Length, ErrCorrupt)
	}
	return nil, ref, nil
}

// LargeRefs are the references to large values in a stored row.
func (t *Table) LargeRefs(data []byte) ([]LargeRef, error) {
	l, err := t.layoutOf(data)
	if err != nil {
		return nil, err
	}
	var refs []LargeRef
	for i := range l.columns {
		if l.columns[i].codec.width > 0 || data[rowHeader+i/8]&(1<<(i%8)) != 0 {
			continue
		}
		_, ref, err := l.variableAt(data, &l.columns[i])
		if err != nil {
			return nil, err
		}
		if ref != nil {
			refs = append(refs, *ref)
		}
	}
	return refs, nil
}
