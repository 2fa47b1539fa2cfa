package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/fit"
)

// loadPlan is a LOAD DATA that is about to run.
type loadPlan struct {
	load      *loadData
	statement *ownStatement
	table     *Table
	rows      *loadRows
	planned   gms.Node // nil: the rows are written without the planner
	flags     *gms.QueryFlags
}

// planLoad checks privileges and names, and finds out how the rows are to be written.
func (s *Session) planLoad(ctx *gms.Context, l *loadData) (*loadPlan, error) {
	database := l.table.DbQualifier.String()
	if database == "" {
		database = s.GetCurrentDatabase()
	}
	if err := s.refuseSystem(l.table); err != nil {
		return nil, err
	}
	st := &sqlparser.Load{
		Local: true, Table: l.table, SetExprs: l.set, IgnoreOrReplace: sqlparser.IgnoreStr,
		Auth: sqlparser.AuthInformation{
			AuthType: sqlparser.AuthType_INSERT, TargetType: sqlparser.AuthTargetType_SingleTableIdentifier,
			TargetNames: []string{l.table.DbQualifier.String(), l.table.Name.String()},
		},
	}
	if l.replace {
		st.IgnoreOrReplace, st.Auth.AuthType = sqlparser.ReplaceStr, sqlparser.AuthType_REPLACE
	}
	for _, e := range l.set {
		for _, t := range s.tablesOf(e.Expr) {
			if strings.EqualFold(t.database, database) && strings.EqualFold(t.name, l.table.Name.String()) {
				return nil, mysqlError(1093, "You can't specify target table '%s' for update in FROM clause", l.table.Name.String())
			}
		}
	}
	var table *Table
	if t, _, err := s.engine.gms.Analyzer.Catalog.Table(ctx, database, l.table.Name.String()); err == nil {
		table, _ = gms.GetUnderlyingTable(t).(*Table)
	}
	if table != nil {
		for _, c := range table.full {
			if c.Generated == nil {
				st.Columns = append(st.Columns, sqlparser.NewColIdent(c.Name))
			}
		}
	}
	if table == nil && s.catalog().Object(objectView, database, l.table.Name.String()) != nil {
		return nil, mysqlError(1288, "The target table %s of the LOAD is not updatable", l.table.Name.String())
	}
	bound, flags, err := planbuilder.New(ctx, s.engine.gms.Analyzer.Catalog, nil).BindOnly(st, ctx.Query(), &gms.QueryFlags{})
	if err != nil {
		return nil, err
	}
	flags.Set(gms.QFlagInsert) // which triggers go by
	insert, ok := bound.(*plan.InsertInto)
	if !ok || table == nil {
		return nil, mysqlError(1288, "The target table %s of the LOAD is not updatable", l.table.Name.String())
	}
	source, ok := insert.Source.(*plan.LoadData)
	if !ok {
		return nil, fmt.Errorf("the planner reads LOAD DATA as %T", insert.Source)
	}
	p := &loadPlan{load: l, statement: own(kindWrite, []sqlparser.TableName{l.table}, nil), table: table, flags: flags}
	p.rows = &loadRows{session: s, schema: source.DestSch, strict: l.replace && gms.LoadSqlMode(ctx).Strict(), mode: s.settingsNow().fit}
	for i := range table.stored.Desc.Columns {
		p.rows.types = append(p.rows.types, columnType(table.stored, i))
	}
	if p.rows.from, err = s.loadCharset(l.charset); err != nil {
		return nil, err
	}
	direct := len(l.set) == 0 && s.loadable(table)
	written, err := p.columns(ctx, &direct)
	if err != nil || direct {
		return p, err
	}
	return p, p.plan(ctx, s, insert, source, written)
}

// loadCharset is the character set of the file, nil if its bytes are taken as they are.
func (s *Session) loadCharset(name string) (*gms.CharacterSetID, error) {
	if name == "" {
		v, err := s.GetSessionVariable(nil, "character_set_database")
		if err != nil {
			return nil, err
		}
		name, _ = v.(string)
	}
	cs, err := gms.ParseCharacterSet(name)
	if err != nil {
		return nil, mysqlError(1115, "Unknown character set: '%s'", name)
	}
	switch cs {
	case gms.CharacterSet_utf8mb4, gms.CharacterSet_utf8mb3, gms.CharacterSet_binary, gms.CharacterSet_Unspecified:
		return nil, nil
	case gms.CharacterSet_utf16, gms.CharacterSet_utf16le, gms.CharacterSet_utf32, gms.CharacterSet_ucs2:
		return nil, notAvailable("LOAD DATA of files in " + name)
	}
	if cs.Encoder() == nil {
		return nil, notAvailable("CHARACTER SET " + name)
	}
	return &cs, nil
}

// columns finds the columns that fields go to, and what the others hold. It returns which
// ones are written, and clears direct where a default has to be computed for each row.
func (p *loadPlan) columns(ctx *gms.Context, direct *bool) ([]bool, error) {
	schema, l := p.rows.schema, p.load
	written := make([]bool, len(schema))
	targets := l.targets
	if targets == nil {
		for _, c := range schema {
			targets = append(targets, loadTarget{name: c.Name})
		}
	}
	for _, t := range targets {
		f := loadField{at: -1}
		if t.variable {
			f.variable = strings.ToLower(t.name)
		} else {
			at := schema.IndexOfColName(t.name)
			switch {
			case at < 0:
				return nil, mysqlError(1054, "Unknown column '%s' in 'field list'", t.name)
			case written[at]:
				return nil, mysqlError(1110, "Column '%s' specified twice", t.name)
			}
			f.at, written[at] = at, schema[at].Generated == nil
		}
		p.rows.fields = append(p.rows.fields, f)
	}
	for _, set := range l.set {
		at := schema.IndexOfColName(set.Name.Name.String())
		switch {
		case at < 0:
			return nil, mysqlError(1054, "Unknown column '%s' in 'field list'", set.Name.Name.String())
		case schema[at].Generated != nil:
			return nil, refusedGenerated(schema[at].Name, p.table.name)
		}
		written[at] = true
	}
	p.rows.base = make(gms.Row, len(schema))
	for i, c := range schema {
		if written[i] && p.rows.reads(i) || c.Generated != nil {
			continue
		}
		if err := p.omitted(ctx, i, written, direct); err != nil {
			return nil, err
		}
	}
	return written, nil
}

// omitted decides what a column holds that no field goes to.
func (p *loadPlan) omitted(ctx *gms.Context, at int, written []bool, direct *bool) error {
	c := p.rows.schema[at]
	switch {
	case c.Default == nil && !c.Nullable && !c.AutoIncrement:
		p.rows.base[at] = emptyValue(c.Type)
		if isEnum := types.IsEnum(c.Type); isEnum {
			p.rows.base[at], written[at] = uint16(1), true // the first member is its default
		} else if !written[at] {
			written[at] = true
			p.rows.session.Warn(&gms.Warning{Level: "Warning", Code: 1364, Message: fmt.Sprintf("Field '%s' doesn't have a default value", c.Name)})
		}
	case c.Default == nil:
	case c.Default.IsLiteral():
		v, err := c.Default.Eval(ctx, nil)
		if err == nil && v != nil {
			v, _, err = fit.Value(ctx, p.rows.types[at], v, nil, p.rows.mode)
		}
		if err != nil {
			return err
		}
		p.rows.base[at] = v
	default:
		*direct = false
	}
	return nil
}

// plan lets the planner insert the rows that the source gives.
func (p *loadPlan) plan(ctx *gms.Context, s *Session, insert *plan.InsertInto, source *plan.LoadData, written []bool) error {
	target, ok := insert.Destination.Children()[0].(plan.TableIdNode)
	if !ok {
		return fmt.Errorf("the planner writes LOAD DATA into %T", insert.Destination)
	}
	node := &loadNode{rows: p.rows}
	target.Columns().ForEach(func(id gms.ColumnId) {
		if i := len(node.columns); i < len(p.rows.schema) {
			c := p.rows.schema[i]
			node.columns = append(node.columns, expression.NewGetFieldWithTable(int(id), int(target.Id()), c.Type, p.table.db.name, p.table.name, c.Name, c.Nullable))
		}
	})
	if len(node.columns) != len(p.rows.schema) {
		return fmt.Errorf("the planner numbers %d columns of table %s, which has %d", len(node.columns), p.table.name, len(p.rows.schema))
	}
	var names []string
	var values []gms.Expression
	for i, c := range p.rows.schema {
		if !written[i] {
			continue
		}
		value := node.columns[i]
		if i < len(source.SetExprs) && source.SetExprs[i] != nil {
			value = source.SetExprs[i]
		}
		names, values = append(names, c.Name), append(values, value)
	}
	n := *insert
	n.ColumnNames = names
	n.Source = plan.NewProject(ctx, values, node)
	var err error
	p.planned, err = s.engine.gms.Analyzer.Analyze(ctx, &n, nil, p.flags)
	return err
}

// loadNode is the file as a source of rows in a plan.
type loadNode struct {
	rows    *loadRows
	columns []gms.Expression // by their numbers in the plan, which SET refers to
}

var (
	_ gms.ExecSourceRel = (*loadNode)(nil)
	_ gms.Projector     = (*loadNode)(nil)
)

func (n *loadNode) ProjectedExprs() []gms.Expression { return n.columns }

func (n *loadNode) Resolved() bool                                     { return true }
func (n *loadNode) String() string                                     { return "LOAD DATA" }
func (n *loadNode) Schema(*gms.Context) gms.Schema                     { return n.rows.schema }
func (n *loadNode) Children() []gms.Node                               { return nil }
func (n *loadNode) IsReadOnly() bool                                   { return true }
func (n *loadNode) RowIter(*gms.Context, gms.Row) (gms.RowIter, error) { return n.rows, nil }
func (n *loadNode) WithChildren(_ *gms.Context, c ...gms.Node) (gms.Node, error) {
	if len(c) != 0 {
		return nil, gms.ErrInvalidChildrenNumber.New(n, len(c), 0)
	}
	return n, nil
}
