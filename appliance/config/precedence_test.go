package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// valuesOf returns three different good values of a key, or fewer where the key
// has fewer.
func valuesOf(t *testing.T, k Key) []string {
	t.Helper()
	f, typ := k.f, k.f.typ
	if k.list {
		typ = typ.Elem()
	}
	var out []string
	switch {
	case len(f.enum) > 0:
		out = append(append(out, f.enum...), f.enum...)
	case typ == durationType:
		out = []string{"11s", "12s", "13s"}
	case typ == addrType:
		out = []string{"10.0.0.1", "10.0.0.2", "fd00::3"}
	case typ == prefixType:
		out = []string{"10.1.0.0/16", "10.2.0.0/16", "fd00::/64"}
	case typ == listenType:
		out = []string{":81", "10.0.0.2:82", "[fd00::1]:83"}
	case typ.Kind() == reflect.Bool:
		out = []string{"false", "true", "false"}
	case typ.Kind() == reflect.String:
		out = []string{"/a", "/b", "/c"}
	case f.bytes:
		out = []string{"128MiB", "129MiB", "130MiB"}
		if f.max == "1MiB" || f.max == "16MiB" {
			out = []string{"8KiB", "9KiB", "10KiB"}
		}
	default:
		out = []string{"11", "12", "13"}
	}
	return []string{out[0], out[min(1, len(out)-1)], out[min(2, len(out)-1)]}
}

// field of the decoded config by the path of its key.
func valueAt(c *Config, path string) reflect.Value {
	v := reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		for _, f := range fieldsOf(v.Type()) {
			if f.key == part {
				v = v.Field(f.index)
				break
			}
		}
	}
	return v
}

func TestEveryKeyFileEnvironmentFlag(t *testing.T) {
	keys := Keys()
	if len(keys) < 60 {
		t.Fatalf("only %d keys", len(keys))
	}
	names := map[string]string{}
	for _, k := range keys {
		if other := names[k.Env]; other != "" {
			t.Errorf("%s is the variable of %s and %s", k.Env, other, k.Path)
		}
		names[k.Env] = k.Path
		values := valuesOf(t, k)
		var p problems
		file := k.tree("file", values[0])
		flags := Flags()
		check := func(environ []string, want, source string) {
			t.Helper()
			c, places := decode(merge(file, overlay(environ, flags, &p)), &p)
			wanted, _ := decode(k.tree("wanted", want), &problems{})
			if got, w := valueAt(c, k.Path), valueAt(wanted, k.Path); !reflect.DeepEqual(got.Interface(), w.Interface()) {
				t.Errorf("%s: got %v, want %v from %s", k.Path, got, w, source)
			}
			if places[k.Path].file != source {
				t.Errorf("%s comes from %s, want %s", k.Path, places[k.Path].file, source)
			}
		}
		check(nil, values[0], "file")
		check([]string{k.Env + "="}, values[0], "file")
		environ := []string{"PATH=/bin", k.Env + "=" + values[1]}
		check(environ, values[1], "environment "+k.Env)
		if err := flags.Parse([]string{"--" + k.Path + "=" + values[2]}); err != nil {
			t.Fatal(err)
		}
		check(environ, values[2], "flag --"+k.Path)
		if len(p.list) > 0 {
			t.Errorf("%s: %v", k.Path, p.err(nil))
		}
	}
}

func TestMergeOrder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("stack.yaml", `site: www.example.com
nodes:
  - {name: web1, roles: [web], address: 10.0.0.21, set: {web: {limits: {headers: 33}, loops: 5}}}
  - {name: web2, roles: [web], address: 10.0.0.22}
web:
  loops: 2
  limits: {headers: 30, connections: 30, head_bytes: 30KiB}
  sites: [{root: /srv/www}]
`)
	write("conf.d/20-b.yaml", "web: {limits: {connections: 32}}\n")
	write("conf.d/10-a.yaml", "web: {limits: {headers: 31, connections: 31}, trusted_proxies: [10.9.9.9]}\n")
	write("conf.d/30-c.yaml", "nodes: [{name: web2, weight: 9}]\n")
	write("conf.d/40-d.yml", "not: read\n")
	write("conf.d/.hidden.yaml", "not: read\n")
	flags := Flags()
	if err := flags.Parse([]string{"--web.limits.head_bytes=35KiB"}); err != nil {
		t.Fatal(err)
	}
	o := nowhere(Options{File: filepath.Join(dir, "stack.yaml"), Flags: flags,
		Environ: []string{"STACK_WEB_LOOPS=6", "STACK_WEB_LIMITS_HEAD_BYTES=34KiB", "STACK_NODE=web1", "STACK_ROLE=web", "STACK_INTERNAL_GENERATION=3"}})
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Resolve("")
	if err != nil {
		t.Fatal(err)
	}
	if n.Name != "web1" || n.Web.Loops != 6 || n.Web.Limits.Headers != 33 || n.Web.Limits.Connections != 32 || n.Web.Limits.HeadBytes != 35<<10 {
		t.Errorf("%s: loops %d, limits %+v", n.Name, n.Web.Loops, n.Web.Limits)
	}
	if n.Members[1].Weight != 9 {
		t.Errorf("conf.d did not merge into the list of nodes: %+v", n.Members)
	}
	all, err := c.ResolveAll()
	if err != nil {
		t.Fatal(err)
	}
	// The environment and flags of web1 are no business of web2.
	if w := all[1].Web; w.Loops != 2 || w.Limits.Headers != 31 || w.Limits.HeadBytes != 30<<10 {
		t.Errorf("web2: loops %d, limits %+v", w.Loops, w.Limits)
	}
	if all[0].Fingerprint != all[1].Fingerprint || len(n.Fingerprint) != 16 {
		t.Error("fingerprints differ")
	}
}

func TestOverlayErrors(t *testing.T) {
	text := []byte("web: {sites: [{root: /srv}]}\n")
	flags := Flags()
	if err := flags.Parse([]string{"--web.timeouts.idle=5", "--web.bind=:80,81"}); err != nil {
		t.Fatal(err)
	}
	_, err := Load(nowhere(Options{File: "f", Text: text, Flags: flags, Environ: []string{"STACK_WEB_LOOPS=x", "STACK_WEB_LOPS=1", "STACK_FIREWALL_ADMIN_FROM=10.0.0.0/8,home"}}))
	want := `environment: STACK_WEB_LOPS: unknown variable; nearest is "STACK_WEB_LOOPS"; variables that begin with STACK_ are keys of the config
environment STACK_WEB_LOOPS: web.loops: "x" is not a whole number, allowed is 0 to 256
flag --web.bind: web.bind[1]: "81" is a port without an address, written as "10.0.0.11:80", "[fd00::11]:80" or ":80"; nearest is ":81"
flag --web.timeouts.idle: web.timeouts.idle: "5" needs a unit (ms, s, m, h, d or y); nearest is "5s"
environment STACK_FIREWALL_ADMIN_FROM: firewall.admin_from[1]: "home" is not a network such as 192.0.2.0/24 or fd00::/64, nor an address`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestFingerprint(t *testing.T) {
	load := func(text string) string {
		t.Helper()
		c, err := Load(nowhere(Options{File: "f", Text: []byte(text), Environ: []string{"STACK_WEB_LOOPS=3"}}))
		if err != nil {
			t.Fatal(err)
		}
		return c.Fingerprint()
	}
	a := load("web: {loops: 1, sites: [{root: /srv, hosts: [a.example, b.example]}]}\n")
	if b := load("# a comment\nweb:\n  sites:\n    - hosts: [\"a.example\", b.example]\n      root: '/srv'\n  loops: 1\n"); b != a {
		t.Error("layout changes the fingerprint")
	}
	for _, other := range []string{
		"web: {loops: 2, sites: [{root: /srv, hosts: [a.example, b.example]}]}\n",
		"web: {loops: 1, sites: [{root: /srv, hosts: [b.example, a.example]}]}\n",
	} {
		if load(other) == a {
			t.Errorf("the same fingerprint for %s", other)
		}
	}
}
