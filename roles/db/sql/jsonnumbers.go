package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// documentTakers are functions whose first argument is a JSON document.
var documentTakers = map[string]bool{
	"json_array_append": true, "json_array_insert": true, "json_extract": true, "json_insert": true, "json_remove": true, "json_replace": true, "json_set": true,
}

// exactDocument is a document, or the text of one, whose integers have all their digits.
type exactDocument struct{ expression.UnaryExpressionStub }

// exactDocumentOf is the argument of a function, nil where it is no document.
func exactDocumentOf(ctx *gms.Context, e gms.Expression) gms.Expression {
	if _, done := e.(*exactDocument); done || !e.Resolved() {
		return nil
	}
	if t := e.Type(ctx); !types.IsText(t) && !types.IsJSON(t) {
		return nil
	}
	return &exactDocument{expression.UnaryExpressionStub{Child: e}}
}

func (d *exactDocument) String() string                 { return d.Child.String() }
func (d *exactDocument) Type(ctx *gms.Context) gms.Type { return d.Child.Type(ctx) }

// WithChildren is another document.
func (d *exactDocument) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(d, len(children), 1)
	}
	return &exactDocument{expression.UnaryExpressionStub{Child: children[0]}}, nil
}

// Eval returns a document, or what is none as it is.
func (d *exactDocument) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := d.Child.Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	if v, err = gms.UnwrapAny(ctx, v); err != nil {
		return nil, err
	}
	var text []byte
	switch v := v.(type) {
	case string:
		text = []byte(v)
	case types.JSONBytes:
		if text, err = v.GetBytes(ctx); err != nil {
			return nil, err
		}
	default:
		return v, nil
	}
	if document, ok := fit.JSON(text); ok {
		return document, nil
	}
	return v, nil
}
