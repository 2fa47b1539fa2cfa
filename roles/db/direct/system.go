package direct

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// System is what a SELECT without a table asks for: one value of the session.
type System struct {
	FoundRows bool
	Variable  string // in lower case; empty for FOUND_ROWS()
}

// systemVariables are those that clients ask for at the start of each connection.
var systemVariables = map[string]string{"@@sql_mode": "sql_mode", "@@session.sql_mode": "sql_mode"}

// System is nil for statements over a table.
func (p *Plan) System() *System { return p.system }

// compileSystem reads SELECT FOUND_ROWS() and SELECT @@sql_mode.
func (p *Plan) compileSystem(st *sqlparser.Select) Reason {
	q := st.QueryOpts
	if len(st.SelectExprs) != 1 || st.Where != nil || len(st.GroupBy) > 0 || len(st.OrderBy) > 0 || st.Limit != nil || q.Distinct || q.SQLCalcFoundRows {
		return Shape
	}
	e, ok := st.SelectExprs[0].(*sqlparser.AliasedExpr)
	if !ok {
		return Shape
	}
	switch e := e.Expr.(type) {
	case *sqlparser.FuncExpr:
		if e.Over == nil && e.Qualifier.IsEmpty() && len(e.Exprs) == 0 && strings.EqualFold(e.Name.String(), "found_rows") {
			p.system = &System{FoundRows: true}
			return None
		}
	case *sqlparser.ColName:
		if name, ok := systemVariables[strings.ToLower(e.Name.String())]; ok && e.Qualifier.IsEmpty() && e.StoredProcVal == nil {
			p.system = &System{Variable: name}
			return None
		}
	}
	return Shape
}

// systemVariable steps over the @@ of a system variable; false: it is something else.
func (s *scanner) systemVariable() bool {
	if s.next() != '@' || s.at+2 >= len(s.text) || !isLetter(s.text[s.at+2]) {
		return false
	}
	s.at++
	return true
}
