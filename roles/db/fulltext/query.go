package fulltext

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Mode is how the text of a search reads.
type Mode int

const (
	Natural Mode = iota // words and "phrases", any of which makes a match
	Boolean             // with operators
)

// ErrDistance says that a search asks for words within a distance of each other.
var ErrDistance = fmt.Errorf("@distance in a boolean search")

// Query is a search, parsed. It is immutable.
type Query struct {
	lexicon *Lexicon
	root    node
	terms   []term
	phrases bool
}

// term is a word that a search looks for, or what words begin with.
type term struct {
	key    []byte
	prefix bool
}

func (t *term) matches(key []byte) bool {
	if t.prefix {
		return bytes.HasPrefix(key, t.key)
	}
	return bytes.Equal(key, t.key)
}

// node is a part of a search: a term, a phrase, or a group of parts.
type node struct {
	op     byte   // + - > < ~, or 0
	term   int    // index of the term; -1: none
	phrase []word // not empty: its words in order
	group  []node
	isList bool
}

// word is one of a phrase; term is -1 where it is in no index. A phrase begins with its
// first word that is in one, as in InnoDB.
type word struct {
	key  []byte
	term int
}

const (
	maxTerms = 1024 // words of one search
	maxDepth = 32   // of parentheses; InnoDB has the same bound
)

// Parse reads a search. Errors: ErrDistance; what is wrong with a boolean search.
func (l *Lexicon) Parse(text string, mode Mode) (*Query, error) {
	p := &parser{query: &Query{lexicon: l}, rest: text, boolean: mode == Boolean}
	list, err := p.list(0)
	if err != nil {
		return nil, err
	}
	p.query.root = node{term: -1, group: list, isList: true}
	return p.query, nil
}

type parser struct {
	query   *Query
	rest    string
	boolean bool
}

// list reads parts up to the end of a group.
func (p *parser) list(depth int) ([]node, error) {
	var list []node
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n")
		if p.rest == "" {
			if depth > 0 {
				return nil, fmt.Errorf("syntax error, a parenthesis is not closed")
			}
			return list, nil
		}
		if p.boolean && p.rest[0] == ')' {
			if depth == 0 {
				return nil, fmt.Errorf("syntax error, unexpected ')'")
			}
			p.rest = p.rest[1:]
			return list, nil
		}
		parts, err := p.part(depth)
		if err != nil {
			return nil, err
		}
		for _, n := range parts {
			// A word that is said twice counts once.
			if n.term < 0 || !slices.ContainsFunc(list, func(o node) bool { return o.term == n.term && o.op == n.op }) {
				list = append(list, n)
			}
		}
	}
}

// part reads one word, phrase or group with its operator. What looks like one word may
// be several ("a.b").
func (p *parser) part(depth int) ([]node, error) {
	op := byte(0)
	if p.boolean && strings.IndexByte("+-<>~", p.rest[0]) >= 0 {
		op, p.rest = p.rest[0], p.rest[1:]
		if p.rest == "" || strings.IndexByte("+-<>~*@) \t\r\n", p.rest[0]) >= 0 {
			return nil, fmt.Errorf("syntax error, nothing to search for behind '%c'", op)
		}
	}
	switch c := p.rest[0]; {
	case p.boolean && c == '(':
		if depth == maxDepth {
			return nil, fmt.Errorf("parentheses are nested more than %d deep", maxDepth)
		}
		p.rest = p.rest[1:]
		group, err := p.list(depth + 1)
		return []node{{op: op, term: -1, group: group, isList: true}}, err
	case c == '"':
		return p.quoted(op)
	case p.boolean && (c == '*' || c == '@'):
		return nil, fmt.Errorf("syntax error, unexpected '%c'", c)
	}
	return p.words(op)
}

func (p *parser) quoted(op byte) ([]node, error) {
	end := strings.IndexByte(p.rest[1:], '"')
	if end < 0 {
		if p.boolean {
			return nil, fmt.Errorf("syntax error, a quotation mark is not closed")
		}
		p.rest = p.rest[1:]
		return nil, nil
	}
	inner := p.rest[1 : 1+end]
	p.rest = p.rest[end+2:]
	if p.boolean && strings.HasPrefix(strings.TrimLeft(p.rest, " \t\r\n"), "@") {
		return nil, ErrDistance
	}
	n := node{op: op, term: -1}
	var err error
	split(inner, func(w string, runes int) {
		key := p.query.lexicon.weigh(nil, w)
		at := -1
		if err == nil && p.query.lexicon.indexed(runes, key) {
			at, err = p.term(key, false)
		}
		if at >= 0 || len(n.phrase) > 0 {
			n.phrase = append(n.phrase, word{key, at})
		}
	})
	switch len(n.phrase) {
	case 0:
		n.isList = true // of nothing
	case 1:
		return []node{{op: op, term: n.phrase[0].term}}, err
	}
	p.query.phrases = true
	return []node{n}, err
}

// words reads up to the next blank or operator.
func (p *parser) words(op byte) ([]node, error) {
	stops := "\" \t\r\n"
	if p.boolean {
		stops = "\" \t\r\n()+-<>~*@"
	}
	end := strings.IndexAny(p.rest, stops)
	if end < 0 {
		end = len(p.rest)
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	prefix := p.boolean && strings.HasPrefix(p.rest, "*")
	if prefix {
		p.rest = p.rest[1:]
	}
	type found struct {
		text  string
		runes int
	}
	var all []found
	split(text, func(w string, runes int) { all = append(all, found{w, runes}) })
	var list []node
	for i, f := range all {
		key := p.query.lexicon.weigh(nil, f.text)
		if prefix && i == len(all)-1 {
			at, err := p.term(key, true)
			if err != nil {
				return nil, err
			}
			list = append(list, node{op: op, term: at})
			continue
		}
		if !p.query.lexicon.indexed(f.runes, key) {
			if op == '+' && i == 0 {
				list = append(list, node{op: op, term: -1, isList: true}) // no document has it
			}
			continue
		}
		at, err := p.term(key, false)
		if err != nil {
			return nil, err
		}
		list = append(list, node{op: op, term: at})
	}
	return list, nil
}

func (p *parser) term(key []byte, prefix bool) (int, error) {
	for i := range p.query.terms {
		if t := &p.query.terms[i]; t.prefix == prefix && bytes.Equal(t.key, key) {
			return i, nil
		}
	}
	if len(p.query.terms) == maxTerms {
		return 0, fmt.Errorf("a search of more than %d words", maxTerms)
	}
	p.query.terms = append(p.query.terms, term{key, prefix})
	return len(p.query.terms) - 1, nil
}
