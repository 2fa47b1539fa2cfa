package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// Schema is the JSON schema (draft 2020-12) of the file, for editors. It is made
// from the tags of the types; relations between keys are not in it.
func Schema() []byte {
	top := schemaStruct(reflect.TypeFor[Config]())
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "stack.yaml"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(top); err != nil {
		panic(err) // maps of strings and numbers always encode
	}
	return b.Bytes()
}

func schemaStruct(t reflect.Type) map[string]any {
	props := map[string]any{}
	for _, f := range fieldsOf(t) {
		props[f.key] = schemaField(t, f)
	}
	if t == nodeDeclType {
		props["set"] = map[string]any{"type": "object", "description": setDoc}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": props}
}

func schemaField(parent reflect.Type, f field) map[string]any {
	s := schemaType(f.typ, f)
	if parent == bindTLSType && f.key == "certificates" {
		s = map[string]any{"anyOf": []any{map[string]any{"const": "auto"}, s}}
	}
	if parent == reflect.TypeFor[Config]() && f.key == "vip" {
		s = map[string]any{"anyOf": []any{s, map[string]any{"type": "array", "items": map[string]any{"type": "string"}}}}
	}
	s["description"] = f.doc
	if d := defaultText(parent, f); d != "" {
		s["default"] = defaultJSON(f, d)
	}
	return s
}

func schemaType(t reflect.Type, f field) map[string]any {
	switch t {
	case durationType:
		return map[string]any{"type": []any{"string", "integer"}, "pattern": `^(0|([0-9.]+(ms|s|m|h|d|y))+)$`, "maximum": 0, "minimum": 0}
	case addrType, prefixType:
		return map[string]any{"type": "string"}
	case listenType:
		item := map[string]any{"type": "string", "pattern": `:[0-9]+$`}
		if f.short == "" {
			return item
		}
		return map[string]any{"anyOf": []any{item, map[string]any{"type": "object", "additionalProperties": false, "required": []any{"address"},
			"properties": map[string]any{"address": item, "tls": map[string]any{"type": "boolean"}}}}}
	case certFileType:
		return map[string]any{"anyOf": []any{map[string]any{"type": "string"}, schemaStruct(t)}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaType(t.Elem(), f)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaType(t.Elem(), f)}
	case reflect.Struct:
		return schemaStruct(t)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		if len(f.enum) > 0 {
			return map[string]any{"enum": f.enum}
		}
		return map[string]any{"type": []any{"string", "number"}}
	}
	if f.bytes {
		return map[string]any{"type": []any{"string", "integer"}, "pattern": `^(0|([0-9.]+(B|KiB|MiB|GiB|TiB))+)$`, "maximum": 0, "minimum": 0}
	}
	s := map[string]any{"type": "integer", "minimum": 0}
	for name, text := range map[string]string{"minimum": f.min, "maximum": f.max} {
		if n, err := strconv.Atoi(text); err == nil {
			s[name] = n
		}
	}
	return s
}

// defaultText is the default as it stands in a file, of the field where its parent
// is made with all its defaults; "" for none. For lists the items, with spaces.
func defaultText(parent reflect.Type, f field) string {
	if !f.hasDef {
		return ""
	}
	return f.def
}

func defaultJSON(f field, text string) any {
	switch f.typ.Kind() {
	case reflect.Slice:
		return strings.Fields(text)
	case reflect.Bool:
		return text == "true"
	case reflect.Int, reflect.Int64:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return text
}
