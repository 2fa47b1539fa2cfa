package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
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
	v := reflect.New(t).Elem()
	setDefaults(v)
	return schemaOf(v)
}

// schemaOf describes the struct v, which holds its defaults.
func schemaOf(v reflect.Value) map[string]any {
	t, props := v.Type(), map[string]any{}
	for _, f := range fieldsOf(t) {
		props[f.key] = schemaField(v, f)
	}
	if t == nodeDeclType {
		props["set"] = map[string]any{"type": "object", "description": setDoc}
	}
	// A key with nothing behind it ("db:") is the structure with all its defaults.
	return map[string]any{"type": []any{"object", "null"}, "additionalProperties": false, "properties": props}
}

func schemaField(parent reflect.Value, f field) map[string]any {
	v := parent.Field(f.index)
	var s map[string]any
	if f.typ.Kind() == reflect.Struct && !isScalar(f.typ) {
		s = schemaOf(v) // its parent may have defaults of its own for it
	} else {
		s = schemaType(f.typ, f)
	}
	switch {
	case parent.Type() == bindTLSType && f.key == "certificates":
		s = map[string]any{"anyOf": []any{map[string]any{"const": "auto"}, s}}
	case parent.Type() == reflect.TypeFor[Config]() && f.key == "vip":
		s = map[string]any{"anyOf": []any{s, map[string]any{"type": "array", "items": map[string]any{"type": "string"}}}}
	}
	s["description"] = f.doc
	if f.hasDef {
		s["default"] = defaultJSON(v, f)
	}
	return s
}

func schemaType(t reflect.Type, f field) map[string]any {
	switch t {
	case durationType:
		return withUnit("ms|s|m|h|d|y")
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
		return withUnit("B|KiB|MiB|GiB|TiB")
	}
	s := map[string]any{"type": "integer", "minimum": 0}
	for name, text := range map[string]string{"minimum": f.min, "maximum": f.max} {
		if n, err := strconv.Atoi(text); err == nil {
			s[name] = n
		}
	}
	return s
}

// withUnit describes numbers with units; a bare 0 is read by editors as a number.
func withUnit(units string) map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"const": 0},
		map[string]any{"type": "string", "pattern": "^(0|([0-9.]+(" + units + "))+)$"}}}
}

// defaultJSON is the default as an editor would write it.
func defaultJSON(v reflect.Value, f field) any {
	switch f.typ.Kind() {
	case reflect.Slice:
		items := []string{}
		for i := range v.Len() {
			items = append(items, formatScalar(v.Index(i), &f))
		}
		return items
	case reflect.Bool:
		return v.Bool()
	case reflect.Int:
		if !f.bytes {
			return v.Int()
		}
	}
	return formatScalar(v, &f)
}
