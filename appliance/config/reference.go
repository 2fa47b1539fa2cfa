package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

const setDoc = "A partial config, of any keys but site and nodes, that is merged for this node only."

// referenceIntro is what stands before the keys in docs/config.md.
const referenceIntro = `# The config file

<!-- Made by stack config reference from the types in appliance/config; a test holds it to them. -->

One file describes the whole site and is the same on every server: ` + "`/etc/stack/stack.yaml`" + `, or the file
named by ` + "`--config`" + `. ` + "`stack check`" + ` reports every mistake in it at once, with line and column.

**Merge order.** Each of these is laid over the one before: the defaults below, with what follows from the nodes;
the file; the files ` + "`conf.d/*.yaml`" + ` beside it, in the order of their names; a node's ` + "`set`" + `, for that
node only; the environment; flags. Keys with keys inside merge key by key. Lists whose items all have a ` + "`name`" + `
merge by name: an item of a known name is merged, one of a new name is added at the end. Every other list replaces
the one before.

**Environment and flags** belong to the process: they hold for its own node only. A key that is not inside a
list of keyed items can be set by both: ` + "`lb.timeouts.idle`" + ` by ` + "`STACK_LB_TIMEOUTS_IDLE=30s`" + ` and by
` + "`--lb.timeouts.idle=30s`" + `. Lists of plain values are written with commas: ` + "`STACK_FIREWALL_ADMIN_FROM=192.0.2.0/24,10.0.0.0/8`" + `.
An empty variable counts as absent. A variable that begins with ` + "`STACK_`" + ` and is no key is an error.

**Values.** Durations carry units (` + "`500ms`, `1h30m`, `7d`, `1y`" + `; y is 365 days), sizes too (` + "`64KiB`, `1.5GiB`" + `;
powers of 1024); only 0 needs none. true and false are the only booleans; a bare ` + "`yes`, `no`, `on` or `off`" + `
is refused, since other readers of YAML take it for one. Anchors, aliases and tags are not used. A key that is
unknown, twice there, or has no effect where it stands is an error.

**Which node is this?** The one named by ` + "`--node`, or `STACK_NODE`" + `; else the one with this host's name; else the one that has an
address of this host.

**Without nodes** the sections ` + "`lb`, `web` and `db`" + ` that the file has run alone on this server. ` + "`--role`, or `STACK_ROLE`" + `, runs only
some of a node's roles: ` + "`--role=web,db`" + `.
`

// Reference is the page of all keys, in Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(referenceIntro)
	for _, f := range fieldsOf(reflect.TypeFor[Config]()) {
		fmt.Fprintf(&b, "\n## %s\n\n%s%s\n", f.key, f.doc, shortForm(f))
		if isScalar(f.typ) {
			continue
		}
		b.WriteString("\n| Key | Value | Default | Meaning |\n| --- | --- | --- | --- |\n")
		t, _ := structOf(f.typ)
		v := reflect.New(t).Elem()
		setDefaults(v)
		writeRows(&b, f.key+listMark(f.typ), v)
		if f.key == "nodes" {
			fmt.Fprintf(&b, "| `nodes[].set` | keys | | %s |\n", setDoc)
			b.WriteString(derivedDoc)
		}
	}
	return []byte(b.String())
}

// listMark shows in a key that it is inside a list.
func listMark(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		return "[]"
	}
	return ""
}

const derivedDoc = `
### What follows from the nodes

- A balancer has the frontends ` + "`http`" + ` on port 80, which redirects to https, ` + "`https`" + ` on 443, which serves the
  pool ` + "`web`" + `, and ` + "`mysql`" + ` on 3306, which serves the pool ` + "`mysql-primary`" + `; where several nodes are databases also
  ` + "`mysql-read`" + ` on 3307, which serves the pool ` + "`mysql-replicas`" + `. They listen on the virtual
  addresses and the balancer's own; ` + "`mysql`" + ` not on the own address of a node that is a database too. A frontend or
  pool written under one of these names is laid over it; ` + "`lb.derived: false`" + ` leaves them all out. Those for the
  web exist if a node has the role web, those for MySQL if one has the role db.
- The pool ` + "`web`" + ` has the nodes of the role web, with their weights, on the first plain address of their
  ` + "`web.bind`" + `, and checks ` + "`web.health_path`" + ` over HTTP. Pools written out are checked by opening a connection,
  unless they say otherwise.
- The pools ` + "`mysql-primary`" + ` and ` + "`mysql-replicas`" + ` have all nodes of the role db. Where there are several they are
  asked for their roles; a single one is checked by opening a connection. A check whose type is written
  for one of these pools takes the place of that, and ` + "`mysql-primary`" + ` then has the first of them only. Their
  ` + "`timeouts.tunnel`" + ` is 30d, unless ` + "`lb.timeouts.tunnel`" + ` is written: sessions that are idle are ended by the server's wait_timeout.
- A web server listens on port 8080 of its node's address behind a balancer; without one, or with ` + "`web.public`" + `,
  on :80 and :443. It believes the forwarding fields of exactly the balancers.
- A database listens on port 3306 of its node's address.
- Two listeners of one node on the same address and port are refused, and so is one address for two nodes.
`

func shortForm(f field) string {
	if f.short == "" {
		return ""
	}
	return " Short form: " + f.short + "."
}

// writeRows lists the keys of the struct v, which holds its defaults, and of the
// structs inside it.
func writeRows(b *strings.Builder, prefix string, v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		key := join(prefix, f.key)
		def := ""
		if f.hasDef {
			def = "`" + showDefault(v.Field(f.index), &f) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s%s |\n", key, valueText(f), def, f.doc, shortForm(f))
		inner, isStruct := structOf(f.typ)
		switch {
		case !isStruct:
		case f.typ.Kind() == reflect.Struct:
			writeRows(b, key, v.Field(f.index)) // its parent may have defaults of its own for it
		case inner == reflect.TypeFor[Timeouts]():
			// The same keys as the role's own.
		default:
			d := reflect.New(inner).Elem()
			setDefaults(d)
			writeRows(b, key+listMark(f.typ), d)
		}
	}
}

// structOf is the struct that t is, points to or lists.
func structOf(t reflect.Type) (reflect.Type, bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct && !isScalar(t)
}

func showDefault(v reflect.Value, f *field) string {
	if v.Kind() != reflect.Slice {
		return formatScalar(v, f)
	}
	var items []string
	for i := range v.Len() {
		items = append(items, formatScalar(v.Index(i), f))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// valueText says what may stand there.
func valueText(f field) string {
	t := f.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		f.typ = t.Elem()
		if isScalar(f.typ) {
			return "list: " + valueText(f)
		}
		return "list of keys"
	}
	bounds := ""
	if f.min != "" || f.max != "" {
		low := f.min
		if low == "" {
			low = "0"
		}
		bounds = ", " + low + " to " + f.max
	}
	switch reflect.Zero(t).Interface().(type) {
	case time.Duration:
		return "duration" + bounds
	case netip.Addr:
		return "IP address"
	case netip.Prefix:
		return "network"
	case Listen:
		return "address with port"
	}
	switch {
	case t.Kind() == reflect.Struct:
		return "keys"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case len(f.enum) > 0:
		return strings.Join(f.enum, ", ")
	case t.Kind() == reflect.String:
		return "text"
	case f.bytes:
		return "size" + bounds
	}
	return "number" + bounds
}
