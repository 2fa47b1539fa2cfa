package sql

import (
	"fmt"
	"maps"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// generatedIgnored is MariaDB's number of the warning; MySQL's error is generatedRefused.
const (
	generatedIgnored = 1906
	generatedRefused = 3105
)

func refusedGenerated(column, table string) error {
	return mysqlError(generatedRefused, "The value specified for generated column '%s' in table '%s' is not allowed.", column, table)
}

func ignoredGenerated(column, table string) string {
	return fmt.Sprintf("The value specified for generated column '%s' in table '%s' has been ignored", column, table)
}

// generatedValues finds the values that a statement gives to generated columns. MySQL
// refuses all of them, MariaDB those in strict mode, and ignores others with a warning:
// its dumps are full of them.
type generatedValues struct {
	strict  bool
	table   string
	columns map[string]bool // the generated ones
	ignored []string        // the columns of the values that were ignored, in order
}

// withoutGenerated says DEFAULT where st gives a generated column a value; nil: it changes
// no table with such columns. st itself is not changed: it may belong to a prepared
// statement, or to a routine.
func (s *Session) withoutGenerated(st sqlparser.Statement) (sqlparser.Statement, *generatedValues, error) {
	if insert, ok := st.(*sqlparser.Insert); ok {
		nameSelected(insert, func(name sqlparser.TableName) []string {
			all, _ := s.columnsOf(name)
			return all
		})
	}
	var name sqlparser.TableName
	var lenient bool
	switch st := st.(type) {
	case *sqlparser.Insert:
		name, lenient = st.Table, st.Ignore != ""
	case *sqlparser.Update:
		if len(st.TableExprs) != 1 {
			return st, nil, nil
		}
		t, _ := st.TableExprs[0].(*sqlparser.AliasedTableExpr)
		if t == nil {
			return st, nil, nil
		}
		name, _ = t.Expr.(sqlparser.TableName)
		lenient = st.Ignore != ""
	}
	if name.IsEmpty() {
		return st, nil, nil
	}
	columns, generated := s.columnsOf(name)
	if len(generated) == 0 {
		return st, nil, nil
	}
	g := &generatedValues{strict: s.settingsNow().strict && !lenient, table: name.Name.String(), columns: generated}
	switch old := st.(type) {
	case *sqlparser.Insert:
		if len(old.Columns) > 0 {
			columns = nil
			for _, c := range old.Columns {
				columns = append(columns, c.Lowered())
			}
		}
		insert := *old
		var err error
		if from, ok := old.Rows.(sqlparser.SelectStatement); ok {
			if len(old.OnDup) == 0 { // which may name columns of the SELECT: the planner refuses that
				err = g.selected(&insert, columns, from)
			}
		} else {
			insert.Rows, err = g.rows(columns, old.Rows)
		}
		if err != nil {
			return nil, nil, err
		}
		onDup, err := g.assignments(sqlparser.AssignmentExprs(old.OnDup))
		insert.OnDup = sqlparser.OnDup(onDup)
		if err != nil {
			return nil, nil, err
		}
		st = &insert
	case *sqlparser.Update:
		update := *old
		var err error
		if update.Exprs, err = g.assignments(old.Exprs); err != nil {
			return nil, nil, err
		}
		st = &update
	}
	return st, g, nil
}

// columnsOf lists the columns that an INSERT without a list means, and which of a table's
// are generated.
func (s *Session) columnsOf(name sqlparser.TableName) (all []string, generated map[string]bool) {
	database := name.DbQualifier.String()
	if database == "" {
		database = s.GetCurrentDatabase()
	}
	t := s.catalog().Table(database, name.Name.String())
	if temporary := s.temporaryTable(database, name.Name.String()); temporary != nil {
		t = temporary.stored
	}
	if t == nil {
		return nil, nil
	}
	for i := range t.Desc.Columns {
		c := &t.Desc.Columns[i]
		if string(c.Extra) == hiddenSystem {
			continue // what an index over an expression holds
		}
		lowered := sqlparser.NewColIdent(c.Name).Lowered()
		all = append(all, lowered)
		if c.Generated != nil {
			if generated == nil {
				generated = map[string]bool{}
			}
			generated[lowered] = true
		}
	}
	return all, generated
}

// rows are those of an INSERT … VALUES.
func (g *generatedValues) rows(columns []string, rows sqlparser.InsertRows) (sqlparser.InsertRows, error) {
	values, ok := rows.(*sqlparser.AliasedValues)
	if !ok {
		return rows, nil
	}
	others := *values
	others.Values = make(sqlparser.Values, len(values.Values))
	for i, row := range values.Values {
		others.Values[i] = row
		if len(row) != len(columns) {
			continue // the planner's error, or all defaults
		}
		row = slices.Clone(row)
		for j, c := range columns {
			var err error
			if row[j], err = g.value(c, row[j]); err != nil {
				return nil, err
			}
		}
		others.Values[i] = row
	}
	return &others, nil
}

// value is what is written instead of a value for a column, generated or not.
func (g *generatedValues) value(column string, e sqlparser.Expr) (sqlparser.Expr, error) {
	if !g.columns[column] {
		return e, nil
	}
	switch e.(type) {
	case *sqlparser.Default:
		return e, nil
	case *sqlparser.NullVal:
		if !g.strict {
			return &sqlparser.Default{}, nil // MariaDB says nothing
		}
	}
	if g.strict {
		return nil, refusedGenerated(column, g.table)
	}
	g.ignored = append(g.ignored, column)
	return &sqlparser.Default{}, nil
}

// selected takes the columns out of an INSERT … SELECT. Of each there is one warning, not
// one for each row: how many there are is not known before they are read.
func (g *generatedValues) selected(insert *sqlparser.Insert, columns []string, from sqlparser.SelectStatement) error {
	if !slices.ContainsFunc(columns, func(c string) bool { return g.columns[c] }) {
		return nil
	}
	names := make(sqlparser.Columns, len(columns))
	var values sqlparser.SelectExprs
	insert.Columns = nil
	for i, c := range columns {
		names[i] = sqlparser.NewColIdent(fmt.Sprintf("#%d", i))
		if !g.columns[c] {
			insert.Columns = append(insert.Columns, sqlparser.NewColIdent(c))
			values = append(values, &sqlparser.AliasedExpr{Expr: &sqlparser.ColName{Name: names[i]}})
			continue
		}
		if g.strict {
			return refusedGenerated(c, g.table)
		}
		g.ignored = append(g.ignored, c)
	}
	if len(values) == 0 {
		return refusedGenerated(columns[0], g.table) // nothing is left that could be selected
	}
	insert.Rows = &sqlparser.Select{SelectExprs: values, From: sqlparser.TableExprs{&sqlparser.AliasedTableExpr{
		Auth: sqlparser.AuthInformation{AuthType: sqlparser.AuthType_IGNORE}, // that of from is in from
		Expr: &sqlparser.Subquery{Select: from, Columns: names}, As: sqlparser.NewTableIdent("#values"),
	}}}
	return nil
}

// assignments are those of an UPDATE, or ON DUPLICATE KEY UPDATE.
func (g *generatedValues) assignments(list sqlparser.AssignmentExprs) (sqlparser.AssignmentExprs, error) {
	list = slices.Clone(list)
	for i, a := range list {
		e, err := g.value(a.Name.Name.Lowered(), a.Expr)
		if err != nil {
			return nil, err
		}
		list[i] = &sqlparser.AssignmentExpr{Name: a.Name, Expr: e}
	}
	return list, nil
}

// boundIn are the bindings that a statement still has placeholders for: the planner
// refuses others.
func boundIn(st sqlparser.Statement, bindings map[string]sqlparser.Expr) map[string]sqlparser.Expr {
	if bindings == nil {
		return nil
	}
	used := map[string]bool{}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if v, ok := n.(*sqlparser.SQLVal); ok && v.Type == sqlparser.ValArg {
			used[string(v.Val[1:])] = true
		}
		return true, nil
	}, st)
	bindings = maps.Clone(bindings)
	maps.DeleteFunc(bindings, func(name string, _ sqlparser.Expr) bool { return !used[name] })
	return bindings
}

// ignoredSink says which values were ignored just before the answer, which tells how many
// warnings there are: the planner clears those from before.
type ignoredSink struct {
	sink
	s *Session
	g *generatedValues
}

func (i *ignoredSink) warn() {
	for _, c := range i.g.ignored {
		i.s.Warn(&gms.Warning{Level: "Warning", Code: generatedIgnored, Message: ignoredGenerated(c, i.g.table)})
	}
	i.g.ignored = nil
}

// Columns implements sink, for RETURNING.
func (i *ignoredSink) Columns(ctx *gms.Context, schema gms.Schema) error {
	i.warn()
	return i.sink.Columns(ctx, schema)
}

// OK implements sink.
func (i *ignoredSink) OK(affected, insertID uint64, info string) {
	i.warn()
	i.sink.OK(affected, insertID, info)
}
