package config

import (
	"reflect"
	"strings"
)

// Key is one key that the environment and flags can set: a scalar, or a list of
// scalars written with commas between its items.
type Key struct {
	Path string // lb.timeouts.idle; also the name of its flag
	Env  string // STACK_LB_TIMEOUTS_IDLE
	Doc  string
	list bool
	f    field
}

// Keys lists every key outside lists of mappings, in the order of the reference.
func Keys() []Key { return keysBelow(nil, "", reflect.TypeFor[Config]()) }

func keysBelow(out []Key, prefix string, t reflect.Type) []Key {
	for _, f := range fieldsOf(t) {
		name, ft := join(prefix, f.key), f.typ
		switch {
		case isScalar(ft):
			out = append(out, Key{name, envName(name), f.doc, false, f})
		case ft.Kind() == reflect.Slice && isScalar(ft.Elem()):
			out = append(out, Key{name, envName(name), f.doc, true, f})
		case ft.Kind() == reflect.Pointer:
			out = keysBelow(out, name, ft.Elem())
		case ft.Kind() == reflect.Struct:
			out = keysBelow(out, name, ft)
		}
	}
	return out
}

// EnvPrefix begins the name of every variable that this package reads.
const EnvPrefix = "STACK_"

func envName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// tree is the value text of the key as a node of the given source.
func (k Key) tree(source, text string) *node {
	leaf := func(s string) *node { return &node{file: source, value: s, quoted: true} }
	v := leaf(text)
	if k.list {
		v = &node{file: source, kind: list}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				v.items = append(v.items, leaf(item))
			}
		}
	}
	parts := strings.Split(k.Path, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		v = &node{file: source, kind: mapping, entries: []entry{{parts[i], v, v}}}
	}
	return v
}
