package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// userFunction is USER(): who the client said it is and where it comes from. The
// planner's own would show the account, as CURRENT_USER() does.
type userFunction struct{}

var _ gms.FunctionExpression = userFunction{}

func newUserFunction(*gms.Context) gms.Expression { return userFunction{} }

func (userFunction) FunctionName() string         { return "user" }
func (userFunction) Description() string          { return "returns the user name and host of the client" }
func (userFunction) Resolved() bool               { return true }
func (userFunction) String() string               { return "user()" }
func (userFunction) Type(*gms.Context) gms.Type   { return types.LongText }
func (userFunction) IsNullable(*gms.Context) bool { return false }
func (userFunction) Children() []gms.Expression   { return nil }
func (f userFunction) WithChildren(*gms.Context, ...gms.Expression) (gms.Expression, error) {
	return f, nil
}

// CollationCoercibility is that of a system constant.
func (userFunction) CollationCoercibility(*gms.Context) (gms.CollationID, byte) {
	return gms.Collation_utf8mb3_general_ci, 3
}

// Eval returns name@host.
func (userFunction) Eval(ctx *gms.Context, _ gms.Row) (any, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	return s.client.User + "@" + s.client.Host, nil
}
