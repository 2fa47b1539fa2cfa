package config

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestReferencePage(t *testing.T) {
	golden(t, filepath.Join("..", "..", "docs", "config.md"), string(Reference()))
}

// TestEveryFieldIsDescribed: no key without a sentence, no tag that says nothing.
func TestEveryFieldIsDescribed(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(typ reflect.Type) {
		typ, isStruct := structOf(typ)
		if !isStruct || seen[typ] {
			return
		}
		seen[typ] = true
		for _, f := range fieldsOf(typ) {
			if !strings.HasSuffix(f.doc, ".") {
				t.Errorf("%s.%s has no sentence", typ.Name(), f.key)
			}
			if yaml11Bool(f.key) {
				t.Errorf("%s.%s is a boolean to YAML 1.1", typ.Name(), f.key)
			}
			walk(f.typ)
		}
	}
	walk(reflect.TypeFor[Config]())
	for u := range unavailable {
		key, _, isValue := strings.Cut(u, "=")
		if !isValue && strings.Contains(string(Reference()), "`"+key+"`") {
			t.Errorf("%s is built and not available", key)
		}
	}
}

// TestSchema holds the schema to the good files: each key in them is in it.
func TestSchema(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	props := func(m map[string]any, keys ...string) map[string]any {
		t.Helper()
		for _, k := range keys {
			next, ok := m["properties"].(map[string]any)[k].(map[string]any)
			if !ok {
				t.Fatalf("no %s in the schema", k)
			}
			m = next
		}
		return m
	}
	if d := props(s, "web", "limits", "body_bytes")["default"]; d != "64MiB" {
		t.Errorf("web.limits.body_bytes is %v by default", d)
	}
	if d := props(s, "lb", "limits", "body_bytes")["default"]; d != "0" {
		t.Errorf("lb.limits.body_bytes is %v by default", d)
	}
	loops := props(s, "lb", "loops")
	if loops["maximum"] != 256.0 || loops["minimum"] != 0.0 || loops["type"] != "integer" {
		t.Errorf("lb.loops: %v", loops)
	}
	if s["additionalProperties"] != false {
		t.Error("unknown keys are allowed")
	}
	if props(s, "nodes")["items"].(map[string]any)["properties"].(map[string]any)["set"] == nil {
		t.Error("no nodes.set")
	}
}
