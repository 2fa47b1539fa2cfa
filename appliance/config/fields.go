package config

import (
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"
)

// field is what the tags of one struct field say.
type field struct {
	index    int
	key      string
	doc      string
	short    string
	def      string
	hasDef   bool
	enum     []string
	min, max string
	bytes    bool
	typ      reflect.Type
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	addrType     = reflect.TypeFor[netip.Addr]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	listenType   = reflect.TypeFor[Listen]()
	bindTLSType  = reflect.TypeFor[BindTLS]()
	certFileType = reflect.TypeFor[CertFile]()
	nodeDeclType = reflect.TypeFor[NodeDecl]()
)

var fieldCache sync.Map // reflect.Type → []field

// fieldsOf lists the fields of a struct type that are keys of the file.
func fieldsOf(t reflect.Type) []field {
	if f, ok := fieldCache.Load(t); ok {
		return f.([]field)
	}
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key := sf.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		f := field{index: i, key: key, doc: sf.Tag.Get("doc"), short: sf.Tag.Get("short"), typ: sf.Type,
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"), bytes: sf.Tag.Get("unit") == "bytes",
			enum: strings.Fields(sf.Tag.Get("enum"))}
		f.def, f.hasDef = sf.Tag.Lookup("default")
		out = append(out, f)
	}
	fieldCache.Store(t, out)
	return out
}

// isScalar says whether a value of t is written as one word.
func isScalar(t reflect.Type) bool {
	switch t {
	case durationType, addrType, prefixType, listenType:
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		return true
	case reflect.Pointer:
		return isScalar(t.Elem())
	}
	return false
}

// setDefaults gives every field of the struct v its default, down through the
// structs inside it, but not through pointers and lists, which may be absent.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		switch {
		case f.hasDef && f.typ.Kind() == reflect.Slice:
			words := strings.Fields(f.def)
			s := reflect.MakeSlice(f.typ, len(words), len(words))
			for i, w := range words {
				s.Index(i).SetString(w)
			}
			fv.Set(s)
		case f.hasDef:
			if text := setScalar(fv, &f, f.def); text != "" {
				panic("config: default of " + f.key + " " + text) // a tag of ours is wrong; every test meets it
			}
		case f.typ.Kind() == reflect.Struct && !isScalar(f.typ):
			setDefaults(fv)
		}
	}
	if w, ok := v.Addr().Interface().(*Web); ok {
		w.Limits.BodyBytes = webBodyBytes
	}
}

// webBodyBytes is the default of web.limits.body_bytes: a balancer passes bodies
// on, while a web server's application usually holds them in memory.
const webBodyBytes = 64 << 20
