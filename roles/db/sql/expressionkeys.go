package sql

import (
	"fmt"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// An index over an expression is one over a column that holds it, generated, STORED and
// hidden, which the planner makes and calls by the index and the place in it.

// expressionKeys takes over CREATE TABLE with indexes over expressions: the planner knows
// them only for a table that is there. The table is made without them, then they are.
func expressionKeys(st sqlparser.Statement) *ownStatement {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.Action != sqlparser.CreateStr || ddl.TableSpec == nil || ddl.Temporary || ddl.OptSelect != nil || ddl.OptLike != nil {
		return nil
	}
	var plain, keys []*sqlparser.IndexDefinition
	for _, x := range ddl.TableSpec.Indexes {
		if overExpression(x.Fields) {
			keys = append(keys, x)
		} else {
			plain = append(plain, x)
		}
	}
	if keys == nil {
		return nil
	}
	return own(kindDDL, []sqlparser.TableName{ddl.Table}, func(ctx *gms.Context, s *Session, out sink) error {
		spec, create := *ddl.TableSpec, *ddl
		spec.Indexes, create.TableSpec = plain, &spec
		d, err := s.databaseOf(ddl.Table)
		if err != nil {
			return err
		}
		there := findTable(s.catalog(), d.Name, ddl.Table.Name.String()) != nil
		if err := s.part(ctx, &create); err != nil {
			return err
		}
		for _, x := range keys {
			if there {
				break // IF NOT EXISTS
			}
			alter, err := addKey(ddl.Table, x)
			if err != nil {
				return err
			}
			if err := s.part(ctx, alter); err != nil {
				return err
			}
		}
		out.OK(0, 0, "")
		return nil
	})
}

func overExpression(fields []*sqlparser.IndexField) bool {
	for _, f := range fields {
		if f.Expression != nil {
			return true
		}
	}
	return false
}

// part runs a statement as a part of the running one, of whose kind it is.
func (s *Session) part(ctx *gms.Context, st sqlparser.Statement) error {
	if _, err := s.classify(st); err != nil {
		return err
	}
	hold := s.hold
	s.hold = true
	defer func() { s.hold = hold }()
	inner := s.context(ctx, ctx.Query())
	inner.SetQueryTime(ctx.QueryTime())
	return s.stream(inner, ctx.Query(), st, nil, discard{})
}

// addKey is ALTER TABLE … ADD with an index of a CREATE TABLE, for whose privilege nobody is
// asked: that of CREATE TABLE is enough.
func addKey(table sqlparser.TableName, x *sqlparser.IndexDefinition) (sqlparser.Statement, error) {
	st, err := sqlparser.Parse("ALTER TABLE t ADD INDEX x (c)")
	if err != nil {
		return nil, err
	}
	alter, ok := st.(*sqlparser.AlterTable)
	if !ok || len(alter.Statements) != 1 || alter.Statements[0].IndexSpec == nil {
		return nil, fmt.Errorf("the parser made %T of ALTER TABLE … ADD INDEX", st)
	}
	alter.Table, alter.Auth.AuthType = table, sqlparser.AuthType_IGNORE
	add := alter.Statements[0]
	add.Table, add.Auth.AuthType = table, sqlparser.AuthType_IGNORE
	add.IndexSpec.ToName, add.IndexSpec.Fields, add.IndexSpec.Options = x.Info.Name, x.Fields, x.Options
	switch {
	case x.Info.Primary:
		add.IndexSpec.Type = sqlparser.PrimaryStr
	case x.Info.Unique:
		add.IndexSpec.Type = sqlparser.UniqueStr
	case x.Info.Fulltext:
		add.IndexSpec.Type = sqlparser.FulltextStr
	case x.Info.Spatial:
		add.IndexSpec.Type = sqlparser.SpatialStr
	case x.Info.Vector:
		add.IndexSpec.Type = sqlparser.VectorStr
	}
	return alter, nil
}

// checkExpressionKey refuses what cannot be an index over an expression.
func checkExpressionKey(kind string, fields []*sqlparser.IndexField) error {
	for _, f := range fields {
		if f.Expression == nil {
			continue
		}
		switch strings.ToLower(kind) {
		case sqlparser.PrimaryStr:
			return mysqlError(3756, "The primary key cannot be a functional index")
		case sqlparser.FulltextStr:
			return mysqlError(3760, "Fulltext functional index is not supported.")
		}
		for {
			in, ok := f.Expression.(*sqlparser.ParenExpr)
			if !ok {
				break
			}
			f.Expression = in.Expr // SHOW CREATE TABLE puts brackets around
		}
		if _, ok := f.Expression.(*sqlparser.ColName); ok {
			return mysqlError(3762, "Functional index on a column is not supported. Consider using a regular index instead.")
		}
		if what := unrepeatable(f.Expression); what != "" {
			return mysqlError(3758, "Expression of functional index contains a disallowed function: %s.", what)
		}
	}
	return nil
}

// changing are functions whose values do not follow from the row alone.
var changing = map[string]bool{
	"rand": true, "uuid": true, "uuid_short": true, "now": true, "sysdate": true, "curdate": true, "curtime": true, "current_timestamp": true, "current_date": true,
	"current_time": true, "localtime": true, "localtimestamp": true, "utc_date": true, "utc_time": true, "utc_timestamp": true, "unix_timestamp": true, "connection_id": true,
	"user": true, "current_user": true, "session_user": true, "system_user": true, "database": true, "schema": true, "version": true, "last_insert_id": true, "row_count": true,
	"found_rows": true, "sleep": true, "benchmark": true, "get_lock": true, "release_lock": true, "is_free_lock": true, "is_used_lock": true, "release_all_locks": true,
	"random_bytes": true, "current_role": true, "load_file": true,
}

// unrepeatable names what in an expression depends on more than the row, empty if nothing does.
func unrepeatable(e sqlparser.Expr) (what string) {
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case *sqlparser.FuncExpr:
			if name := n.Name.Lowered(); changing[name] && (name != "unix_timestamp" || len(n.Exprs) == 0) {
				what = n.Name.Lowered()
			}
		case *sqlparser.Subquery:
			what = "a subquery"
		case *sqlparser.ColName:
			if strings.HasPrefix(n.Name.String(), "@") {
				what = n.Name.String()
			}
		}
		return what == "", nil
	}, e)
	return what
}

// nameExpressionKeys gives names to the indexes over expressions that have none, since
// their columns are called by them.
func (s *Session) nameExpressionKeys(table sqlparser.TableName, list ...*sqlparser.DDL) {
	taken := map[string]bool{}
	known := false
	for _, d := range list {
		x := d.IndexSpec
		if x == nil || x.Action != sqlparser.CreateStr || !overExpression(x.Fields) || !x.ToName.IsEmpty() || strings.EqualFold(x.Type, sqlparser.PrimaryStr) {
			continue
		}
		if !known {
			known = true
			if db, err := s.databaseOf(table); err == nil {
				if t := findTable(s.catalog(), db.Name, table.Name.String()); t != nil {
					for _, ix := range t.Desc.Indexes {
						taken[strings.ToLower(ix.Name)] = true
					}
				}
			}
		}
		name := "functional_index"
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("functional_index_%d", n)
		}
		taken[name] = true
		x.ToName = sqlparser.NewColIdent(name)
	}
}

// refuseZonedKeys refuses indexes over expressions with TIMESTAMPs: they are stored as the time
// zone of the session that writes shows them, and others would look for something else.
func (s *Session) refuseZonedKeys(table sqlparser.TableName, list []*sqlparser.DDL) error {
	var stored *store.Table
	zoned := ""
	for _, d := range list {
		if d.IndexSpec == nil || d.IndexSpec.Action != sqlparser.CreateStr || !overExpression(d.IndexSpec.Fields) {
			continue
		}
		if stored == nil {
			db, err := s.databaseOf(table)
			if err != nil {
				return err
			}
			if stored = findTable(s.catalog(), db.Name, table.Name.String()); stored == nil {
				return nil // the planner says so
			}
		}
		for _, f := range d.IndexSpec.Fields {
			if f.Expression == nil {
				continue
			}
			_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
				if c, ok := n.(*sqlparser.ColName); ok && slices.Contains(stored.Timestamps, columnNamed(stored.Desc, c.Name.String())) {
					zoned = c.Name.String()
				}
				return zoned == "", nil
			}, f.Expression)
			if zoned != "" {
				return refusedZonedKey(zoned)
			}
		}
	}
	return nil
}

func refusedZonedKey(column string) error {
	return notAvailable("an index over an expression with the TIMESTAMP " + column + ", whose value depends on time_zone; a DATETIME has none")
}

// refuseZoned refuses a change of a table that makes a TIMESTAMP of what an index over an
// expression names.
func refuseZoned(from, to *store.Table) error {
	zoned, err := zonedKey(to)
	if err != nil || zoned == "" {
		return err
	}
	if before, err := zonedKey(from); err != nil || before != "" {
		return err // it was one before: other changes are let through
	}
	return refusedZonedKey(zoned)
}

// zonedKey is a TIMESTAMP that an index over an expression of a table names, empty if there
// is none.
func zonedKey(t *store.Table) (zoned string, err error) {
	if len(t.Timestamps) == 0 {
		return "", nil
	}
	for i := range t.Desc.Columns {
		c := &t.Desc.Columns[i]
		if string(c.Extra) != hiddenSystem || c.Generated == nil {
			continue
		}
		st, err := parseText("SELECT "+c.Generated.Text, sqlparser.ParserOptions{})
		if err != nil {
			return "", fmt.Errorf("the expression of column %s: %w", c.Name, err)
		}
		_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
			if c, ok := n.(*sqlparser.ColName); ok && slices.Contains(t.Timestamps, columnNamed(t.Desc, c.Name.String())) {
				zoned = c.Name.String()
			}
			return zoned == "", nil
		}, st)
		if zoned != "" {
			break
		}
	}
	return zoned, nil
}

// haveExpressionKeys says whether one of the tables has an index over an expression.
func (s *Session) haveExpressionKeys(names []sqlparser.TableName) bool {
	for _, name := range names {
		d, err := s.databaseOf(name)
		if err != nil {
			continue
		}
		t := findTable(s.catalog(), d.Name, name.Name.String())
		if t == nil {
			continue
		}
		for i := range t.Desc.Columns {
			if string(t.Desc.Columns[i].Extra) == hiddenSystem {
				return true
			}
		}
	}
	return false
}

// renameExpressionColumns has the columns behind an index follow its name.
func renameExpressionColumns(desc *store.TableDesc, from, to string) {
	for i := range desc.Columns {
		c := &desc.Columns[i]
		if string(c.Extra) == hiddenSystem && gms.IsHiddenSystemColumnForIndex(c.Name, from) {
			rest := c.Name[len(gms.HiddenSystemColumnPrefix)+len(from):]
			c.Name = gms.HiddenSystemColumnPrefix + strings.ToLower(to) + rest
		}
	}
}

// besideHiddenColumns lets INSERT … SELECT … ON DUPLICATE KEY UPDATE pass check, which refuses
// hidden columns where a statement names them: here the planner itself adds those that follow
// from the others. Those of the statement are looked at when the plan is made.
func besideHiddenColumns(check analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		without, _, err := transform.Node(ctx, n, func(_ *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
			insert, ok := n.(*plan.InsertInto)
			if !ok || insert.OnDupExprs.Length() == 0 {
				return n, transform.SameTree, nil
			}
			out := *insert
			said := insert.OnDupExprs.ExplicitUpdateExprs()
			out.OnDupExprs = plan.NewUpdateExprs(said, len(said))
			return &out, transform.NewTree, nil
		})
		if err == nil {
			_, _, err = check(ctx, a, without, scope, sel, flags)
		}
		return n, transform.SameTree, err
	}
}
