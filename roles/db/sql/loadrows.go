package sql

import (
	"fmt"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
	"stack/roles/db/infile"
)

// loadField is where one field of a line goes.
type loadField struct {
	at       int    // position of the column, -1: to the variable
	variable string // of the user
}

// loadRows makes rows of a table of the lines of a file. It holds one at a time.
type loadRows struct {
	session *Session
	reader  *infile.Reader
	schema  gms.Schema // of the whole table
	types   []gms.Type // that fields are made to fit
	fields  []loadField
	base    gms.Row             // what columns hold that no field goes to
	from    *gms.CharacterSetID // of the file; nil: UTF-8, or bytes
	strict  bool                // warnings are errors
	mode    fit.Mode

	number uint64 // of the row being read, from 1
	count  uint64 // rows returned
	end    bool
}

var _ gms.RowIter = (*loadRows)(nil)

// reads says whether a field goes to a column.
func (r *loadRows) reads(at int) bool {
	for _, f := range r.fields {
		if f.at == at {
			return true
		}
	}
	return false
}

// Next reads a line. Fields that do not fit are warnings, or errors in strict mode.
func (r *loadRows) Next(ctx *gms.Context) (gms.Row, error) {
	if r.end {
		return nil, io.EOF
	}
	r.number++
	row := make(gms.Row, len(r.schema))
	copy(row, r.base)
	for i := range r.fields {
		field, ok, err := r.reader.Field()
		if err != nil {
			return nil, err
		}
		if !ok && i == 0 {
			r.end = true
			return nil, io.EOF
		}
		if !ok {
			if err := r.missing(ctx, row, r.fields[i:]); err != nil {
				return nil, err
			}
			break
		}
		if err := r.take(ctx, row, r.fields[i], field); err != nil {
			return nil, err
		}
	}
	more, rest, err := r.reader.NextLine()
	if err != nil {
		return nil, err
	}
	if rest && more { // as MySQL, which does not count what ends with the file
		if err := r.warn(1262, fmt.Sprintf("Row %d was truncated; it contained more data than there were input columns", r.number)); err != nil {
			return nil, err
		}
	}
	r.end = !more
	r.count++
	return row, nil
}

// Close has nothing to free: the file is the connection's.
func (r *loadRows) Close(*gms.Context) error { return nil }

// take puts a field where it goes.
func (r *loadRows) take(ctx *gms.Context, row gms.Row, to loadField, field infile.Field) error {
	if to.at < 0 {
		if field.Null {
			return ctx.SetUserVariable(ctx, to.variable, nil, types.Null)
		}
		text, _ := decoded(r.from, field.Bytes)
		return ctx.SetUserVariable(ctx, to.variable, text, types.LongText)
	}
	c := r.schema[to.at]
	switch {
	case c.Generated != nil:
		if r.strict {
			return refusedGenerated(c.Name, c.Source)
		}
		return r.warn(generatedIgnored, ignoredGenerated(c.Name, c.Source))
	case field.Null && (c.Nullable || c.AutoIncrement):
		row[to.at] = nil
		return nil
	case field.Null:
		row[to.at] = emptyValue(c.Type)
		return r.warn(1263, fmt.Sprintf("Column set to default value; NULL supplied to NOT NULL column '%s' at row %d", c.Name, r.number))
	}
	v, problem, err := fieldValue(ctx, r.types[to.at], r.from, field.Bytes, r.mode)
	if err != nil {
		return err
	}
	row[to.at] = v
	if problem == nil {
		return nil
	}
	code := problem.Warning
	if problem.Error == 0 {
		r.session.Warn(&gms.Warning{Level: "Note", Code: int(code), Message: problem.Text(code, c.Name, int64(r.number))})
		return nil
	}
	if r.strict {
		code = problem.Error
	}
	return r.warn(code, problem.Text(code, c.Name, int64(r.number)))
}

// missing fills the columns of a line that ends early.
func (r *loadRows) missing(ctx *gms.Context, row gms.Row, fields []loadField) error {
	for _, f := range fields {
		switch {
		case f.at < 0:
			if err := ctx.SetUserVariable(ctx, f.variable, nil, types.Null); err != nil {
				return err
			}
			continue // of which nothing is said
		case r.schema[f.at].Generated == nil:
			row[f.at] = nil
			if c := r.schema[f.at]; c.Default != nil && c.Default.IsLiteral() && !isNullDefault(ctx, c) || !c.Nullable && !c.AutoIncrement {
				row[f.at] = emptyValue(c.Type) // not the default, whatever the manual says
			}
		}
		if err := r.warn(1261, fmt.Sprintf("Row %d doesn't contain data for all columns", r.number)); err != nil {
			return err
		}
	}
	return nil
}

// warn keeps a warning; in strict mode it is the statement's error.
func (r *loadRows) warn(code uint16, text string) error {
	if r.strict {
		return mysqlError(code, "%s", text)
	}
	r.session.Warn(&gms.Warning{Level: "Warning", Code: int(code), Message: text})
	return nil
}

// emptyValue is what stands for no value in a column: 0, an empty text, the zero date.
func emptyValue(t gms.Type) any {
	switch {
	case types.IsEnum(t):
		return uint16(0)
	case isDate(t):
		return types.ZeroTime
	}
	return t.Zero()
}

func isNullDefault(ctx *gms.Context, c *gms.Column) bool {
	v, err := c.Default.Eval(ctx, nil)
	return err == nil && v == nil
}
