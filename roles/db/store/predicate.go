package store

import (
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/dolthub/go-mysql-server/sql"
)

// Truth is what a condition says of a row, in SQL's logic of three values.
type Truth uint8

const (
	False Truth = iota
	True
	Unknown // NULL
)

// Predicate is a condition on a row of a table as it is stored. It is immutable: scans
// evaluate it through a Test of their own.
type Predicate struct {
	op       predicateOp
	column   int                              // position in the table
	value    Truth                            // of opConstant
	test     func(value []byte) (bool, error) // of opColumn
	operands []*Predicate
}

type predicateOp uint8

const (
	opConstant predicateOp = iota
	opColumn
	opNull
	opNot
	opAnd
	opOr
)

// Constantly is true of every row, or false, or unknown.
func Constantly(value Truth) *Predicate { return &Predicate{op: opConstant, value: value} }

// OfColumn asks test about the column at a position of the table, in the form that rows
// have it (row.go): unknown where the column is NULL. test must not keep or change the
// bytes, and must be safe for concurrent use.
func OfColumn(column int, test func(value []byte) (bool, error)) *Predicate {
	return &Predicate{op: opColumn, column: column, test: test}
}

// IsNull is true where the column is NULL, else false.
func IsNull(column int) *Predicate { return &Predicate{op: opNull, column: column} }

// Not negates; of unknown it makes unknown.
func Not(p *Predicate) *Predicate { return &Predicate{op: opNot, operands: []*Predicate{p}} }

// And is false where one of the operands is, else unknown where one is.
func And(operands ...*Predicate) *Predicate { return &Predicate{op: opAnd, operands: operands} }

// Or is true where one of the operands is, else unknown where one is.
func Or(operands ...*Predicate) *Predicate { return &Predicate{op: opOr, operands: operands} }

// Test evaluates a predicate on the rows of one scan. It is not safe for concurrent use.
type Test struct {
	table     *Table
	predicate *Predicate

	layout  *layout      // that columns are resolved for
	columns []testColumn // by position in the table; what the predicate does not name stays empty
	named   []int

	ctx     context.Context
	primary []byte
	data    []byte
	large   Large
	row     sql.Row // instead of data
	scratch []byte
}

// testColumn is where the rows of a layout have a column.
type testColumn struct {
	in   *layoutColumn // nil: the layout does not have it
	bit  int           // in the NULL bitmap
	null bool          // where in is nil: the value of all rows
	all  []byte
}

// NewTest makes p ready for the rows of t.
func (t *Table) NewTest(p *Predicate) *Test {
	test := &Test{table: t, predicate: p, columns: make([]testColumn, len(t.codecs))}
	seen := make([]bool, len(t.codecs))
	test.collect(p, seen)
	return test
}

// Columns are the positions of the columns that the predicate names.
func (t *Test) Columns() []int { return t.named }

func (t *Test) collect(p *Predicate, seen []bool) {
	if (p.op == opColumn || p.op == opNull) && !seen[p.column] {
		seen[p.column] = true
		t.named = append(t.named, p.column)
	}
	for _, o := range p.operands {
		t.collect(o, seen)
	}
}

// Row says whether the predicate is true of a stored row. Of the row only the columns that
// the predicate comes to are looked at; large ones are read.
//
// Hot path: BenchmarkFilteredScan of package sql.
func (t *Test) Row(ctx context.Context, primary, data []byte, large Large) (bool, error) {
	l, err := t.table.layoutOf(data)
	if err != nil {
		return false, err
	}
	if l != t.layout {
		if err := t.resolve(ctx, l); err != nil {
			return false, err
		}
	}
	t.ctx, t.primary, t.data, t.large, t.row = ctx, primary, data, large, nil
	truth, err := t.eval(t.predicate)
	return truth == True, err
}

// Values says whether the predicate is true of a decoded row, which needs to have the
// columns that the predicate names.
func (t *Test) Values(ctx context.Context, row sql.Row) (bool, error) {
	t.ctx, t.row = ctx, row
	truth, err := t.eval(t.predicate)
	return truth == True, err
}

// resolve finds the columns in a layout.
func (t *Test) resolve(ctx context.Context, l *layout) error {
	for _, at := range t.named {
		c := &t.columns[at]
		*c = testColumn{}
		if i, ok := l.byID[t.table.Desc.Columns[at].ID]; ok {
			c.in, c.bit = &l.columns[i], i
			continue
		}
		v := t.table.missing[at]
		if c.null = v == nil; c.null {
			continue
		}
		var err error
		if c.all, err = t.table.codecs[at].encoded(ctx, nil, v); err != nil {
			return fmt.Errorf("column %s: %w", t.table.Desc.Columns[at].Name, err)
		}
	}
	t.layout = l
	return nil
}

func (t *Test) eval(p *Predicate) (Truth, error) {
	switch p.op {
	case opColumn:
		value, null, err := t.value(p.column)
		if err != nil || null {
			return Unknown, err
		}
		ok, err := p.test(value)
		if ok {
			return True, err
		}
		return False, err
	case opNull:
		null, err := t.isNull(p.column)
		if null {
			return True, err
		}
		return False, err
	case opNot:
		truth, err := t.eval(p.operands[0])
		switch truth {
		case True:
			return False, err
		case False:
			return True, err
		}
		return Unknown, err
	case opAnd:
		return t.any(p.operands, False, True)
	case opOr:
		return t.any(p.operands, True, False)
	}
	return p.value, nil
}

// any is found where one of the operands is that, else unknown where one is, else other.
func (t *Test) any(operands []*Predicate, found, other Truth) (Truth, error) {
	for _, p := range operands {
		truth, err := t.eval(p)
		switch {
		case err != nil || truth == found:
			return truth, err
		case truth == Unknown:
			other = Unknown
		}
	}
	return other, nil
}

func (t *Test) isNull(at int) (bool, error) {
	if t.row != nil {
		return t.row[at] == nil, nil
	}
	if t.table.Desc.Columns[at].Virtual {
		return true, nil
	}
	c := &t.columns[at]
	if c.in == nil {
		return c.null, nil
	}
	return t.data[rowHeader+c.bit/8]&(1<<(c.bit%8)) != 0, nil
}

// value is a column as rows have it.
func (t *Test) value(at int) (value []byte, null bool, err error) {
	if null, err = t.isNull(at); null || err != nil {
		return nil, null, err
	}
	if t.row != nil {
		t.scratch, err = t.table.codecs[at].encoded(t.ctx, t.scratch[:0], t.row[at])
		return t.scratch, false, err
	}
	c := &t.columns[at]
	if c.in == nil {
		return c.all, false, nil
	}
	if w := c.in.codec.width; w > 0 {
		return t.data[c.in.at : c.in.at+w], false, nil
	}
	b, ref, err := t.layout.variableAt(t.data, c.in)
	if err != nil || ref == nil {
		return b, false, err
	}
	if b, err = t.large(t.primary, *ref); err != nil {
		return nil, false, err
	}
	if uint64(len(b)) != ref.Length || xxhash.Sum64(b) != ref.Hash {
		return nil, false, fmt.Errorf("large value of %d bytes does not match its hash: %w", ref.Length, ErrCorrupt)
	}
	return b, false, nil
}

// encoded appends a value as rows have it.
func (c *codec) encoded(ctx context.Context, dst []byte, v any) ([]byte, error) {
	if c.width > 0 {
		return c.appendFixed(dst, v)
	}
	if s, ok := v.(string); ok && c.kind == kindString {
		return append(dst, s...), nil
	}
	b, err := c.variable(ctx, v)
	return append(dst, b...), err
}

// FixedValue is a value as rows have it in the column at a position, which must be of a
// type whose values are all of one length. bytes.Compare of two such values is the order of
// the values, but for 0 and -0 of floating point, which are equal.
func (t *Table) FixedValue(at int, v any) (value []byte, err error) {
	c := &t.codecs[at]
	if c.width == 0 {
		return nil, c.mismatch(v)
	}
	return c.appendFixed(nil, v)
}
