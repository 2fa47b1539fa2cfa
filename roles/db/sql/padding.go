package sql

import (
	"strings"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// paddedText is LPAD() or RPAD() of texts, whose characters it counts; the planner's counts bytes.
type paddedText struct{ *function.Pad }

// WithChildren pads another text.
func (p *paddedText) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := p.Pad.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &paddedText{e.(*function.Pad)}, nil
}

// Eval pads, or cuts.
func (p *paddedText) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	args := p.Children()
	if types.IsBinaryType(args[0].Type(ctx)) || types.IsBinaryType(args[2].Type(ctx)) {
		return p.Pad.Eval(ctx, row)
	}
	var texts [2]string
	for i, e := range []gms.Expression{args[0], args[2]} {
		v, err := e.Eval(ctx, row)
		if err != nil || v == nil {
			return nil, err
		}
		if texts[i], _, err = types.ConvertToCollatedString(ctx, v, e.Type(ctx)); err != nil {
			return nil, err
		}
	}
	v, err := args[1].Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	length, err := integerOf(ctx, v)
	if err != nil || length < 0 {
		return nil, err
	}
	most, err := ctx.GetSessionVariable(ctx, "max_allowed_packet")
	if err != nil {
		return nil, err
	}
	if bytes, err := integerOf(ctx, most); err != nil || length > bytes {
		ctx.Warn(1301, "Result of %s() was larger than max_allowed_packet (%d) - truncated", p.FunctionName(), bytes)
		return nil, err
	}
	return padded(texts[0], texts[1], int(length), p.FunctionName() == "lpad"), nil
}

// padded is a text of so many characters; an empty one where there is nothing to fill it with.
func padded(text, with string, length int, left bool) string {
	lacking := length - utf8.RuneCountInString(text)
	switch fill := utf8.RuneCountInString(with); {
	case lacking <= 0:
		return firstRunes(text, length)
	case fill == 0:
		return ""
	default:
		with = strings.Repeat(with, lacking/fill) + firstRunes(with, lacking%fill)
	}
	if left {
		return with + text
	}
	return text + with
}

// firstRunes are the first n characters of a text.
func firstRunes(text string, n int) string {
	for at := range text {
		if n == 0 {
			return text[:at]
		}
		n--
	}
	return text
}
