package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"

	"stack/roles/db/store"
)

// fitPlan is a rule for plans that are quite finished: the columns of an INSERT are put in
// their places last. Values that are written are made to fit their columns by sql_mode:
// the planner's types take some that they should not, and refuse those that should be cut.
func fitPlan(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		switch n := n.(type) {
		case *plan.InsertInto:
			if n.Source == nil {
				return n, transform.SameTree, nil
			}
			out, err := fitInsert(ctx, n)
			return out, transform.NewTree, err
		case *plan.Update:
			out, err := fitUpdate(ctx, n)
			return out, transform.NewTree, err
		case *plan.TriggerExecutor:
			out, err := behindTriggers(ctx, n)
			return out, transform.NewTree, err
		}
		return n, transform.SameTree, nil
	})
}

func fitInsert(ctx *gms.Context, n *plan.InsertInto) (gms.Node, error) {
	schema := n.Destination.Schema(ctx)
	values, fires := sourceOf(n.Source)
	single := values != nil && len(values.ExpressionTuples) == 1
	f, err := newFitting(ctx, n.Ignore, single)
	if err != nil {
		return nil, err
	}
	table := targetOf(n.Destination)
	f.reads(nameOf(n.Destination), table, schema)
	p := &insertFitter{f: f, table: table, schema: schema, update: n.OnDupExprs.HasUpdates(), nulls: fires}
	source, err := p.source(ctx, n.Source)
	if err != nil {
		return nil, err
	}
	if fires || p.computed {
		rows := &fittedRows{plan.UnaryNode{Child: source}, f, schema, p.missing, nil}
		if fires {
			if rows.generated, err = generatedOf(ctx, schema, p.generated); err != nil {
				return nil, err
			}
		}
		source = rows
	}
	out, _, err := transform.OneNodeExpressions(ctx, n.WithSource(source), func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
		return f.set(ctx, e, false)
	})
	return out, err
}

// sourceOf finds the rows that an INSERT names, and whether a trigger runs before it.
func sourceOf(n gms.Node) (values *plan.Values, fires bool) {
	for {
		switch v := n.(type) {
		case *plan.Values:
			return v, fires
		case *plan.TriggerExecutor:
			fires = true
			n = v.Left()
			continue
		}
		children := n.Children()
		if len(children) != 1 {
			return nil, fires
		}
		n = children[0]
	}
}

// insertFitter goes down to the projection to the columns of the table.
type insertFitter struct {
	f        *fitting
	table    *store.Table // nil if it is none of the store
	schema   gms.Schema
	update   bool            // ON DUPLICATE KEY UPDATE
	nulls    bool            // a trigger may replace a NULL
	computed bool            // a column is computed from others
	missing  []*omittedValue // of columns that a trigger may give a value, by position

	generated map[int]gms.Expression // what generated columns are computed by, by position
}

func (p *insertFitter) source(ctx *gms.Context, n gms.Node) (gms.Node, error) {
	if project, ok := n.(*plan.Project); ok {
		if len(project.Projections) != len(p.schema) {
			return n, nil
		}
		return p.project(ctx, project)
	}
	children := n.Children()
	if len(children) == 0 {
		return n, nil
	}
	first, err := p.source(ctx, children[0])
	if err != nil {
		return nil, err
	}
	children = append([]gms.Node{first}, children[1:]...)
	if trigger, ok := n.(*plan.TriggerExecutor); ok {
		if children[1], err = assignments(ctx, trigger, p.table, p.schema); err != nil {
			return nil, err
		}
	}
	return n.WithChildren(ctx, children...)
}

func (p *insertFitter) project(ctx *gms.Context, project *plan.Project) (gms.Node, error) {
	from := p.sources(ctx, project.Child)
	exprs := make([]gms.Expression, len(p.schema))
	begun := false
	p.missing = make([]*omittedValue, len(p.schema))
	p.generated = map[int]gms.Expression{}
	for i, e := range project.Projections {
		column := p.schema[i]
		exprs[i] = e
		if column.Generated != nil {
			p.generated[i] = e
			if _, ok := e.(*expression.GetField); ok { // of the DEFAULT of VALUES
				generated, _, err := transform.Expr(ctx, column.Generated, collateExpression)
				if err != nil {
					return nil, err
				}
				p.generated[i] = generated
			}
		}
		switch e := e.(type) {
		case *expression.GetField:
			exprs[i] = &fittedValue{expression.UnaryExpressionStub{Child: e}, p.f, column, from(e.Index()), !begun, p.nulls}
			begun = true
		case *expression.AutoIncrement:
			given, ok := e.Child.(*expression.GetField)
			if !ok {
				continue
			}
			value := &fittedValue{expression.UnaryExpressionStub{Child: given}, p.f, column, from(given.Index()), !begun, true}
			begun = true
			var err error
			if exprs[i], err = e.WithChildren(ctx, value); err != nil {
				return nil, err
			}
		default:
			d, _ := e.(*gms.ColumnDefaultValue)
			switch {
			case e == nil || d == nil && isDefault(e):
				if column.Nullable || column.AutoIncrement {
					continue
				}
				missing := &omittedValue{p.f, column, !begun && !p.nulls, p.update}
				if p.nulls {
					p.missing[i] = missing
					continue
				}
				exprs[i], begun = missing, true
			case d == nil || !d.IsLiteral():
				p.computed = true
			default:
				_, narrow := p.f.narrow[column]
				p.computed = p.computed || narrow
			}
		}
	}
	return plan.NewProject(ctx, exprs, project.Child), nil
}

// sources says for each column of an INSERT's source where its value comes from: each row
// of VALUES has its own expressions.
func (p *insertFitter) sources(ctx *gms.Context, source gms.Node) func(column int) func() gms.Expression {
	if values, ok := source.(*plan.Values); ok {
		return func(column int) func() gms.Expression {
			return func() gms.Expression {
				at := int(p.f.row) - 1
				if at < 0 || at >= len(values.ExpressionTuples) || column >= len(values.ExpressionTuples[at]) {
					return nil
				}
				return values.ExpressionTuples[at][column]
			}
		}
	}
	schema := source.Schema(ctx)
	return func(column int) func() gms.Expression {
		if column >= len(schema) {
			return func() gms.Expression { return nil }
		}
		of := expression.NewGetField(column, schema[column].Type, schema[column].Name, schema[column].Nullable)
		return func() gms.Expression { return of }
	}
}

// targetOf is the stored table that an INSERT writes to, nil if it is another one.
func targetOf(n gms.Node) *store.Table {
	var found *store.Table
	transform.Inspect(n, func(n gms.Node) bool {
		if t := readTable(n); t != nil && found == nil {
			found = t.stored
		}
		return found == nil
	})
	return found
}

// nameOf is the name of a table in a statement.
func nameOf(n gms.Node) string {
	for n != nil {
		if named, ok := n.(gms.Nameable); ok {
			return named.Name()
		}
		children := n.Children()
		if len(children) != 1 {
			break
		}
		n = children[0]
	}
	return ""
}

func fitUpdate(ctx *gms.Context, n *plan.Update) (gms.Node, error) {
	if hasJoinRows(n.Child) {
		return n, nil // in the body of a trigger, which has a plan of its own
	}
	f, err := newFitting(ctx, n.Ignore, false)
	if err != nil {
		return nil, err
	}
	transform.InspectWithOpaque(ctx, n.Child, func(ctx *gms.Context, n gms.Node) bool {
		name := nameOf(n)
		if alias, ok := n.(*plan.TableAlias); ok {
			n = alias.Child
		}
		if t := readTable(n); t != nil {
			if _, is := f.tables[strings.ToLower(name)]; !is {
				f.reads(name, t.stored, nil)
			}
		}
		return true
	})
	_, fires := n.Child.(*plan.TriggerExecutor)
	join, outer := joins(ctx, n.Child)
	child, err := f.updates(ctx, n.Child, fires || outer)
	if err != nil {
		return nil, err
	}
	if fires && !join {
		table, err := plan.GetUpdatable(n.Child)
		if err != nil {
			return nil, err
		}
		schema := table.Schema(ctx)
		if t := storedTable(table); t != nil {
			f.reads(t.name, t.stored, schema)
		}
		generated, err := generatedOf(ctx, schema, updated(n.Child, schema))
		if err != nil {
			return nil, err
		}
		child = &fittedRows{plan.UnaryNode{Child: child}, f, schema, nil, generated}
	}
	if join := joinOf(n.Child); join != nil && haveTriggers(ctx, schemaOfJoin(ctx, join)) {
		return fitJoin(ctx, n, f, child, join)
	}
	return n.WithChildren(ctx, child)
}

// updated are the values that an UPDATE gives the columns of its table, by their places.
func updated(n gms.Node, schema gms.Schema) map[int]gms.Expression {
	values := map[int]gms.Expression{}
	transform.Inspect(n, func(n gms.Node) bool {
		source, ok := n.(*plan.UpdateSource)
		if !ok {
			return true
		}
		for _, e := range source.UpdateExprs.AllExpressions() {
			if set, ok := e.(*expression.SetField); ok {
				if field, ok := set.LeftChild.(*expression.GetField); ok {
					values[schema.IndexOfColName(field.Name())] = set.RightChild
				}
			}
		}
		return false
	})
	return values
}

// joins says whether an UPDATE changes a join, and whether some of the join's rows may not
// be there: what is assigned to them goes nowhere.
func joins(ctx *gms.Context, n gms.Node) (join, outer bool) {
	transform.Inspect(n, func(n gms.Node) bool {
		switch n := n.(type) {
		case *plan.UpdateJoin:
			join = true
		case *plan.JoinNode:
			outer = outer || n.JoinType().IsOuter()
		}
		return true
	})
	return join, join && outer
}

// updates looks down the first children for the source of the new values.
func (f *fitting) updates(ctx *gms.Context, n gms.Node, fires bool) (gms.Node, error) {
	if source, ok := n.(*plan.UpdateSource); ok {
		begun := false
		out, _, err := transform.OneNodeExpressions(ctx, source, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			e, same, err := f.set(ctx, e, fires)
			if set, ok := e.(*expression.SetField); ok {
				if value, ok := set.RightChild.(*fittedValue); ok && !begun {
					value.first, begun = true, true
				}
			}
			return e, same, err
		})
		return out, err
	}
	children := n.Children()
	if len(children) == 0 {
		return n, nil
	}
	first, err := f.updates(ctx, children[0], fires)
	if err != nil {
		return nil, err
	}
	children = append([]gms.Node{first}, children[1:]...)
	if trigger, ok := n.(*plan.TriggerExecutor); ok {
		table, err := plan.GetUpdatable(n)
		if err != nil {
			return nil, err
		}
		var stored *store.Table
		if t := storedTable(table); t != nil {
			stored = t.stored
		}
		if children[1], err = assignments(ctx, trigger, stored, table.Schema(ctx)); err != nil {
			return nil, err
		}
	}
	return n.WithChildren(ctx, children...)
}

// assignments makes what a trigger of a table with this schema assigns fit:
// SET NEW.column = value.
func assignments(ctx *gms.Context, trigger *plan.TriggerExecutor, table *store.Table, schema gms.Schema) (gms.Node, error) {
	f, err := inTrigger(ctx, schema[0].DatabaseSource, trigger.TriggerDefinition.Name)
	if err != nil {
		return nil, err
	}
	f.reads("new", table, nil)
	out, _, err := transform.NodeWithOpaque(ctx, trigger.Right(), func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		if _, ok := n.(*plan.Set); !ok {
			return n, transform.SameTree, nil
		}
		return transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			if set, ok := e.(*expression.SetField); ok {
				if column, ok := set.LeftChild.(*expression.GetField); ok && strings.EqualFold(column.Table(), "new") {
					return f.set(ctx, e, true)
				}
			}
			return e, transform.SameTree, nil
		})
	})
	return out, err
}

// set makes the value of column = value fit; nulls says that NULL is looked at later.
func (f *fitting) set(ctx *gms.Context, e gms.Expression, nulls bool) (gms.Expression, transform.TreeIdentity, error) {
	set, ok := e.(*expression.SetField)
	if !ok {
		return e, transform.SameTree, nil
	}
	field, ok := set.LeftChild.(*expression.GetField)
	if !ok {
		return e, transform.SameTree, nil
	}
	if d, ok := set.RightChild.(*gms.ColumnDefaultValue); ok && d != nil {
		return e, transform.SameTree, nil
	}
	column := &gms.Column{Name: field.Name(), Source: field.Table(), Type: field.Type(ctx), Nullable: field.IsNullable(ctx)}
	f.assigned(field.Table(), column)
	value := &fittedValue{expression.UnaryExpressionStub{Child: set.RightChild}, f, column, nil, false, nulls}
	return expression.NewSetField(fittedColumn(ctx, field), value), transform.NewTree, nil
}

// fittedColumn is the column of an assignment whose value fits already: SetField converts it once more, and would count the
// bytes of UTF-8 where a byte is a character.
func fittedColumn(ctx *gms.Context, field *expression.GetField) gms.Expression {
	t := field.Type(ctx)
	if !oneByte(t) {
		return field
	}
	return expression.NewGetFieldWithTable(field.Index(), int(field.TableId()), anyLength(t), field.Database(), field.Table(), field.Name(), field.IsNullable(ctx)).WithId(field.Id())
}
