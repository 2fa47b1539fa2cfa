package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
	"stack/roles/db/store"
)

// fitting is how one statement's values are made to fit their columns. Strict mode makes
// an error of what is lost, else it is a warning.
type fitting struct {
	strict   bool
	refuseNo bool // NULL for NOT NULL is an error
	mode     fit.Mode
	row      int64 // the row that values come from, counted from 1
	quiet    bool  // nobody hears of warnings

	tables map[string]*store.Table    // with columns that take less than their type, by name in the statement
	narrow map[*gms.Column]fit.Narrow // those columns
}

// reads notes a table that the statement calls name, whose columns are schema, nil if it has
// not to be known.
func (f *fitting) reads(name string, t *store.Table, schema gms.Schema) {
	if t == nil || len(t.Narrow) == 0 {
		return
	}
	if f.tables == nil {
		f.tables, f.narrow = map[string]*store.Table{}, map[*gms.Column]fit.Narrow{}
	}
	f.tables[strings.ToLower(name)] = t
	for _, at := range t.Narrow {
		if at < len(schema) && len(schema) == len(t.Types) {
			f.narrow[schema[at]] = columnType(t, at).(fit.Narrow)
		}
	}
}

// assigned notes a column that a field of the statement stands for.
func (f *fitting) assigned(table string, c *gms.Column) {
	if t := f.tables[strings.ToLower(table)]; t != nil {
		if at := columnNamed(t.Desc, c.Name); at >= 0 {
			if n, ok := columnType(t, at).(fit.Narrow); ok {
				f.narrow[c] = n
			}
		}
	}
}

// newFitting is for a statement; ignore says that it has IGNORE, single that it is an
// INSERT of one row, which never takes NULL for something else.
func newFitting(ctx *gms.Context, ignore, single bool) (*fitting, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	n := s.settingsNow()
	strict := n.strict && !ignore
	return &fitting{strict: strict, refuseNo: strict || single && !ignore, mode: n.fit}, nil
}

// inTrigger is for what a trigger assigns: by the sql_mode that it was made with, whether the
// statement has IGNORE or not. Of its warnings the statement tells nothing.
func inTrigger(ctx *gms.Context, database, name string) (*fitting, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var data triggerData
	if o := s.catalog().Object(objectTrigger, database, name); o != nil {
		if err := decodeObject(o, &data); err != nil {
			return nil, err
		}
	}
	n := valueModeOf(data.SQLMode)
	n.fit.Zone = s.zone()
	return &fitting{strict: n.strict, refuseNo: n.strict, mode: n.fit, quiet: true}, nil
}

// value is v as column stores it; from is the type of the expression it comes from, or nil.
func (f *fitting) value(ctx *gms.Context, column *gms.Column, v any, from gms.Type) (any, error) {
	t := column.Type
	if n, ok := f.narrow[column]; ok {
		t = n
	}
	out, problem, err := fit.Value(ctx, t, v, from, f.mode)
	if gms.ErrNotMatchingSRID.Is(err) {
		return nil, gms.ErrNotMatchingSRIDWithColName.New(column.Name, err)
	}
	if err != nil || problem == nil {
		return out, err
	}
	if f.strict && problem.Error != 0 {
		return nil, mysqlError(problem.Error, "%s", problem.Text(problem.Error, column.Name, f.row))
	}
	if f.quiet {
		return out, nil
	}
	level := "Warning"
	if problem.Error == 0 {
		level = "Note"
	}
	ctx.Session.Warn(&gms.Warning{Level: level, Code: int(problem.Warning), Message: problem.Text(problem.Warning, column.Name, f.row)})
	return out, nil
}

// null is what NULL becomes in a column that is NOT NULL.
func (f *fitting) null(ctx *gms.Context, column *gms.Column) (any, error) {
	if s, err := sessionOf(ctx); err == nil && s.divided { // that is why
		return nil, s.refuseDivision()
	}
	v, ok, err := implicit(ctx, column.Type)
	if err != nil || f.refuseNo || !ok {
		return nil, firstError(err, mysqlError(1048, "Column '%s' cannot be null", column.Name))
	}
	ctx.Session.Warn(&gms.Warning{Level: "Warning", Code: 1048, Message: "Column '" + column.Name + "' cannot be null"})
	return v, nil
}

func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// implicit is the value that MySQL takes where there is none (manual: "Data Type Default
// Values"); false: the type has no such value.
func implicit(ctx *gms.Context, t gms.Type) (any, bool, error) {
	var v any
	switch {
	case types.IsJSON(t), types.IsGeometry(t):
		return nil, false, nil
	case isDate(t):
		return types.ZeroTime, true, nil
	case types.IsEnum(t):
		return uint16(0), true, nil
	case types.IsText(t), types.IsSet(t), types.IsBlobType(t), types.IsTextBlob(t), types.IsBinaryType(t):
		v = ""
	default:
		v = int64(0)
	}
	v, _, err := t.Convert(ctx, v)
	return v, true, err
}

func isDate(t gms.Type) bool {
	return types.IsDateType(t) || types.IsDatetimeType(t) || types.IsTimestampType(t)
}
