package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with the config, and where.
type Error struct {
	File   string // as given; "environment" or "flags" for those sources; may be empty
	Line   int    // 1-based; 0 where the source has no lines
	Column int    // 1-based; 0 where the source has no columns
	Key    string // as in the reference page, list items by name: lb.backends[web].algorithm
	Text   string // the wrong value, what is allowed, the nearest right spelling
}

// Error is one line: file:line:column: key: text.
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Errors is everything that is wrong, in the order of the sources. It is never
// empty when it is returned as an error.
type Errors []Error

// Error is one line per error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// maxErrors bounds the report: whoever has more than this many mistakes in one
// file has given us some other file.
const maxErrors = 200

// problems collects errors; the same one found for several nodes counts once.
type problems struct {
	list []Error
	seen map[Error]bool
	// meant are keys that a misspelt one was surely meant for: they are not absent.
	meant []string
}

func (p *problems) add(e Error) {
	if p.seen[e] || len(p.list) >= maxErrors {
		return
	}
	if p.seen == nil {
		p.seen = map[Error]bool{}
	}
	p.seen[e] = true
	p.list = append(p.list, e)
}

// at adds an error about the place of n; n may be nil.
func (p *problems) at(n *node, key, format string, args ...any) {
	e := Error{Key: key, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		e.File, e.Line, e.Column = n.file, n.line, n.column
	}
	p.add(e)
}

// about says whether something is known to be wrong with the key, with something
// inside it or with what it is inside of. What follows from that is not reported.
func (p *problems) about(key string) bool {
	for _, e := range p.meant {
		if e == key {
			return true
		}
	}
	for _, e := range p.list {
		if within(e.Key, key) || within(key, e.Key) {
			return true
		}
	}
	return false
}

// within says whether key is outer or a part of it.
func within(key, outer string) bool {
	if outer == "" || key == outer {
		return true
	}
	return strings.HasPrefix(key, outer) && (key[len(outer)] == '.' || key[len(outer)] == '[')
}

// err returns what was collected, sorted by place, or nil. order ranks files in
// the order in which they were read.
func (p *problems) err(order []string) error {
	if len(p.list) == 0 {
		return nil
	}
	list := slices.Clone(p.list)
	rank := func(file string) int {
		if i := slices.Index(order, file); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(rank(a.File), rank(b.File)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return Errors(list)
}
