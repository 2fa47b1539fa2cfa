package sql

import (
	"strings"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// sayEscapes is a rule for plans as they come from the statement: it names the escape of
// patterns that use the one which need not be named. The planner makes = and >= of some
// patterns, with the backslashes in them, but not where an escape is named.
func sayEscapes(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return sayEscapesIn(ctx, n)
}

func sayEscapesIn(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		switch n := n.(type) {
		case *plan.InsertInto:
			if n.Source == nil {
				return n, transform.SameTree, nil
			}
			source, same, err := sayEscapesIn(ctx, n.Source)
			if err != nil || same {
				return n, transform.SameTree, err
			}
			return n.WithSource(source), transform.NewTree, nil
		case *plan.Filter, *plan.JoinNode:
			return transform.OneNodeExpressions(ctx, n, sayEscape)
		}
		return n, transform.SameTree, nil
	})
}

func sayEscape(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	switch e := e.(type) {
	case *plan.Subquery:
		query, same, err := sayEscapesIn(ctx, e.Query)
		if err != nil || same {
			return e, transform.SameTree, err
		}
		return e.WithQuery(query), transform.NewTree, nil
	case *expression.Like:
		literal, ok := e.RightChild.(*expression.Literal)
		if !ok || e.Escape != nil {
			return e, transform.SameTree, nil
		}
		if text, ok := literal.Value().(string); !ok || !strings.Contains(text, `\`) {
			return e, transform.SameTree, nil
		}
		return expression.NewLike(e.LeftChild, e.RightChild, expression.NewLiteral(`\`, types.LongText)), transform.NewTree, nil
	}
	return e, transform.SameTree, nil
}

// anyOne stands in a pattern for _.
const anyOne = -1

// pattern is what LIKE matches with: pieces of weights with % between them.
type pattern struct {
	weights *weights
	pieces  [][]int32 // the first one at the beginning, the last one at the end
}

// quickLike matches a column of text with a literal pattern; nil for all else.
func quickLike(ctx *gms.Context, e *expression.Like) func(gms.Row) (any, bool) {
	field, _, ok := fieldAndLiteral(ctx, e.LeftChild, e.RightChild)
	if !ok || !types.IsTextOnly(field.Type(ctx)) {
		return nil
	}
	p := literalPattern(ctx, e)
	if p == nil {
		return nil
	}
	at := field.Index()
	return func(row gms.Row) (any, bool) {
		if at >= len(row) {
			return nil, false
		}
		switch v := row[at].(type) {
		case nil:
			return nil, true
		case string:
			return p.match(v), utf8.ValidString(v)
		}
		return nil, false
	}
}

// literalPattern is the pattern of a LIKE, nil where it is not a literal in order.
func literalPattern(ctx *gms.Context, e *expression.Like) *pattern {
	literal, ok := e.RightChild.(*expression.Literal)
	if !ok {
		return nil
	}
	text, ok := literal.Value().(string)
	if !ok {
		return nil
	}
	escape := '\\'
	if e.Escape != nil {
		l, ok := e.Escape.(*expression.Literal)
		if !ok {
			return nil
		}
		one, ok := l.Value().(string)
		if !ok || utf8.RuneCountInString(one) != 1 {
			return nil
		}
		escape, _ = utf8.DecodeRuneInString(one)
	}
	collation, _ := gms.GetCoercibility(ctx, e)
	p, ok := newPattern(weightsOf(collation), text, escape)
	if !ok {
		return nil
	}
	return p
}

// newPattern takes a pattern apart; false where something is wrong with it.
func newPattern(w *weights, text string, escape rune) (*pattern, bool) {
	if w == nil || !utf8.ValidString(text) || escape == '%' || escape == '_' {
		return nil, false
	}
	p := &pattern{weights: w, pieces: [][]int32{nil}}
	last := 0
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case r == '%':
			p.pieces = append(p.pieces, nil)
			last++
			continue
		case r == '_':
			p.pieces[last] = append(p.pieces[last], anyOne)
			continue
		case r == escape:
			if i++; i == len(runes) {
				return nil, false
			}
			r = runes[i]
		}
		p.pieces[last] = append(p.pieces[last], w.other(r))
	}
	return p, true
}

// match says whether the whole of s, which is UTF-8, is as the pattern says.
func (p *pattern) match(s string) bool {
	first, rest := p.pieces[0], p.pieces[1:]
	n := p.prefix(s, first)
	if n < 0 || len(rest) == 0 {
		return n == len(s)
	}
	s = s[n:]
	for _, piece := range rest[:len(rest)-1] {
		// The first place is as good as any: what is left to match is longest there.
		end := p.find(s, piece)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return p.suffix(s, rest[len(rest)-1])
}

// prefix is the length of a piece at the beginning of s, -1 if it is not there.
func (p *pattern) prefix(s string, piece []int32) (n int) {
	for _, want := range piece {
		if n == len(s) {
			return -1
		}
		weight, length := p.weights.next(s[n:])
		if want != anyOne && weight != want {
			return -1
		}
		n += length
	}
	return n
}

// find is where a piece first ends in s, -1 if it is not there.
func (p *pattern) find(s string, piece []int32) int {
	if len(piece) == 0 {
		return 0
	}
	for from := 0; from < len(s); {
		weight, length := p.weights.next(s[from:])
		from += length
		if weight != piece[0] && piece[0] != anyOne {
			continue
		}
		if n := p.prefix(s[from:], piece[1:]); n >= 0 {
			return from + n
		}
	}
	return -1
}

// suffix says whether s ends with a piece.
func (p *pattern) suffix(s string, piece []int32) bool {
	from := len(s)
	for range piece {
		if from == 0 {
			return false
		}
		_, length := utf8.DecodeLastRuneInString(s[:from])
		from -= length
	}
	return p.prefix(s[from:], piece) >= 0
}
