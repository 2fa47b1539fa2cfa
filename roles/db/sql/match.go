package sql

import (
	"errors"
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/fulltext"
)

// match is MATCH (columns) AGAINST (text): what its row is worth to the search, 0 where it
// does not match. It reads the row's own texts, so that it is right about every row, also
// one that has changed since the index was read; the index says how rare words are.
type match struct {
	columns []gms.Expression
	against gms.Expression
	mode    fulltext.Mode
	search  *search // nil until the plan is finished
}

var (
	_ gms.Expression         = (*match)(nil)
	_ gms.FunctionExpression = (*match)(nil)
)

// newMatch makes a match of a call (see matchCall).
func newMatch(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	if len(args) < 3 {
		return nil, gms.ErrInvalidArgumentNumber.New(matchFunction, "at least 3", len(args))
	}
	m := &match{against: args[1], columns: args[2:]}
	option, _ := args[0].(*expression.Literal)
	if option == nil {
		return nil, mysqlError(1210, "Incorrect arguments to MATCH")
	}
	switch option.Value() {
	case "", sqlparser.NaturalLanguageModeStr:
	case sqlparser.BooleanModeStr:
		m.mode = fulltext.Boolean
	case sqlparser.QueryExpansionStr, sqlparser.NaturalLanguageModeWithQueryExpansionStr:
		return nil, notAvailable("MATCH … AGAINST … WITH QUERY EXPANSION")
	default:
		return nil, mysqlError(1210, "Incorrect arguments to MATCH")
	}
	for _, c := range m.columns {
		if _, ok := c.(*expression.GetField); !ok {
			return nil, mysqlError(1210, "Incorrect arguments to MATCH")
		}
	}
	return m, nil
}

func (m *match) FunctionName() string         { return matchFunction }
func (m *match) Description() string          { return "ranks a row by a search in its FULLTEXT index" }
func (m *match) Type(*gms.Context) gms.Type   { return types.Float32 }
func (m *match) IsNullable(*gms.Context) bool { return false }
func (m *match) Children() []gms.Expression {
	return append([]gms.Expression{m.against}, m.columns...)
}

// CollationCoercibility is that of a number.
func (m *match) CollationCoercibility(*gms.Context) (gms.CollationID, byte) {
	return gms.Collation_binary, 5
}

func (m *match) Resolved() bool {
	for _, c := range m.Children() {
		if !c.Resolved() {
			return false
		}
	}
	return true
}

func (m *match) String() string {
	columns := make([]string, len(m.columns))
	for i, c := range m.columns {
		columns[i] = c.String()
	}
	mode := ""
	if m.mode == fulltext.Boolean {
		mode = sqlparser.BooleanModeStr
	}
	return fmt.Sprintf("match(%s) against (%s%s)", strings.Join(columns, ", "), m.against, mode)
}

// WithChildren is the match with other children.
func (m *match) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != len(m.columns)+1 {
		return nil, gms.ErrInvalidChildrenNumber.New(m, len(children), len(m.columns)+1)
	}
	c := *m
	c.against, c.columns = children[0], children[1:]
	return &c, nil
}

// Eval ranks a row.
func (m *match) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	if m.search == nil {
		return nil, gms.ErrNoFullTextIndexFound.New("")
	}
	text, null, err := searchText(ctx, m.against, row)
	if err != nil || null {
		return float32(0), err
	}
	found, err := m.search.of(ctx, text)
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(m.columns))
	for _, c := range m.columns {
		v, err := c.Eval(ctx, row)
		if err != nil {
			return nil, err
		}
		if v, err = gms.UnwrapAny(ctx, v); err != nil {
			return nil, err
		}
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return found.query.Rank(texts, &found.stats), nil
}

// searchText is what a search looks for; null: for NULL, which nothing matches.
func searchText(ctx *gms.Context, e gms.Expression, row gms.Row) (text string, null bool, err error) {
	v, err := e.Eval(ctx, row)
	if err != nil {
		return "", false, err
	}
	if v, err = gms.UnwrapAny(ctx, v); err != nil || v == nil {
		return "", true, err
	}
	converted, _, err := types.LongText.Convert(ctx, v)
	if err != nil {
		return "", false, err
	}
	text, ok := converted.(string)
	if !ok {
		return "", false, mysqlError(1210, "Incorrect arguments to AGAINST")
	}
	return text, false, nil
}

// searchError is what a client is told of a search that cannot be read.
func searchError(err error) error {
	if errors.Is(err, fulltext.ErrDistance) {
		return notAvailable(err.Error())
	}
	return mysqlError(1064, "MATCH … AGAINST: %s", err)
}
