package sql

import (
	"slices"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
	"stack/roles/db/store"
)

// span is one range of an index in the store's terms, and what is left to check on
// each row because a key range cannot say it.
type span struct {
	lo, hi store.Bound
	empty  bool
	single bool // at most one row can match
	rest   []columnCheck
}

// columnCheck is a condition on one column of the table.
type columnCheck struct {
	column int // position in the table
	expr   gms.MySQLRangeColumnExpr
}

// spanOf translates a planner's range over ix. columns are the positions in the table
// of ix's columns, in key order.
//
// A key range is a run of equal columns and one column with bounds; every further
// condition, and a bound that the column's type cannot hold exactly (5.5 for an INT),
// becomes a check on the row. So does every condition on a prefix: its key is that of
// longer values too, which two ranges would both return and a lookup for a join, which
// the planner does not check again, would take for equal.
//
// zone is the session's: TIMESTAMPs are compared as its clock shows them, and stored in UTC. Where
// that is put forward or back the range is somewhat wider, and the rows are checked.
func spanOf(ctx *gms.Context, ix *store.Index, kinds []gms.Type, columns []int, r gms.MySQLRange, zone *time.Location) (span, error) {
	s := span{lo: store.Bound{Inclusive: true}, hi: store.Bound{Inclusive: true}}
	open := false // a column with bounds has been seen: the rest are checks
	null := false // a NULL or a prefix: a unique index may have several entries
	for i, c := range r {
		if i >= len(kinds) {
			break
		}
		if open {
			if !isAll(c) {
				s.rest = append(s.rest, columnCheck{columns[i], c})
			}
			continue
		}
		prefix := ix.Desc.Columns[i].Prefix > 0
		in := zone
		if !types.IsTimestampType(kinds[i]) {
			in = nil
		}
		v, ok, err := pointOf(ctx, kinds[i], c)
		if err != nil {
			return span{}, err
		}
		if at, isTime := v.(time.Time); ok && in != nil && isTime && !at.Equal(types.ZeroTime) {
			v, _, ok = fit.Around(at, in)
		}
		if ok {
			s.lo.Values = append(s.lo.Values, v)
			s.hi.Values = append(s.hi.Values, v)
			null = null || v == nil || prefix
			if prefix && v != nil {
				s.rest = append(s.rest, columnCheck{columns[i], c})
			}
			continue
		}
		open = true
		lo, exactLo, err := cutOf(ctx, kinds[i], c.LowerBound, c.Typ)
		lo, exactLo = lo.inUTC(in, exactLo, false)
		if err != nil {
			return span{}, err
		}
		hi, exactHi, err := cutOf(ctx, kinds[i], c.UpperBound, c.Typ)
		hi, exactHi = hi.inUTC(in, exactHi, true)
		if err != nil {
			return span{}, err
		}
		if !exactLo || !exactHi || prefix && !isAll(c) {
			s.rest = append(s.rest, columnCheck{columns[i], c})
		}
		s.empty = s.empty || lo.place == pastAll || hi.place == beforeNull
		s.lo = s.lower(lo, prefix)
		s.hi = s.upper(hi, prefix)
	}
	if slices.ContainsFunc(ix.Desc.Columns, func(c store.IndexColumnDesc) bool { return c.Prefix > 0 }) {
		s.rest = nil // everything that the range says
		for i, c := range r[:min(len(r), len(kinds))] {
			s.rest = append(s.rest, columnCheck{columns[i], c})
		}
	}
	unique := ix.Desc.Unique || ix.IsPrimary()
	s.single = unique && !open && !null && len(s.lo.Values) == len(kinds)
	return s, nil
}

// distinctSpans drops spans that are there twice: of texts that the column's collation
// takes for equal ('á', '😀', 'a') the planner may ask for each, and a row is to be returned
// once.
func distinctSpans(ctx *gms.Context, ix *store.Index, spans []span) ([]span, error) {
	if len(spans) < 2 {
		return spans, nil
	}
	type keys struct{ start, end string }
	seen := make(map[keys][]int, len(spans))
	out := spans[:0]
	for _, s := range spans {
		r, err := ix.Range(s.lo, s.hi)
		if err != nil {
			return nil, err
		}
		at := keys{string(r.Start), string(r.End)}
		twice := false
		for _, i := range seen[at] {
			if twice, err = sameChecks(ctx, out[i].rest, s.rest); err != nil {
				return nil, err
			} else if twice {
				break
			}
		}
		if !twice {
			seen[at] = append(seen[at], len(out))
			out = append(out, s)
		}
	}
	return out, nil
}

func sameChecks(ctx *gms.Context, a, b []columnCheck) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		if a[i].column != b[i].column {
			return false, nil
		}
		for _, ends := range [][2]gms.MySQLRangeCut{{a[i].expr.LowerBound, b[i].expr.LowerBound}, {a[i].expr.UpperBound, b[i].expr.UpperBound}} {
			if n, err := ends[0].Compare(ctx, ends[1], a[i].expr.Typ); err != nil || n != 0 {
				return false, err
			}
		}
	}
	return true, nil
}

// Where a bound of a column lies.
type place int

const (
	beforeNull place = iota // before everything
	pastNull                // after NULL, before every value
	atValue
	pastAll
)

type cut struct {
	place place
	value any
	above bool // just after value, else just before it
}

// inUTC is the cut in a TIMESTAMP column, of which the value is what a clock in zone shows.
func (c cut) inUTC(zone *time.Location, exact, upper bool) (cut, bool) {
	shown, ok := c.value.(time.Time)
	if zone == nil || c.place != atValue || !ok || shown.Equal(types.ZeroTime) {
		return c, exact
	}
	first, last, one := fit.Around(shown, zone)
	switch {
	case one:
		c.value = first
	case upper:
		c.value, c.above = last, true
	default:
		c.value, c.above = first, false
	}
	return c, exact && one
}

func (s *span) lower(c cut, prefix bool) store.Bound {
	values := append([]any(nil), s.lo.Values...)
	switch c.place {
	case pastNull:
		return store.Bound{Values: append(values, nil), Inclusive: false}
	case atValue:
		// Values longer than an index's prefix share a key with the bound.
		return store.Bound{Values: append(values, c.value), Inclusive: !c.above || prefix}
	}
	return store.Bound{Values: values, Inclusive: true}
}

func (s *span) upper(c cut, prefix bool) store.Bound {
	values := append([]any(nil), s.hi.Values...)
	switch c.place {
	case pastNull:
		return store.Bound{Values: append(values, nil), Inclusive: true}
	case atValue:
		return store.Bound{Values: append(values, c.value), Inclusive: c.above || prefix}
	}
	return store.Bound{Values: values, Inclusive: true}
}

func isAll(c gms.MySQLRangeColumnExpr) bool {
	_, low := c.LowerBound.(gms.BelowNull)
	_, high := c.UpperBound.(gms.AboveAll)
	return low && high
}

// pointOf returns the single value that c allows, if there is one and the column's
// type holds it exactly.
func pointOf(ctx *gms.Context, t gms.Type, c gms.MySQLRangeColumnExpr) (any, bool, error) {
	if _, ok := c.LowerBound.(gms.BelowNull); ok {
		_, ok := c.UpperBound.(gms.AboveNull)
		return nil, ok, nil
	}
	low, ok := c.LowerBound.(gms.Below)
	if !ok {
		return nil, false, nil
	}
	high, ok := c.UpperBound.(gms.Above)
	if !ok {
		return nil, false, nil
	}
	if n, err := comparing(c.Typ).Compare(ctx, low.Key, high.Key); err != nil || n != 0 {
		return nil, false, err
	}
	return exact(ctx, t, low.Key, c.Typ)
}

// cutOf places a bound. exact is false when the type cannot hold its value: the cut
// then takes in everything on that side.
func cutOf(ctx *gms.Context, t gms.Type, b gms.MySQLRangeCut, typ gms.Type) (cut, bool, error) {
	var key any
	above := false
	switch b := b.(type) {
	case gms.BelowNull:
		return cut{place: beforeNull}, true, nil
	case gms.AboveNull:
		return cut{place: pastNull}, true, nil
	case gms.AboveAll:
		return cut{place: pastAll}, true, nil
	case gms.Below:
		key = b.Key
	case gms.Above:
		key, above = b.Key, true
	}
	v, ok, err := exact(ctx, t, key, typ)
	if err != nil {
		return cut{}, false, err
	}
	if !ok {
		return cut{place: anywhere}, false, nil
	}
	return cut{place: atValue, value: v, above: above}, true, nil
}

// anywhere is the place of a bound that a key cannot express: no bound on that side.
const anywhere place = -1

// exact converts key to t and says whether it is still the same value.
func exact(ctx *gms.Context, t gms.Type, key any, typ gms.Type) (any, bool, error) {
	v, inRange, err := t.Convert(ctx, key)
	if err != nil || inRange != gms.InRange || v == nil {
		return nil, false, nil // not a value of the column: the row check decides
	}
	n, err := comparing(typ).Compare(ctx, v, key)
	if err != nil {
		return nil, false, err
	}
	return v, n == 0, nil
}

// comparing is the type to compare with: that of a DECIMAL column rounds both sides.
func comparing(t gms.Type) gms.Type {
	if types.IsDecimal(t) {
		return types.InternalDecimalType
	}
	return t
}

// holds says whether v meets the condition.
func (c columnCheck) holds(ctx *gms.Context, v any) (bool, error) {
	if v == nil {
		_, low := c.expr.LowerBound.(gms.BelowNull)
		_, none := c.expr.UpperBound.(gms.BelowNull)
		return low && !none, nil
	}
	typ := comparing(c.expr.Typ)
	at := gms.Below{Key: v, Typ: typ}
	n, err := c.expr.LowerBound.Compare(ctx, at, typ)
	if err != nil || n > 0 {
		return false, err
	}
	n, err = c.expr.UpperBound.Compare(ctx, at, typ)
	return err == nil && n > 0, err
}
