package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// cardinality is how many different values the first n columns of an index have, nil where
// that was not gathered.
func (p *statistics) cardinality(x *Index, n int) any {
	s := p.of(x.index)
	if s == nil || s.Dropped || s.Given && n < len(s.Distinct) || n > len(s.Distinct) {
		return nil
	}
	return int64(s.Distinct[n-1])
}

// showIndexes is the answer of SHOW INDEX, nil for tables that are not stored.
func showIndexes(ctx *gms.Context, n *plan.ShowIndexes) (gms.RowIter, error) {
	node, ok := n.Child.(*plan.ResolvedTable)
	if !ok {
		return nil, nil
	}
	t := storedTable(node.Table)
	if t == nil {
		return nil, nil
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var rows []gms.Row
	for _, ix := range n.IndexesToShow {
		x, ok := ix.(*Index)
		if !ok {
			return nil, nil
		}
		unique := int32(1)
		if x.IsUnique() {
			unique = 0
		}
		for i, at := range x.columns {
			c := x.table.full[at]
			nullable := ""
			if c.Nullable {
				nullable = "YES"
			}
			rows = append(rows, gms.Row{
				x.table.name, unique, x.name, uint32(i + 1), c.Name, x.direction(i), s.engine.statistics.cardinality(x, i+1), x.part(i),
				nil, nullable, x.IndexType(), "", x.Comment(), "YES", nil,
			})
		}
	}
	return gms.RowsToRowIter(rows...), nil
}

// direction is A or D, nil for words.
func (x *Index) direction(i int) any {
	switch {
	case x.index.Desc.FullText:
		return nil
	case x.index.Desc.Columns[i].Desc:
		return "D"
	}
	return "A"
}

// part is how many characters of a column are indexed, nil for all.
func (x *Index) part(i int) any {
	if n := x.index.Desc.Columns[i].Prefix; n > 0 {
		return int64(n)
	}
	return nil
}

// someIndexes makes SHOW INDEX … WHERE a query: the planner forgets the condition.
func someIndexes(st sqlparser.Statement) sqlparser.Statement {
	show, ok := st.(*sqlparser.Show)
	if !ok || show.ShowIndexFilterOpt == nil || !strings.EqualFold(show.Type, sqlparser.IndexStr) {
		return st
	}
	database, table := show.Database, QuoteName(show.Table.Name.String())
	if database == "" {
		database = show.Table.DbQualifier.String()
	}
	schema := "DATABASE()"
	if database != "" {
		schema, table = QuoteText(database), QuoteName(database)+"."+table
	}
	// The last condition names the table, so that one that is not there is an error.
	query, err := sqlparser.Parse("SELECT * FROM (SELECT TABLE_NAME AS `Table`, NON_UNIQUE AS `Non_unique`, INDEX_NAME AS `Key_name`, SEQ_IN_INDEX AS `Seq_in_index`," +
		" COLUMN_NAME AS `Column_name`, COLLATION AS `Collation`, CARDINALITY AS `Cardinality`, SUB_PART AS `Sub_part`, PACKED AS `Packed`, NULLABLE AS `Null`," +
		" INDEX_TYPE AS `Index_type`, COMMENT AS `Comment`, INDEX_COMMENT AS `Index_comment`, IS_VISIBLE AS `Visible`, EXPRESSION AS `Expression`" +
		" FROM information_schema.statistics WHERE TABLE_SCHEMA = " + schema + " AND TABLE_NAME = " + QuoteText(show.Table.Name.String()) +
		" AND NOT EXISTS (SELECT 1 FROM " + table + " WHERE FALSE)) `indexes`")
	if err != nil {
		return st
	}
	query.(*sqlparser.Select).Where = sqlparser.NewWhere(sqlparser.WhereStr, show.ShowIndexFilterOpt)
	return query
}
