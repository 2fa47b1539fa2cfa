package direct

import (
	"errors"
	"slices"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/fit"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// verb is what a write does.
type verb uint8

const (
	insertRows verb = iota
	updateRows
	deleteRows
)

// write is what a statement changes.
type write struct {
	verb      verb
	columns   []int // INSERT: the positions of the values of a row
	omitted   []int // and of the columns that have none
	defaults  []any // by position, for those
	assign    []assignment
	keepsZero bool // of an AUTO_INCREMENT column: 0 makes no value
	// anyRow says that it does not matter in which order rows are changed: none can be
	// in the way of another.
	anyRow bool
}

// assignment is column = value.
type assignment struct {
	column      int
	placeholder int  // of the literal; -1: NULL, or the value that was to be inserted
	inserted    int  // VALUES(column): its position, else -1
	from        int  // column + literal, column - literal: the position of the column, else -1
	minus       bool // -
}

// Result is what a write answers with.
type Result struct {
	Affected int64 // rows added, changed or removed; of ON DUPLICATE KEY two for each changed
	Matched  int64 // rows that an UPDATE found
	Changed  int64 // of them those with other values than before
	// LastID is the AUTO_INCREMENT value of the last row added or changed by an INSERT; GeneratedID
	// the first that was made, and Generated says whether one was.
	LastID, GeneratedID int64
	Generated           bool
}

// DuplicateError is a *txn.DuplicateKeyError with the row that was to be written.
type DuplicateError struct {
	*txn.DuplicateKeyError
	Row gms.Row
}

// Unwrap is the store's error.
func (e *DuplicateError) Unwrap() error { return e.DuplicateKeyError }

func duplicate(err error, row gms.Row) error {
	var dup *txn.DuplicateKeyError
	if errors.As(err, &dup) {
		return &DuplicateError{dup, row}
	}
	return err
}

func (p *Plan) compileInsert(st *sqlparser.Insert, lookup Lookup) Reason {
	if st.Action != sqlparser.InsertStr || st.Ignore != "" || st.With != nil || len(st.Comments) > 0 || len(st.Partitions) > 0 || len(st.Returning) > 0 {
		return Shape
	}
	rows, ok := st.Rows.(*sqlparser.AliasedValues)
	if !ok || !rows.As.IsEmpty() || len(rows.Columns) > 0 || len(rows.Values) != 1 {
		return Shape
	}
	s, reason := p.resolve(st.Table, "", lookup, true)
	if reason != None {
		return reason
	}
	p.Table = s.table
	w := &write{verb: insertRows}
	p.write = w
	given := make([]bool, len(s.table.Desc.Columns))
	for _, name := range st.Columns {
		at, ok := s.named(name)
		if !ok || given[at] {
			return Shape
		}
		given[at] = true
		w.columns = append(w.columns, at)
	}
	for i := range given {
		if len(st.Columns) == 0 {
			w.columns = append(w.columns, i)
		} else if !given[i] {
			w.omitted = append(w.omitted, i)
		}
	}
	if len(rows.Values[0]) != len(w.columns) {
		return Shape
	}
	for i, e := range rows.Values[0] {
		if n, ok := placeholder(e); !ok || n != i {
			return Shape
		}
	}
	return w.compileAssignments(s, sqlparser.AssignmentExprs(st.OnDup), true)
}

func (p *Plan) compileUpdate(st *sqlparser.Update, lookup Lookup) Reason {
	if st.Ignore != "" || st.With != nil || len(st.Comments) > 0 || len(st.OrderBy) > 0 || st.Limit != nil || len(st.Returning) > 0 {
		return Shape
	}
	s, reason := p.from(st.TableExprs, lookup, true)
	if reason != None {
		return reason
	}
	w := &write{verb: updateRows}
	p.write = w
	if reason := w.compileAssignments(s, st.Exprs, false); reason != None {
		return reason
	}
	w.anyRow = true
	for _, ix := range append([]*store.Index{s.table.Primary}, s.table.Indexes...) {
		if ix.IsPrimary() || ix.Desc.Unique {
			for _, a := range w.assign {
				w.anyRow = w.anyRow && !slices.Contains(ix.ColumnPositions(), a.column)
			}
		}
	}
	return p.compileWhere(s, st.Where)
}

func (p *Plan) compileDelete(st *sqlparser.Delete, lookup Lookup) Reason {
	if st.With != nil || len(st.Comments) > 0 || len(st.Partitions) > 0 || len(st.OrderBy) > 0 || st.Limit != nil || len(st.Returning) > 0 || len(st.Targets) > 0 {
		return Shape
	}
	s, reason := p.from(st.TableExprs, lookup, true)
	if reason != None {
		return reason
	}
	p.write = &write{verb: deleteRows, anyRow: true}
	return p.compileWhere(s, st.Where)
}

// compileAssignments reads SET, or what is behind ON DUPLICATE KEY UPDATE.
func (w *write) compileAssignments(s scope, list sqlparser.AssignmentExprs, inserting bool) Reason {
	for i := range s.table.Desc.Columns {
		if s.table.Desc.Columns[i].OnUpdate != nil && len(list) > 0 {
			return Guarded
		}
	}
	for _, e := range list {
		column, ok := s.column(e.Name)
		if !ok {
			return Shape
		}
		a := assignment{column: column, placeholder: -1, inserted: -1, from: -1}
		switch expr := e.Expr.(type) {
		case *sqlparser.SQLVal:
			if a.placeholder, ok = placeholder(expr); !ok {
				return Shape
			}
		case *sqlparser.NullVal:
		case *sqlparser.ValuesFuncExpr:
			if a.inserted, ok = s.column(expr.Name); !ok || !inserting || s.table.Desc.Columns[a.inserted].Type.Base != s.table.Desc.Columns[column].Type.Base ||
				a.inserted != column && s.table.Desc.Columns[column].Type.Narrow() {
				return Shape
			}
		case *sqlparser.BinaryExpr:
			if expr.Operator != sqlparser.PlusStr && expr.Operator != sqlparser.MinusStr {
				return Shape
			}
			a.minus = expr.Operator == sqlparser.MinusStr
			if a.from, ok = s.column(expr.Left); !ok {
				return Shape
			}
			if a.placeholder, ok = placeholder(expr.Right); !ok {
				return Shape
			}
			if classOf(s.table.Types[a.from]) != classInt || classOf(s.table.Types[column]) != classInt {
				return Column
			}
		default:
			return Shape
		}
		w.assign = append(w.assign, a)
	}
	return None
}

func (w *write) finish(t *store.Table, planned Planned) Reason {
	w.keepsZero = planned.KeepsZero
	if w.verb == insertRows {
		w.defaults = make([]any, len(t.Desc.Columns))
		for _, at := range w.omitted {
			c := &t.Desc.Columns[at]
			switch {
			case at == t.AutoIncrementColumn():
			case c.Default == nil && !c.Nullable:
				return Coerced
			case c.Default == nil:
			default:
				v, ok := planned.Defaults[at]
				if !ok || v == nil && !c.Nullable {
					return Coerced
				}
				w.defaults[at] = v
			}
		}
	}
	return None
}

// plainly is where a value with which there is anything to say is left to the planner.
func plainly(zone *time.Location) fit.Mode { return fit.Mode{NoZeroDate: true, Zone: zone} }

// convert brings a literal to what a column stores as the planner does, where there is nothing
// that sql_mode would have to decide.
func convert(meta *gms.Context, zone *time.Location, table *store.Table, at int, v Value) (any, bool) {
	t := table.Types[at]
	in, ok := v.literal()
	if !ok {
		return nil, false
	}
	if in == nil {
		return nil, true
	}
	switch {
	case types.IsInteger(t):
		if v.Kind == String {
			if in, ok = integerText(v.Text); !ok {
				return nil, false
			}
		}
	case types.IsFloat(t), types.IsDecimal(t):
		ok = v.Kind != String
	case types.IsText(t), types.IsTextBlob(t), types.IsBinaryType(t):
	case types.IsDateType(t), types.IsDatetimeType(t), types.IsTimestampType(t), types.IsEnum(t), types.IsSet(t):
		ok = v.Kind == String
	default:
		ok = false
	}
	if !ok {
		return nil, false
	}
	to := t
	if d := &table.Desc.Columns[at].Type; d.Narrow() {
		to = fit.NewNarrow(t, d.Unsigned, d.Digits())
	}
	out, problem, err := fit.Value(meta, to, in, nil, plainly(zone))
	if zone != nil && types.IsTimestampType(t) {
		out = fit.Stored(out, zone)
	}
	return out, err == nil && problem == nil && out != nil
}

// sum is a column plus or minus an integer, as the column assigned to holds it; false
// where it does not, or where the planner would find it out of range.
func (a *assignment) sum(meta *gms.Context, t *store.Table, v any, by Value) (any, bool) {
	if by.Kind != Int || by.Int == -1<<63 {
		return nil, false
	}
	if v == nil {
		return nil, true
	}
	n, _, big := split(v)
	if big {
		return nil, false
	}
	d := by.Int
	if a.minus {
		d = -d
	}
	r := n + d
	if (r > n) != (d > 0) && d != 0 {
		return nil, false
	}
	if r < 0 && (types.IsUnsigned(t.Types[a.from]) || types.IsUnsigned(t.Types[a.column])) {
		return nil, false
	}
	out, problem, err := fit.Value(meta, t.Types[a.column], r, nil, plainly(nil))
	return out, err == nil && problem == nil
}
