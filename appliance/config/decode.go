package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// path is where a value stands: shown names list items, plain leaves them out.
type path struct{ shown, plain string }

func (p path) field(key string) path { return path{join(p.shown, key), join(p.plain, key)} }

func (p path) item(i int, name string) path {
	return path{itemKey(p.shown, i, name), p.plain}
}

// itemKey is the key of a list item: by name where it has one, else by index.
func itemKey(list string, i int, name string) string {
	if name == "" {
		return fmt.Sprintf("%s[%d]", list, i)
	}
	return list + "[" + name + "]"
}

// decoder fills typed values from a tree and remembers where each one stood.
type decoder struct {
	p      *problems
	places map[string]*node // shown key → its value in the tree
}

// decode turns a merged tree into a Config with all defaults set.
func decode(tree *node, p *problems) (*Config, map[string]*node) {
	d := decoder{p: p, places: map[string]*node{}}
	c := &Config{}
	v := reflect.ValueOf(c).Elem()
	setDefaults(v)
	d.places[""] = tree
	d.structure(tree, path{}, v)
	return c, d.places
}

// value decodes n into v. Absent values never get here.
func (d *decoder) value(n *node, at path, v reflect.Value, f *field) {
	d.places[at.shown] = n
	t := v.Type()
	switch {
	case t == listenType && n.kind == mapping:
		d.listen(n, at, v)
	case t == certFileType && n.kind == scalar:
		if s, ok := d.word(n, at); ok {
			v.Set(reflect.ValueOf(CertFile{Cert: s}))
		}
	case isScalar(t):
		d.scalar(n, at, v, f)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		setDefaults(v.Elem())
		d.value(n, at, v.Elem(), f)
	case t == bindTLSType:
		d.bindTLS(n, at, v)
	case t.Kind() == reflect.Slice:
		d.list(n, at, v, f)
	default:
		if n.kind == empty {
			return
		}
		d.structure(n, at, v)
	}
}

func (d *decoder) structure(n *node, at path, v reflect.Value) {
	if n.kind != mapping {
		d.p.at(n, at.shown, "%s where keys and values are wanted: %s", describe(n), keyList(v.Type()))
		return
	}
	fields := fieldsOf(v.Type())
	for _, e := range n.entries {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == e.key })
		here := at.field(e.key)
		switch {
		case i >= 0:
			d.value(e.value, here, v.Field(fields[i].index), &fields[i])
		case v.Type() == nodeDeclType && e.key == "set":
			// Merged into the config of that node; see sources.tree.
			if e.value.kind != mapping && e.value.kind != empty {
				d.p.at(e.value, here.shown, "%s where a partial config is wanted", describe(e.value))
			}
		case unavailableKey(here.plain):
			d.p.at(e.place, here.shown, notAvailable)
		default:
			d.unknown(e, here, v.Type())
		}
	}
}

func (d *decoder) unknown(e entry, here path, t reflect.Type) {
	near := nearest(e.key, keysOf(t))
	switch {
	case near != "":
		d.p.meant = append(d.p.meant, strings.TrimSuffix(here.shown, e.key)+near)
		d.p.at(e.place, here.shown, "unknown key %s; nearest is %s", quote(e.key), quote(near))
	default:
		d.p.at(e.place, here.shown, "unknown key %s, allowed here: %s", quote(e.key), keyList(t))
	}
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	if t == nodeDeclType {
		keys = append(keys, "set")
	}
	return keys
}

func keyList(t reflect.Type) string { return strings.Join(keysOf(t), ", ") }

func (d *decoder) list(n *node, at path, v reflect.Value, f *field) {
	if n.kind != list {
		d.p.at(n, at.shown, "%s where a list is wanted%s", describe(n), listCure(n))
		return
	}
	if most := maxItems(v.Type()); len(n.items) > most {
		d.p.at(n, at.shown, "%d items, at most %d are possible", len(n.items), most)
		return
	}
	elem := v.Type().Elem()
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	names := map[string]*node{}
	for i, item := range n.items {
		name := ""
		if elem.Kind() == reflect.Struct {
			name = item.name()
		}
		here := at.item(i, name)
		if name != "" {
			if first := names[name]; first != nil {
				here = at.item(i, "")
				d.p.at(item, here.shown, "the name %s is there twice; it stands on line %d already", quote(name), first.line)
			} else {
				names[name] = item
			}
		}
		if elem.Kind() == reflect.Struct && !isScalar(elem) {
			setDefaults(out.Index(i))
		}
		d.value(item, here, out.Index(i), f)
	}
	v.Set(out)
}

// maxItems bounds the lists: checking nodes and routes against each other takes
// time that grows with the square of their number.
func maxItems(t reflect.Type) int {
	if t.Elem() == nodeDeclType {
		return 256
	}
	return 4096
}

func listCure(n *node) string {
	if n.kind == scalar {
		return fmt.Sprintf("; write [%s]", n.value)
	}
	return ""
}

func (d *decoder) scalar(n *node, at path, v reflect.Value, f *field) {
	s, ok := "", false
	if v.Kind() == reflect.String {
		s, ok = d.word(n, at)
	} else if s, ok = n.value, n.kind == scalar; !ok {
		d.p.at(n, at.shown, "%s where %s is wanted", describe(n), wanted(v.Type(), f))
	}
	if !ok {
		return
	}
	if unavailableValue(at.plain, s) {
		d.p.at(n, at.shown, "%s %s", quote(s), notAvailable)
		return
	}
	if text := setScalar(v, f, s); text != "" {
		d.p.at(n, at.shown, "%s %s", quote(s), text)
		return
	}
	if l, ok := v.Addr().Interface().(*Listen); ok && at.plain == "web.bind" {
		l.TLS = l.Addr.Port() == 443
	}
}

// word is the text of a string value. Bare words that other YAML readers take for
// booleans are refused: the file is also read by the tools that write it.
func (d *decoder) word(n *node, at path) (string, bool) {
	if n.kind != scalar {
		d.p.at(n, at.shown, "%s where a word is wanted", describe(n))
		return "", false
	}
	if !n.quoted && yaml11Bool(n.value) {
		d.p.at(n, at.shown, "%s without quotes is a boolean to many readers of YAML; write \"%s\" with the quotes", n.value, n.value)
		return "", false
	}
	for _, r := range n.value {
		if r < 0x20 || r == 0x7f {
			d.p.at(n, at.shown, "%s holds a line break or another control character", quote(n.value))
			return "", false
		}
	}
	return n.value, true
}

// listen reads the written-out form of an address, {address, tls}, which only the
// web role has: its one list mixes plain and TLS.
func (d *decoder) listen(n *node, at path, v reflect.Value) {
	if at.plain != "web.bind" {
		d.p.at(n, at.shown, "keys and values where an address is wanted, such as %s", listenForms)
		return
	}
	var form struct {
		Address Listen `yaml:"address"`
		TLS     bool   `yaml:"tls"`
	}
	d.structure(n, at, reflect.ValueOf(&form).Elem())
	if n.get("address") == nil {
		d.p.at(n, at.shown, "the key address is missing, such as %s", listenForms)
		return
	}
	form.Address.TLS = form.TLS
	v.Set(reflect.ValueOf(form.Address))
}

// bindTLS reads {certificates: auto} and {certificates: [...]}; {} is auto.
func (d *decoder) bindTLS(n *node, at path, v reflect.Value) {
	b := BindTLS{}
	certs := n.get("certificates")
	switch {
	case n.kind == empty || n.kind == mapping && certs == nil:
		b.Auto = true
		if n.kind == mapping {
			d.structure(n, at, reflect.ValueOf(&b).Elem())
		}
	case certs != nil && certs.kind == scalar:
		d.places[at.field("certificates").shown] = certs
		b.Auto = certs.value == "auto"
		if !b.Auto {
			d.p.at(certs, at.field("certificates").shown, "%s is neither auto nor a list of files; for one file write [%s]", quote(certs.value), certs.value)
		}
		rest := *n
		rest.entries = slices.DeleteFunc(slices.Clone(n.entries), func(e entry) bool { return e.key == "certificates" })
		d.structure(&rest, at, reflect.ValueOf(&b).Elem())
	default:
		d.structure(n, at, reflect.ValueOf(&b).Elem())
		if certs != nil && certs.kind == list && len(certs.items) == 0 {
			d.p.at(certs, at.field("certificates").shown, "the list is empty; write auto for a certificate of the local CA")
		}
		for i := range b.Certificates {
			if b.Certificates[i].Key == "" {
				b.Certificates[i].Key = b.Certificates[i].Cert
			}
		}
	}
	v.Set(reflect.ValueOf(b))
}

// describe says what n is, for "X where Y is wanted".
func describe(n *node) string {
	switch n.kind {
	case mapping:
		return "keys and values"
	case list:
		return "a list"
	case empty:
		return "no value"
	}
	return quote(n.value)
}

// wanted says what a scalar of type t is.
func wanted(t reflect.Type, f *field) string {
	switch t {
	case durationType:
		return "a duration such as 5s"
	case addrType:
		return "an IP address"
	case prefixType:
		return "a network such as 192.0.2.0/24"
	case listenType:
		return "an address with a port"
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return wanted(t.Elem(), f)
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a word"
	case f.bytes:
		return "a size such as 64MiB"
	}
	return "a number"
}
