package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// The planner keeps a FULLTEXT index in five tables beside the indexed one. Here it is
// an index like others, whose entries are words; so the planner is not to know, while it
// runs a statement that changes tables, that an index is one.

// fullTextIndexes marks the definition of a FULLTEXT index for CreateIndex, in place of
// the constraint that the planner would make tables for.
const fullTextIndexes = gms.IndexUsing(0x66)

// ownFullText marks the FULLTEXT indexes that a node creates. The planner has checked them
// as such.
func ownFullText(n gms.Node) {
	switch n := n.(type) {
	case *plan.CreateTable:
		for _, def := range n.Indexes() {
			if def.IsFullText() {
				def.Constraint, def.Storage = gms.IndexConstraint_None, fullTextIndexes
			}
		}
	case *plan.AlterIndex:
		if n.Constraint == gms.IndexConstraint_Fulltext {
			n.Constraint, n.Using = gms.IndexConstraint_None, fullTextIndexes
		}
	}
}

// likeIndexes is a rule for CREATE TABLE … LIKE: the planner copies of an index only its
// columns' names and whether it is unique.
func likeIndexes(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	create, ok := n.(*plan.CreateTable)
	if !ok {
		return n, transform.SameTree, nil
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, transform.SameTree, err
	}
	ddl, ok := s.runningStatement().(*sqlparser.DDL)
	if !ok || ddl.OptLike == nil {
		return n, transform.SameTree, nil
	}
	for _, name := range ddl.OptLike.LikeTables {
		t, err := s.storedNamed(ctx, name)
		if err != nil || t == nil {
			return n, transform.SameTree, err
		}
		for _, def := range create.Indexes() {
			copyIndex(def, t)
		}
	}
	return n, transform.SameTree, nil
}

// copyIndex makes the definition of an index what the index of this name in t is.
func copyIndex(def *gms.IndexDef, t *store.Table) {
	ix := t.Index(def.Name)
	if ix == nil || len(ix.Desc.Columns) != len(def.Columns) {
		return
	}
	if ix.Desc.FullText {
		def.Constraint = gms.IndexConstraint_Fulltext
	}
	for i := range def.Columns {
		def.Columns[i].Length = int64(ix.Desc.Columns[i].Prefix)
	}
}

// runningStatement is the statement that runs; that of EXECUTE is the one it names.
func (s *Session) runningStatement() sqlparser.Statement {
	if ex, ok := s.running.st.(*sqlparser.Execute); ok {
		st, _ := s.BaseSession.GetPreparedQuery(ex.Name)
		return st
	}
	return s.running.st
}

// storedNamed is the stored or temporary table of a name, nil if there is none.
func (s *Session) storedNamed(ctx *gms.Context, name sqlparser.TableName) (*store.Table, error) {
	d, err := s.databaseOf(name)
	if err != nil {
		return nil, err
	}
	t, _, err := (&Database{engine: s.engine, name: d.Name, desc: *d}).GetTableInsensitive(ctx, name.Name.String())
	if err != nil || t == nil {
		return nil, err
	}
	if st := storedTable(t); st != nil {
		return st.stored, nil
	}
	return nil, nil
}

// fullTextColumns refuses columns that a FULLTEXT index cannot have.
func fullTextColumns(desc *store.TableDesc, columns []store.IndexColumnDesc) error {
	collation := gms.Collation_Unspecified
	seen := map[uint16]bool{}
	for _, c := range columns {
		cd, _ := desc.Column(c.Column)
		if seen[c.Column] {
			return gms.ErrDuplicateColumn.New(cd.Name)
		}
		seen[c.Column] = true
		typ, err := cd.Type.SQL()
		if err != nil {
			return err
		}
		text, ok := typ.(gms.StringType)
		if !ok || !types.IsTextOnly(typ) || text.Collation() == gms.Collation_binary {
			return gms.ErrFullTextInvalidColumnType.New()
		}
		if collation != gms.Collation_Unspecified && collation != text.Collation() {
			return gms.ErrFullTextDifferentCollations.New()
		}
		collation = text.Collation()
	}
	return nil
}

// checkFullText does it for all FULLTEXT indexes of a changed table.
func checkFullText(desc *store.TableDesc) error {
	for i := range desc.Indexes {
		if ix := &desc.Indexes[i]; ix.FullText {
			if err := fullTextColumns(desc, ix.Columns); err != nil {
				return err
			}
		}
	}
	return nil
}
