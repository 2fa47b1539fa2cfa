package direct

import (
	"bytes"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// sortRunes is how much of a text is compared at first; the rest only where that does
// not decide.
const sortRunes = 12

// sortMemory is how many bytes of texts and keys a statement sorts here; more are left to
// the planner, which keeps to db.query_memory.
const sortMemory = 16 << 20

// sorter puts rows of a result in order. The memory for keys is one piece.
type sorter struct {
	rows   []sortedRow
	keys   []byte
	values []any // for rows to come
	result []gms.Row
	texts  int    // bytes of the texts in result
	a, b   []byte // whole keys of two rows
	err    error
}

// sortedRow is where the key of a row is, and its place among all. It holds no
// pointers, so that moving it about is cheap.
type sortedRow struct {
	from, to int32
	at       int32
	cut      bool // the key is of the beginning only
}

// add takes a row of the table: the columns of the result, and behind them those that
// it is sorted by.
func (s *sorter) add(p *Plan, row gms.Row) (err error) {
	r := p.read
	n := len(r.columns) + len(r.order)
	if len(s.values) < n {
		s.values = make([]any, 64*n)
	}
	kept := s.values[:n:n]
	s.values = s.values[n:]
	for i, column := range r.columns {
		kept[i] = row[column]
	}
	x := sortedRow{from: int32(len(s.keys)), at: int32(len(s.result))}
	limit := uint32(0)
	if len(r.order) == 1 {
		limit = sortRunes // more columns behind a text that is cut would be taken for its end
	}
	for i, o := range r.order {
		v := row[o.column]
		kept[len(r.columns)+i] = v
		if s.keys, err = p.appendSortKey(s.keys, o.column, v, o.desc, limit); err != nil {
			return err
		}
		switch v := v.(type) {
		case string:
			x.cut = limit > 0 && len(v) > sortRunes
		case []byte:
			x.cut = limit > 0 && len(v) > sortRunes
		}
	}
	x.to = int32(len(s.keys))
	s.texts += textBytes(kept)
	s.rows, s.result = append(s.rows, x), append(s.result, kept)
	return nil
}

// full says whether no more rows may be kept.
func (s *sorter) full() bool {
	return len(s.rows) >= sortLimit || s.texts+len(s.keys) > sortMemory
}

// textBytes is the memory for a row's texts, as far as it is not the row's own.
func textBytes(row gms.Row) (n int) {
	for _, v := range row {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
	}
	return n
}

// each calls f for the rows in order, rows that are equal in the order in which they
// came, until it answers false.
func (s *sorter) each(p *Plan, f func(gms.Row) (bool, error)) error {
	if err := s.sort(p); err != nil {
		return err
	}
	n := len(p.read.columns)
	for _, x := range s.rows {
		if more, err := f(s.result[x.at][:n]); err != nil || !more {
			return err
		}
	}
	return nil
}

func (s *sorter) sort(p *Plan) error {
	slices.SortStableFunc(s.rows, func(a, b sortedRow) int {
		n := bytes.Compare(s.keys[a.from:a.to], s.keys[b.from:b.to])
		if n == 0 && (a.cut || b.cut) {
			n = s.compare(p, s.result[a.at], s.result[b.at])
		}
		return n
	})
	return s.err
}

// keepFirst forgets all rows but the first n and lets go of their memory: values may be
// large.
func (s *sorter) keepFirst(p *Plan, n int) error {
	if err := s.sort(p); err != nil {
		return err
	}
	keys, result := make([]byte, 0, len(s.keys)/2), make([]gms.Row, 0, 2*n)
	s.texts = 0
	for i, x := range s.rows[:n] {
		from := len(keys)
		keys = append(keys, s.keys[x.from:x.to]...)
		result = append(result, slices.Clone(s.result[x.at]))
		s.texts += textBytes(s.result[x.at])
		s.rows[i].from, s.rows[i].to, s.rows[i].at = int32(from), int32(len(keys)), int32(i)
	}
	s.rows, s.keys, s.result, s.values = s.rows[:n], keys, result, nil
	return nil
}

// compare orders two rows by their whole keys.
func (s *sorter) compare(p *Plan, a, b gms.Row) int {
	whole := func(dst []byte, row gms.Row) []byte {
		for i, o := range p.read.order {
			key, err := p.appendSortKey(dst, o.column, row[len(p.read.columns)+i], o.desc, 0)
			if err != nil {
				s.err = err
				return dst
			}
			dst = key
		}
		return dst
	}
	s.a, s.b = whole(s.a[:0], a), whole(s.b[:0], b)
	return bytes.Compare(s.a, s.b)
}
