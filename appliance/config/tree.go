package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kind is the shape of a node.
type kind int

const (
	scalar kind = iota
	mapping
	list
	empty // a key with nothing behind it
)

// node is one value of a source and the place where it stands. Merging builds new
// nodes and never changes one, so trees may share parts.
type node struct {
	file         string
	line, column int
	kind         kind
	value        string  // scalar: the text
	quoted       bool    // scalar: written in quotes, so surely a string
	entries      []entry // mapping, in the order of the source
	items        []*node // list
}

// entry is a key of a mapping and its value.
type entry struct {
	key   string
	place *node // where the key stands
	value *node
}

func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// with returns a copy of the mapping n in which key has the value v.
func (n *node) with(key string, v *node) *node {
	c := *n
	c.entries = make([]entry, 0, len(n.entries)+1)
	found := false
	for _, e := range n.entries {
		if e.key == key {
			e.value, found = v, true
		}
		c.entries = append(c.entries, e)
	}
	if !found {
		c.entries = append(c.entries, entry{key, v, v})
	}
	return &c
}

// name is the value of the key "name", or "".
func (n *node) name() string {
	if v := n.get("name"); v != nil && v.kind == scalar {
		return v.value
	}
	return ""
}

// Bounds of a source. A site of a hundred nodes stays far below each.
const (
	maxFileBytes = 1 << 20
	maxDepth     = 24
	maxNodes     = 100_000
)

// parse reads one YAML document. It returns nil after adding to p when the text
// is not usable at all, and an empty mapping for an empty document.
func parse(file string, text []byte, p *problems) *node {
	top := &node{file: file, line: 1, column: 1, kind: mapping}
	if len(text) > maxFileBytes {
		p.at(top, "", "the file has more than %d KiB, which no config needs", maxFileBytes>>10)
		return nil
	}
	if strings.IndexByte(string(text), 0) >= 0 {
		p.at(top, "", "the file holds a NUL byte, so it is not a text file")
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if err.Error() == "EOF" {
			return top
		}
		syntaxError(top, err, p)
		return nil
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		p.at(&node{file: file, line: max(more.Line, 1), column: max(more.Column, 1)}, "", "a second document begins here; one file holds one document, so remove the line ---")
		return nil
	} else if err.Error() != "EOF" {
		syntaxError(top, err, p)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return top
	}
	c := converter{file: file, p: p}
	n := c.convert(doc.Content[0], "", 0)
	switch {
	case n == nil:
		return nil
	case n.kind == empty:
		return top
	case n.kind != mapping:
		p.at(n, "", "the file must hold keys and values, as in \"site: www.example.com\"")
		return nil
	}
	return n
}

// syntaxError turns the parser's "yaml: line 3: …" into a place and a cure.
func syntaxError(top *node, err error, p *problems) {
	text, place := strings.TrimPrefix(err.Error(), "yaml: "), *top
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if num, msg, ok := strings.Cut(rest, ": "); ok {
			if l, e := strconv.Atoi(num); e == nil {
				place.line, text = max(l, 1), msg
			}
		}
	}
	cure := ""
	switch {
	case strings.Contains(text, "cannot start any token"):
		cure = "; indent with spaces, not tabs, and quote values that begin with one of @ ` %"
	case strings.Contains(text, "mapping values are not allowed"):
		cure = "; quote a value that contains \": \", and check the indentation"
	case strings.Contains(text, "did not find expected"):
		cure = "; check the indentation, brackets and quotes up to this line, and quote an address that begins with a colon (\":80\")"
	case strings.Contains(text, "unknown anchor"):
		cure = "; quote a value that begins with *"
	}
	p.at(&place, "", "not valid YAML: %s%s", text, cure)
}

// converter turns the parser's nodes into ours, refusing what a config does not need.
type converter struct {
	file  string
	p     *problems
	count int
}

func (c *converter) convert(y *yaml.Node, key string, depth int) *node {
	n := &node{file: c.file, line: max(y.Line, 1), column: max(y.Column, 1)}
	if c.count++; c.count > maxNodes {
		if c.count == maxNodes+1 {
			c.p.at(n, key, "more than %d values in one file, which no config needs", maxNodes)
		}
		return nil
	}
	if depth > maxDepth {
		c.p.at(n, key, "nested more than %d deep, which no key needs", maxDepth)
		return nil
	}
	if y.Anchor != "" || y.Kind == yaml.AliasNode {
		c.p.at(n, key, "anchors (&) and aliases (*) are not used in this file; write the value out, or quote it if it begins with * or &")
		return nil
	}
	if y.Style&yaml.TaggedStyle != 0 {
		c.p.at(n, key, "tags such as %s are not used in this file; write the value alone", y.Tag)
		return nil
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = mapping
		c.mapping(n, y, key, depth)
	case yaml.SequenceNode:
		n.kind = list
		for i, item := range y.Content {
			if v := c.convert(item, fmt.Sprintf("%s[%d]", key, i), depth+1); v != nil {
				n.items = append(n.items, v)
			}
		}
	default:
		n.quoted = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
		n.value = y.Value
		if y.Tag == "!!null" && !n.quoted {
			n.kind = empty
		}
	}
	return n
}

func (c *converter) mapping(n *node, y *yaml.Node, key string, depth int) {
	first := map[string]*node{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		place := &node{file: c.file, line: max(k.Line, 1), column: max(k.Column, 1)}
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			c.p.at(place, key, "a key must be a plain word")
			continue
		}
		full := join(key, k.Value)
		if before := first[k.Value]; before != nil {
			c.p.at(place, full, "the key is there twice; it stands on line %d already", before.line)
			continue
		}
		first[k.Value] = place
		if v := c.convert(y.Content[i+1], full, depth+1); v != nil {
			n.entries = append(n.entries, entry{k.Value, place, v})
		}
	}
}

func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}

// quote shows a value in a message: short, on one line, unmistakable.
func quote(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:77]) + "..."
	}
	return strconv.Quote(s)
}
