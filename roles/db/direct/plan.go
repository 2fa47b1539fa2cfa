package direct

import (
	"slices"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// Plan is a statement of the list made ready to run with any values. It is immutable
// and safe for concurrent use.
type Plan struct {
	// Statement is the parsed template.
	Statement sqlparser.Statement
	// Table is what the statement reads or writes; of a join the first one.
	Table *store.Table
	// Schema is what the planner returns; nil for statements without a result set.
	Schema gms.Schema

	read  *read  // SELECT
	where *where // and the rows of UPDATE and DELETE
	join  *join  // in place of where, for a SELECT over several tables
	write *write // INSERT, UPDATE, DELETE
	// system is what a SELECT without a table asks for.
	system *System
}

// Planned is how the planner runs a statement: what its order of rows depends on.
type Planned struct {
	Schema gms.Schema
	Index  *store.Index // that it reads; nil: the whole table
	Sorts  bool         // it sorts rows
	// KeepsZero is NO_AUTO_VALUE_ON_ZERO: a 0 for an AUTO_INCREMENT column is stored.
	KeepsZero bool
	// Defaults are the values of columns that an INSERT leaves out, by position, where
	// they are literals.
	Defaults map[int]any
}

// Lookup finds a table by the name in a statement, database "" for the current one. It
// says why there is none: Table, or Guarded for one whose writes have consequences.
type Lookup func(database, name string, writes bool) (*store.Table, Reason)

// Compile recognises a statement by its template. The plan is not complete before
// Finish.
func Compile(st sqlparser.Statement, lookup Lookup) (*Plan, Reason) {
	p := &Plan{Statement: st}
	switch st := st.(type) {
	case *sqlparser.Select:
		return p, p.compileSelect(st, lookup)
	case *sqlparser.Insert:
		return p, p.compileInsert(st, lookup)
	case *sqlparser.Update:
		return p, p.compileUpdate(st, lookup)
	case *sqlparser.Delete:
		return p, p.compileDelete(st, lookup)
	}
	return p, Shape
}

// Writes says whether the plan changes rows.
func (p *Plan) Writes() bool { return p.write != nil }

// Point says whether the plan looks at one row at most, or adds rows: it ends at once.
func (p *Plan) Point() bool { return p.join == nil && (p.where == nil || p.where.point) }

// Joins says whether the plan reads several tables, in an order of its own.
func (p *Plan) Joins() bool { return p.join != nil }

// Reads says whether t is one of the plan's tables.
func (p *Plan) Reads(t *store.Table) bool {
	return p.Table == t || p.join != nil && slices.ContainsFunc(p.join.tables, func(s scope) bool { return s.table == t })
}

// Binds says whether a plan that is not finished may be made with the values in text:
// with some that would be coerced, or that no row can have, the planner may read
// otherwise than with the next ones.
func (p *Plan) Binds(t *Text) bool {
	if rows, ok := p.limit(t); !ok || rows == 0 && !p.read.found {
		return false
	}
	for _, w := range p.wheres() {
		if _, ok := w.bound(t); !ok {
			return false
		}
	}
	return true
}

// wheres are the conditions on each table.
func (p *Plan) wheres() []*where {
	switch {
	case p.join != nil:
		return p.join.wheres
	case p.where != nil:
		return []*where{p.where}
	}
	return nil
}

// limit is the number of rows that a LIMIT asks for, -1 without one; false where it is
// no number that is taken.
func (p *Plan) limit(t *Text) (int64, bool) {
	run := selection{plan: p, left: -1}
	ok := p.read == nil || p.read.limit < 0 || run.limits(t)
	return run.left, ok
}

// Empty says whether it is known without the planner that there are no rows: a constant
// condition, which is part of the text, is false, or LIMIT 0 is there to count them.
func (p *Plan) Empty(t *Text) bool {
	if slices.ContainsFunc(p.wheres(), func(w *where) bool { return w.never }) {
		return true
	}
	rows, ok := p.limit(t)
	return ok && rows == 0
}

// Finish takes over what the planner has made of the statement.
func (p *Plan) Finish(planned Planned) Reason {
	p.Schema = planned.Schema
	if p.join != nil {
		return p.finishJoin(planned)
	}
	if p.where != nil {
		if reason := p.where.finish(p.Table, planned.Index); reason != None {
			return reason
		}
	}
	if p.read != nil {
		return p.read.finish(p.Table, p.where, planned)
	}
	if p.write != nil {
		return p.write.finish(p.Table, planned)
	}
	return None
}

// scope resolves the names of one table of a statement.
type scope struct {
	table           *store.Table
	database, alias string
	first           int // place of its first column among those of all tables of the statement
}

// from reads the one table of a FROM clause.
func (p *Plan) from(tables sqlparser.TableExprs, lookup Lookup, writes bool) (scope, Reason) {
	if len(tables) != 1 {
		return scope{}, Shape
	}
	s, reason := p.source(tables[0], lookup, writes)
	p.Table = s.table
	return s, reason
}

// source reads one table of a FROM clause.
func (p *Plan) source(table sqlparser.TableExpr, lookup Lookup, writes bool) (scope, Reason) {
	t, ok := table.(*sqlparser.AliasedTableExpr)
	if !ok || t.Hints != nil || t.AsOf != nil || len(t.Partitions) > 0 || t.Lateral {
		return scope{}, Shape
	}
	name, ok := t.Expr.(sqlparser.TableName)
	if !ok {
		return scope{}, Shape
	}
	return p.resolve(name, t.As.String(), lookup, writes)
}

func (p *Plan) resolve(name sqlparser.TableName, alias string, lookup Lookup, writes bool) (scope, Reason) {
	if !name.SchemaQualifier.IsEmpty() || name.Name.IsEmpty() {
		return scope{}, Shape
	}
	table, reason := lookup(name.DbQualifier.String(), name.Name.String(), writes)
	if reason != None {
		return scope{}, reason
	}
	for i := range table.Desc.Columns {
		c := &table.Desc.Columns[i]
		if c.Hidden || c.Virtual || len(c.Extra) > 0 {
			return scope{}, Column
		}
	}
	if alias == "" {
		alias = name.Name.String()
	}
	return scope{table: table, database: name.DbQualifier.String(), alias: alias}, None
}

// column is the position of a column that an expression names.
func (s scope) column(e sqlparser.Expr) (int, bool) {
	c, ok := e.(*sqlparser.ColName)
	if !ok || c.StoredProcVal != nil || !s.qualifies(c.Qualifier) {
		return 0, false
	}
	return s.named(c.Name)
}

func (s scope) named(name sqlparser.ColIdent) (int, bool) {
	for i := range s.table.Desc.Columns {
		if strings.EqualFold(s.table.Desc.Columns[i].Name, name.String()) {
			return i, true
		}
	}
	return 0, false
}

func (s scope) qualifies(q sqlparser.TableName) bool {
	switch {
	case q.IsEmpty():
		return true
	case !q.SchemaQualifier.IsEmpty():
		return false
	case !q.DbQualifier.IsEmpty() && q.DbQualifier.String() != s.database:
		return false
	}
	return q.Name.String() == s.alias
}

// placeholder is the number of the ? that an expression is, counted from 0.
func placeholder(e sqlparser.Expr) (int, bool) {
	v, ok := e.(*sqlparser.SQLVal)
	if !ok || v.Type != sqlparser.ValArg {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimPrefix(string(v.Val), ":v"))
	return n - 1, err == nil && n > 0
}

// one is the value of a ? that stands for one.
func (t *Text) one(placeholder int) (Value, bool) {
	if placeholder >= len(t.Spans) || t.Spans[placeholder].Len != 1 {
		return Value{}, false
	}
	return t.Values[t.Spans[placeholder].From], true
}
