package direct

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// scopes resolves the names of a statement over one or more tables. A column is told by
// its place among those of all tables, in the order of FROM.
type scopes []scope

// width is the number of columns of all tables.
func (s scopes) width() int {
	last := s[len(s)-1]
	return last.first + len(last.table.Desc.Columns)
}

// column is the place of a column that an expression names; false too where several
// tables have it.
func (s scopes) column(e sqlparser.Expr) (place int, ok bool) {
	for i := range s {
		at, found := s[i].column(e)
		if !found {
			continue
		}
		if ok {
			return 0, false
		}
		place, ok = s[i].first+at, true
	}
	return place, ok
}

// of is the number of the table that a place is in.
func (s scopes) of(place int) int {
	i := len(s) - 1
	for s[i].first > place {
		i--
	}
	return i
}

// at is the table that a place is in, and the position there.
func (s scopes) at(place int) (*store.Table, int) {
	if len(s) == 1 {
		return s[0].table, place
	}
	i := s.of(place)
	return s[i].table, place - s[i].first
}

func (s scopes) typeOf(place int) gms.Type {
	t, at := s.at(place)
	return t.Types[at]
}

// keyed says whether places hold all columns of the primary key of a table, so that they
// tell its rows from one another. Texts do not: those that are equal for the key need not be
// so for others.
func (s scopes) keyed(table int, places []int) bool {
	t := s[table].table
	if !t.HasPrimaryKey() {
		return false
	}
	for _, at := range t.Primary.ColumnPositions() {
		if !slices.Contains(places, s[table].first+at) || classOf(t.Types[at]) != classInt {
			return false
		}
	}
	return true
}

// star are the places that * or table.* stands for; none where no table has that name.
func (s scopes) star(q sqlparser.TableName) (places []int) {
	for i := range s {
		if !s[i].qualifies(q) {
			continue
		}
		for at := range s[i].table.Desc.Columns {
			places = append(places, s[i].first+at)
		}
	}
	return places
}

// hidden says whether something else in the list of a SELECT has the column's name: an
// alias goes before a column.
func (s scopes) hidden(place int, exprs sqlparser.SelectExprs) bool {
	t, at := s.at(place)
	name := t.Desc.Columns[at].Name
	for _, e := range exprs {
		a, ok := e.(*sqlparser.AliasedExpr)
		if !ok || a.As.IsEmpty() || !strings.EqualFold(a.As.String(), name) {
			continue
		}
		if other, ok := s.column(a.Expr); !ok || other != place {
			return true
		}
	}
	return false
}

// appendSortKey appends the key that the value of a column is sorted by.
func (p *Plan) appendSortKey(dst []byte, place int, v any, desc bool, limit uint32) ([]byte, error) {
	t, at := p.Table, place
	if p.join != nil {
		t, at = p.join.tables.at(place)
	}
	return t.AppendSortKey(dst, at, v, desc, limit)
}
