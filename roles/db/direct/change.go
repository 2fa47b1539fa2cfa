package direct

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// changeLimit is how many rows a statement changes here; more are left to the planner,
// which does not gather them first.
const changeLimit = 10_000

// Change runs an INSERT, UPDATE or DELETE with the values in text in tx. read says how rows
// are read to be changed. foundRows counts rows that stay as they are. Nothing was
// written where a reason is returned; on an error the caller goes back to where the
// statement began. meta is for converting values only; ctx bounds the work. zone is the session's time zone, nil for UTC.
//
// Hot path: BenchmarkDirectUpdate of package sql.
func (p *Plan) Change(ctx context.Context, meta *gms.Context, tx *txn.Txn, read txn.Scan, text *Text, zone *time.Location, foundRows bool) (Result, Reason, error) {
	c := change{plan: p, ctx: ctx, meta: meta, tx: tx, text: text, zone: zone, foundRows: foundRows}
	if p.write.verb == insertRows {
		return c.insert()
	}
	b, ok := p.where.bind(text)
	if !ok {
		return Result{}, Coerced, nil
	}
	if !p.where.narrow() || !p.write.anyRow && !p.where.point {
		return Result{}, Index, nil
	}
	c.bindings = b
	if reason, err := c.find(read); reason != None || err != nil {
		return Result{}, reason, err
	}
	if p.write.verb == deleteRows {
		return c.delete()
	}
	return c.update()
}

// narrow says whether the index leads to the rows.
func (w *where) narrow() bool {
	return len(w.equal) > 0 || w.in >= 0 || w.lower >= 0 || w.upper >= 0
}

// change is one run of a write.
type change struct {
	plan      *Plan
	ctx       context.Context
	meta      *gms.Context
	tx        *txn.Txn
	text      *Text
	zone      *time.Location
	bindings  bindings
	foundRows bool
	rows      []gms.Row // found, or to be inserted
	result    Result
}

// find locks and reads the rows to be changed, all before the first is.
func (c *change) find(read txn.Scan) (Reason, error) {
	w, table := c.plan.where, c.plan.Table
	if w.point && w.index.IsPrimary() {
		values := make([]any, len(w.equal))
		for i, at := range w.equal {
			values[i] = c.bindings.values[at]
		}
		row, err := c.tx.Get(c.ctx, table, values, nil, read.Mode)
		if err != nil || row == nil {
			return None, err
		}
		return c.found(row)
	}
	spans, err := w.spans(c.bindings)
	if err != nil {
		return None, err
	}
	read.Index = w.index
	for _, span := range spans {
		read.Range, read.Point = span, w.point && bytes.Equal(span.End, store.PrefixEnd(span.Start))
		rows, err := c.tx.Scan(c.ctx, table, read)
		if err != nil {
			return None, err
		}
		for rows.Next() {
			if reason, err := c.found(rows.Row()); reason != None || err != nil {
				rows.Close()
				return reason, err
			}
			if w.point {
				break
			}
		}
		if err := rows.Close(); err != nil {
			return None, err
		}
		if err := rows.Err(); err != nil {
			return None, err
		}
	}
	return None, nil
}

func (c *change) found(row gms.Row) (Reason, error) {
	ok, err := c.plan.where.holds(c.ctx, c.bindings, row)
	if err != nil || !ok {
		return None, err
	}
	if len(c.rows) == changeLimit {
		return Index, nil
	}
	c.rows = append(c.rows, row)
	return None, nil
}

func (c *change) delete() (Result, Reason, error) {
	for _, row := range c.rows {
		if err := c.tx.DeleteRow(c.ctx, c.plan.Table, row); err != nil {
			return Result{}, None, err
		}
		c.result.Affected++
	}
	return c.result, None, nil
}

func (c *change) update() (Result, Reason, error) {
	after := make([]gms.Row, len(c.rows))
	values, ok := c.literals()
	if !ok {
		return Result{}, Coerced, nil
	}
	for i, row := range c.rows {
		if after[i], ok = c.assigned(row, nil, values); !ok {
			return Result{}, Coerced, nil
		}
	}
	for i, row := range c.rows {
		c.result.Matched++
		same, err := c.same(row, after[i])
		if err != nil {
			return Result{}, None, err
		}
		if same {
			continue
		}
		c.result.Changed++
		if err := c.tx.UpdateRow(c.ctx, c.plan.Table, row, after[i]); err != nil {
			return Result{}, None, duplicate(err, after[i])
		}
	}
	c.result.Affected = c.result.Changed
	if c.foundRows {
		c.result.Affected = c.result.Matched
	}
	return c.result, None, nil
}

// literals are the values that are assigned as they are, converted once.
func (c *change) literals() ([]any, bool) {
	assign := c.plan.write.assign
	values := make([]any, len(assign))
	for i := range assign {
		a := &assign[i]
		if a.placeholder < 0 || a.from >= 0 {
			continue
		}
		v, ok := c.text.one(a.placeholder)
		if ok {
			values[i], ok = convert(c.meta, c.zone, c.plan.Table, a.column, v)
		}
		if !ok {
			return nil, false
		}
	}
	return values, true
}

// assigned is the row with the new values; inserted is the row that met it, for
// ON DUPLICATE KEY UPDATE. Later assignments see the earlier ones.
func (c *change) assigned(row, inserted gms.Row, values []any) (gms.Row, bool) {
	table := c.plan.Table
	after := row.Copy()
	for i := range c.plan.write.assign {
		a := &c.plan.write.assign[i]
		v := values[i]
		switch {
		case a.from >= 0:
			by, ok := c.text.one(a.placeholder)
			if ok {
				v, ok = a.sum(c.meta, table, after[a.from], by)
			}
			if !ok {
				return nil, false
			}
		case a.inserted >= 0:
			if v = inserted[a.inserted]; v != nil && a.inserted != a.column {
				out, inRange, err := table.Types[a.column].Convert(c.meta, v)
				if err != nil || inRange != gms.InRange {
					return nil, false
				}
				v = out
			}
		}
		if v == nil && !table.Desc.Columns[a.column].Nullable {
			return nil, false
		}
		after[a.column] = v
	}
	return after, true
}

// same says whether there is nothing to write. Texts are compared byte for byte: 'bob' and 'Bob' are equal by most
// collations, and not the same.
func (c *change) same(before, after gms.Row) (bool, error) {
	for i := range c.plan.write.assign {
		at := c.plan.write.assign[i].column
		was, isText := before[at].(string)
		if now, stillText := after[at].(string); isText && stillText {
			if was != now {
				return false, nil
			}
			continue
		}
		if n, err := c.plan.Table.Types[at].Compare(c.ctx, before[at], after[at]); n != 0 || err != nil {
			return false, err
		}
	}
	return true, nil
}

// insert adds the rows of the text.
func (c *change) insert() (Result, Reason, error) {
	p, t := c.plan, c.text
	w, table := p.write, p.Table
	if t.Rows == 0 || t.Width != len(w.columns) {
		return Result{}, Shape, nil
	}
	generate := make([]bool, t.Rows)
	for r := range t.Rows {
		row := make(gms.Row, len(table.Desc.Columns))
		for _, at := range w.omitted {
			row[at] = w.defaults[at]
		}
		for i, at := range w.columns {
			v, ok := convert(c.meta, c.zone, table, at, t.Values[t.FirstRow+r*t.Width+i])
			if !ok || v == nil && !table.Desc.Columns[at].Nullable && at != table.AutoIncrementColumn() {
				return Result{}, Coerced, nil
			}
			row[at] = v
		}
		if at := table.AutoIncrementColumn(); at >= 0 {
			var ok bool
			if generate[r], ok = generates(table.Types[at], row[at]); !ok {
				return Result{}, Coerced, nil
			}
			generate[r] = generate[r] && (row[at] == nil || !w.keepsZero)
		}
		c.rows = append(c.rows, row)
	}
	values, ok := c.literals()
	if !ok {
		return Result{}, Coerced, nil
	}
	if len(w.assign) > 0 {
		return c.insertOrUpdate(generate, values)
	}
	if first := slices.Index(generate, true); first >= 0 && first < t.Rows-1 {
		c.tx.ExpectAutoIncrement(table, t.Rows-first) // as the planner, which does not look ahead
	}
	for r, row := range c.rows {
		if err := c.add(row, generate[r]); err != nil {
			return c.result, None, err // the values that were made are not forgotten
		}
	}
	return c.result, None, nil
}

// generates says whether an AUTO_INCREMENT column takes a value of its own: it is given
// NULL or 0. false for values that are left to the planner.
func generates(t gms.Type, v any) (generate, ok bool) {
	if v == nil {
		return true, true
	}
	if !types.IsInteger(t) {
		return false, false
	}
	n, _, big := split(v)
	return n == 0 && !big, true
}

// add inserts one row, with a value for its AUTO_INCREMENT column if it needs one.
func (c *change) add(row gms.Row, generate bool) error {
	table := c.plan.Table
	at := table.AutoIncrementColumn()
	if generate {
		next, err := c.tx.NextAutoIncrement(table)
		if err != nil {
			return err
		}
		v, inRange, err := table.Types[at].Convert(c.meta, next)
		if err == nil && inRange != gms.InRange {
			err = gms.ErrValueOutOfRange.New(next, table.Types[at])
		}
		if err != nil {
			return err
		}
		row[at] = v
	}
	if err := c.tx.InsertRow(c.ctx, table, row); err != nil {
		return duplicate(err, row)
	}
	if at >= 0 {
		c.result.LastID = idOf(row[at])
		if generate && !c.result.Generated {
			c.result.Generated, c.result.GeneratedID = true, c.result.LastID
		}
	}
	c.result.Affected++
	return nil
}

// idOf is an AUTO_INCREMENT column's value, of whatever type, as a number.
func idOf(v any) int64 {
	n, u, big := split(v)
	if big {
		return int64(u)
	}
	return n
}

// insertOrUpdate is ON DUPLICATE KEY UPDATE of one row: with several, what the first
// changes decides what the second meets.
func (c *change) insertOrUpdate(generate []bool, values []any) (Result, Reason, error) {
	if len(c.rows) != 1 {
		return Result{}, Shape, nil
	}
	row := c.rows[0]
	err := c.add(row, generate[0])
	var dup *DuplicateError
	if !errors.As(err, &dup) {
		return c.result, None, err
	}
	after, ok := c.assigned(dup.Existing, row, values)
	if !ok {
		return Result{}, Coerced, nil
	}
	same, err := c.same(dup.Existing, after)
	if err != nil {
		return Result{}, None, err
	}
	if err := c.tx.UpdateRow(c.ctx, c.plan.Table, dup.Existing, after); err != nil {
		return Result{}, None, duplicate(err, after)
	}
	switch {
	case !same:
		c.result.Affected = 2
		if at := c.plan.Table.AutoIncrementColumn(); at >= 0 {
			c.result.LastID = idOf(after[at])
		}
	case c.foundRows:
		c.result.Affected = 1
	}
	return c.result, None, nil
}
