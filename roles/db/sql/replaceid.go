package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// noteReplaceID makes a REPLACE set LAST_INSERT_ID(), which the planner does for INSERT
// only. n is where its rows come from.
func noteReplaceID(ctx *gms.Context, n gms.Node) (gms.Node, error) {
	project, ok := n.(*plan.Project)
	if !ok {
		children := n.Children()
		if len(children) == 0 {
			return n, nil
		}
		first, err := noteReplaceID(ctx, children[0])
		if err != nil {
			return nil, err
		}
		return n.WithChildren(ctx, append([]gms.Node{first}, children[1:]...)...)
	}
	exprs := append([]gms.Expression(nil), project.Projections...)
	for i, e := range exprs {
		if generated, ok := e.(*expression.AutoIncrement); ok {
			exprs[i] = &replaceID{UnaryExpressionStub: expression.UnaryExpressionStub{Child: generated}}
		}
	}
	return plan.NewProject(ctx, exprs, project.Child), nil
}

// replaceID is an AUTO_INCREMENT column's value in one run of a REPLACE.
type replaceID struct {
	expression.UnaryExpressionStub
	noted bool
}

func (r *replaceID) String() string                 { return r.Child.String() }
func (r *replaceID) Type(ctx *gms.Context) gms.Type { return r.Child.Type(ctx) }
func (r *replaceID) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(r, len(children), 1)
	}
	return &replaceID{UnaryExpressionStub: expression.UnaryExpressionStub{Child: children[0]}}, nil
}

// Eval returns the value and notes the first that was generated.
func (r *replaceID) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	s.generated = false
	v, err := r.Child.Eval(ctx, row)
	if err == nil && s.generated && !r.noted {
		r.noted = true
		ctx.GetLastQueryInfo().LastInsertId.Store(int64(toUint64(v)))
	}
	return v, err
}
