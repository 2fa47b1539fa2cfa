package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// hideConstantKeys keeps the planner from looking up the rows of a LEFT JOIN's table by a constant
// alone, where an index has the column that is compared with the other side. It rates all
// indexes alike, and may read every row of a constant again for each row of the other side:
//
//	posts LEFT JOIN postmeta ON postmeta.post_id = posts.ID AND postmeta.meta_key = 'price'
//
// parts are the conditions of the join, and are replaced; false: none is.
func hideConstantKeys(ctx *gms.Context, right gms.Node, parts []gms.Expression) bool {
	indexes := indexesOf(ctx, right)
	joined := map[string]bool{} // columns that are compared with the other side and begin an index
	for _, part := range parts {
		if column, constant := keyColumn(ctx, right, part); column != "" && !constant && begins(indexes, column) {
			joined[column] = true
		}
	}
	if len(joined) == 0 {
		return false
	}
	changed := false
	for i, part := range parts {
		column, constant := keyColumn(ctx, right, part)
		if column != "" && constant && begins(indexes, column) && !together(indexes, column, joined) {
			parts[i], changed = expression.NewIsTrue(part), true
		}
	}
	return changed
}

// keyColumn is the column of a table that an equality gives a value to, in lower case, and whether that
// value is a constant; "": it is none.
func keyColumn(ctx *gms.Context, table gms.Node, e gms.Expression) (column string, constant bool) {
	eq, ok := e.(*expression.Equals)
	if !ok {
		return "", false
	}
	l, r := eq.Left(), eq.Right()
	if f, ok := r.(*expression.GetField); ok && ofTable(f, table) {
		l, r = r, l
	}
	f, ok := l.(*expression.GetField)
	if !ok || !ofTable(f, table) {
		return "", false
	}
	return strings.ToLower(f.Name()), !namesColumn(ctx, r)
}

func ofTable(f *expression.GetField, table gms.Node) bool {
	named, ok := table.(plan.TableIdNode)
	return ok && named.Id() == f.TableId()
}

// indexesOf are the columns of each index of a table, in lower case.
func indexesOf(ctx *gms.Context, n gms.Node) (found [][]string) {
	if alias, ok := n.(*plan.TableAlias); ok {
		n = alias.Child
	}
	table, ok := n.(gms.TableNode)
	if !ok {
		return nil
	}
	under, ok := table.UnderlyingTable().(gms.IndexAddressableTable)
	if !ok {
		return nil
	}
	indexes, err := under.GetIndexes(ctx)
	if err != nil {
		return nil // the planner will say so
	}
	for _, index := range indexes {
		if index.IsFullText() || index.IsSpatial() {
			continue
		}
		var columns []string
		for _, e := range index.Expressions() {
			columns = append(columns, strings.ToLower(e[strings.LastIndexByte(e, '.')+1:]))
		}
		if len(columns) > 0 {
			found = append(found, columns)
		}
	}
	return found
}

// begins says whether a column is the first of an index.
func begins(indexes [][]string, column string) bool {
	return slices.ContainsFunc(indexes, func(i []string) bool { return i[0] == column })
}

// together says whether an index has a column and one of others.
func together(indexes [][]string, column string, others map[string]bool) bool {
	return slices.ContainsFunc(indexes, func(i []string) bool {
		return slices.Contains(i, column) && slices.ContainsFunc(i, func(name string) bool { return others[name] })
	})
}
