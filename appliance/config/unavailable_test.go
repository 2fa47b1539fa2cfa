package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestUnavailable writes every key and value of the table and expects that answer and
// no other. A line that is left behind when its feature is built fails here.
func TestUnavailable(t *testing.T) {
	for line := range unavailable {
		key, value, isValue := strings.Cut(line, "=")
		if !isValue {
			value = "x"
		}
		tree := treeFor(t, reflect.TypeFor[Config](), strings.Split(key, "."), value)
		var p problems
		decode(tree, &p)
		if len(p.list) != 1 || !strings.HasSuffix(p.list[0].Text, notAvailable) {
			t.Errorf("%s: %v", line, p.list)
		}
	}
}

// treeFor is the tree in which the key stands, with one item in each list around it.
func treeFor(t *testing.T, typ reflect.Type, parts []string, value string) *node {
	t.Helper()
	v := leaf(value)
	i := slices.IndexFunc(fieldsOf(typ), func(f field) bool { return f.key == parts[0] })
	if i < 0 && len(parts) > 1 {
		t.Fatalf("%s has no key %s", typ, parts[0])
	}
	if i >= 0 {
		ft := fieldsOf(typ)[i].typ
		inner, _ := structOf(ft)
		if len(parts) > 1 {
			v = treeFor(t, inner, parts[1:], value)
		}
		if ft.Kind() == reflect.Slice {
			v = seq(v)
		}
	}
	return keyed(parts[0], v)
}
