package config

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "accept what the code gives as the expected text")

// golden compares got with the file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s (accept with -rewrite)\n--- got\n%s--- want\n%s", file, got, want)
	}
}

// nowhere is a machine that is none of the nodes, with four CPUs.
func nowhere(o Options) Options {
	o.CPUs = 4
	o.Hostname = func() (string, error) { return "elsewhere.example.net", nil }
	o.Addrs = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("203.0.113.9")}, nil }
	return o
}

func cases(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/%s: %v", dir, err)
	}
	return files
}

func TestGood(t *testing.T) {
	for _, file := range cases(t, "good") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(nowhere(Options{File: file, ConfDir: "-"}))
			if err != nil {
				t.Fatal(err)
			}
			nodes, err := c.ResolveAll()
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, n := range nodes {
				describeNode(&b, n)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", b.String())
		})
	}
}

func TestBad(t *testing.T) {
	for _, file := range cases(t, "bad") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Load(nowhere(Options{File: filepath.Base(file), Text: text}))
			if err == nil {
				t.Fatal("accepted")
			}
			if c != nil {
				t.Error("a config beside the error")
			}
			var list Errors
			if !errors.As(err, &list) {
				t.Errorf("%T is not Errors", err)
			}
			for _, e := range list {
				if e.File == "" || e.Line == 0 || e.Column == 0 {
					t.Errorf("no place: %v", e)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", err.Error()+"\n")
		})
	}
}

// describeNode writes what matters of a node, a line per thing.
func describeNode(b *strings.Builder, n *Node) {
	p := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	p("node %s %v address %v hosts %v", n.Name, n.Roles, n.Address, n.Hosts)
	for _, x := range n.Binds {
		extra := ""
		if x.Freebind {
			extra = " freebind"
		}
		p("  bind %s/%s %v group %d%s", x.Role, x.Owner, x.Addr, x.Group, extra)
	}
	for _, x := range n.VIP {
		p("  vip %s %v interface %q vrid %d prefer %s advert %v preempt %v %s", x.Name, x.Addresses, x.Interface, x.VRID, x.Prefer, x.Advert, x.Preempt, x.Transport)
	}
	if n.LB != nil {
		describeLB(p, n.LB)
	}
	if w := n.Web; w != nil {
		p("  web trusts %v health %s body %s tls %s", w.TrustedProxies, w.HealthPath, FormatSize(w.Limits.BodyBytes), bindTLS(w.TLS))
		if w.ProxyFrom != nil {
			p("    proxy from %v", w.ProxyFrom)
		}
		for _, s := range w.Sites {
			p("    site %v root %s index %v try %v app %q", s.Hosts, s.Root, s.Index, s.TryFiles, s.App)
			for _, l := range s.Locations {
				p("      location exact %q path %q regex %q final %v", l.Exact, l.Path, l.Regex, l.Final)
				if l.Expires != nil {
					p("        expires %s", FormatDuration(*l.Expires))
				}
				if l.Proxy != nil {
					p("        proxy %+v timeouts %+v", l.Proxy.Servers, *l.Proxy.Timeouts)
				}
				if l.FastCGI != nil {
					p("        fastcgi %+v", *l.FastCGI)
				}
				if l.Status != 0 {
					p("        status %d", l.Status)
				}
			}
		}
	}
	if d := n.DB; d != nil {
		p("  db %s data %s memory %s databases %v users %v tls %s proxy from %v", d.Role, d.DataDir, FormatSize(d.Memory), d.Databases, d.Users, bindTLS(d.TLS), d.ProxyFrom)
	}
	p("  admin %s", n.Admin.Socket)
}

func describeLB(p func(string, ...any), lb *LB) {
	for _, f := range lb.Frontends {
		tls := "plain"
		if f.TLS != nil {
			tls = "tls " + bindTLS(f.TLS)
		}
		to := "to " + f.Backend
		if f.RedirectHTTPS {
			to = fmt.Sprintf("redirect to https port %d", f.HTTPSPort)
		}
		p("  frontend %s %s %v %s %s", f.Name, f.Mode, f.HTTP, tls, to)
		if f.ProxyFrom != nil {
			p("    proxy from %v", f.ProxyFrom)
		}
		for _, r := range f.Routes {
			p("    route %+v to %s", r.Match, r.Backend)
		}
	}
	for _, x := range lb.Backends {
		p("  backend %s %s %s %s check %+v", x.Name, x.Mode, x.HTTP, x.Algorithm, x.Check)
		p("    timeouts %+v retries %+v", *x.Timeouts, x.Retries)
		if t := x.TLS; t != nil {
			own := "none"
			if t.Certificate != nil {
				own = fmt.Sprintf("%+v", *t.Certificate)
			}
			p("    tls ca %q name %q verify %v at least %s certificate %s", t.CAFile, t.ServerName, t.Verify, t.MinVersion, own)
		}
		if x.SendProxy != "" {
			p("    send proxy %s %v", x.SendProxy, x.SendProxyOptions)
		}
		for _, s := range x.Servers {
			p("    server %+v", s)
		}
	}
}

func bindTLS(t *BindTLS) string {
	text := fmt.Sprintf("{Auto:%v Certificates:%+v}", t.Auto, t.Certificates)
	if t.Client != nil {
		text += fmt.Sprintf(" clients %+v", *t.Client)
	}
	return text
}

func TestWarnings(t *testing.T) {
	c, err := Load(nowhere(Options{File: "testdata/good/lb-tls.yaml", ConfDir: "-"}))
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Resolve("")
	if err != nil {
		t.Fatal(err)
	}
	if w := n.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "lb.backends[any].tls.verify: false takes any certificate") {
		t.Errorf("%q", w)
	}
}
