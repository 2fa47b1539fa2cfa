package sql

import (
	"cmp"
	"fmt"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// createSelect is CREATE TABLE … SELECT: the table is made, and the SELECT's rows are those of an INSERT by
// the names of its columns. The planner's own way gives them to the table's columns in their order, and asks no
// CHECK, foreign key, generated column or counter.
func (b distinctBuilder) createSelect(ctx *gms.Context, n *plan.TableCopier, row gms.Row) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	create, isCreate := n.Destination.(*plan.CreateTable)
	ddl, isDDL := s.runningStatement().(*sqlparser.DDL)
	if !isCreate || !isDDL || ddl.OptSelect == nil {
		return nil, fmt.Errorf("CREATE TABLE … SELECT: the planner made %T of %T", n.Destination, s.runningStatement())
	}
	rows, ok := ddl.OptSelect.Select.(sqlparser.InsertRows)
	if !ok {
		return nil, notAvailable("CREATE TABLE … AS VALUES")
	}
	database := unwrap(n.Database()).Name()
	if create.IfNotExists() && s.hasTable(database, create) {
		s.Warn(&gms.Warning{Level: "Note", Code: 1050, Message: tableExists(create.Name(), "")})
		return gms.RowsToRowIter(gms.NewRow(types.NewOkResult(0))), nil
	}
	columns := n.Source.Schema(ctx)
	placeSelected(create, columns)
	if _, err := b.base.Build(ctx, create, row); err != nil {
		return nil, err
	}
	name := create.Name()
	if create.Temporary() && findTable(s.catalog(), database, name) != nil {
		// The SELECT may read the stored table that the new one hides.
		defer s.setAside(database, name)()
		name = asideName
	}
	insert := &sqlparser.Insert{
		Action: sqlparser.InsertStr,
		Table:  sqlparser.TableName{DbQualifier: sqlparser.NewTableIdent(database), Name: sqlparser.NewTableIdent(name)},
		Rows:   rows,
		// authorizeSelected has asked.
		Auth: sqlparser.AuthInformation{AuthType: sqlparser.AuthType_IGNORE, TargetType: sqlparser.AuthTargetType_Ignore},
	}
	for _, c := range columns {
		insert.Columns = append(insert.Columns, sqlparser.NewColIdent(c.Name))
	}
	s.ids = s.idsOf(insert)
	inserted := &inserted{}
	if err := s.boundPart(ctx, insert, inserted); err != nil {
		return nil, err
	}
	return gms.RowsToRowIter(gms.NewRow(types.OkResult{RowsAffected: inserted.rows, InsertID: inserted.id})), nil
}

// keepsTableOptions is resolve, which makes the CREATE TABLE of a CREATE TABLE … SELECT, with the options that are
// written: COMMENT and AUTO_INCREMENT.
func keepsTableOptions(resolve analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		made, same, err := resolve(ctx, a, n, scope, sel, flags)
		if copier, ok := made.(*plan.TableCopier); ok && err == nil {
			copier.Destination.(*plan.CreateTable).TableOpts = n.(*plan.CreateTable).TableOpts
		}
		return made, same, err
	}
}

// placeSelected puts the columns of a CREATE TABLE that the SELECT gives last, in its order. The planner has those
// before that the statement also declares.
func placeSelected(create *plan.CreateTable, selected gms.Schema) {
	schema := create.PkSchema()
	place := func(c *gms.Column) int {
		return slices.IndexFunc(selected, func(s *gms.Column) bool { return s.Name == c.Name })
	}
	was := slices.Clone(schema.Schema)
	slices.SortStableFunc(schema.Schema, func(a, b *gms.Column) int { return cmp.Compare(place(a), place(b)) })
	for i, at := range schema.PkOrdinals {
		schema.PkOrdinals[i] = slices.Index(schema.Schema, was[at])
	}
}

// hasTable says whether what a CREATE TABLE makes is there.
func (s *Session) hasTable(database string, create *plan.CreateTable) bool {
	if create.Temporary() {
		return s.temporaryTable(database, create.Name()) != nil
	}
	return s.catalog().Table(database, create.Name()) != nil || s.catalog().Object(objectView, database, create.Name()) != nil
}

// inserted is what an INSERT answers.
type inserted struct {
	discard
	rows, id uint64
}

func (i *inserted) OK(affected, id uint64, _ string) { i.rows, i.id = affected, id }

// asideName is a name that no client can give a table.
const asideName = "#aside"

// setAside calls a temporary table by asideName until the returned function is called.
func (s *Session) setAside(database, name string) (back func()) {
	key, aside := temporaryKey(database, name), temporaryKey(database, asideName)
	t := s.temporary[key]
	delete(s.temporary, key)
	s.temporary[aside] = &temporaryTable{database: t.database, name: asideName, stored: t.stored}
	return func() {
		delete(s.temporary, aside)
		s.temporary[key] = t
	}
}

// boundPart runs a statement made of a part of the running one, with the values of its placeholders.
func (s *Session) boundPart(ctx *gms.Context, st sqlparser.Statement, out sink) error {
	if _, err := s.classify(st); err != nil {
		return err
	}
	hold, prepared := s.hold, s.prepared
	s.hold = true
	defer func() { s.hold, s.prepared = hold, prepared }()
	inner := s.context(ctx, ctx.Query())
	inner.SetQueryTime(ctx.QueryTime())
	if execute, ok := s.running.st.(*sqlparser.Execute); ok {
		whole, _ := s.BaseSession.GetPreparedQuery(execute.Name)
		s.BaseSession.PrepareQuery(execute.Name, st)
		defer s.BaseSession.PrepareQuery(execute.Name, whole)
		return s.stream(inner, ctx.Query(), execute, nil, out)
	}
	if prepared != nil {
		s.prepared = st
	}
	return s.stream(inner, ctx.Query(), st, s.running.bindings, out)
}

// authorizeSelected checks CREATE TABLE … SELECT, of which the planner asks for CREATE and SELECT alone.
func (s *Session) authorizeSelected(ctx *gms.Context, st *sqlparser.DDL) error {
	if st.OptSelect == nil || st.Temporary {
		return nil
	}
	return s.engine.gms.Analyzer.Catalog.AuthorizationHandler().HandleAuth(ctx, nil, sqlparser.AuthInformation{
		AuthType:    sqlparser.AuthType_INSERT,
		TargetType:  sqlparser.AuthTargetType_SingleTableIdentifier,
		TargetNames: []string{st.Table.DbQualifier.String(), st.Table.Name.String()},
	})
}
