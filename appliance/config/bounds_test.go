package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestBounds: what is larger than any site ends with one sentence, not with hours.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"file":   {strings.Repeat("#\n", maxFileBytes), "the file has more than 1024 KiB"},
		"values": {"web: {trusted_proxies: [" + strings.Repeat("1,", maxNodes) + "1]}\n", "more than 100000 values"},
		"items":  {"web: {sites: [{root: /srv}], trusted_proxies: [" + strings.Repeat("10.0.0.1,", 4096) + "10.0.0.1]}\n", "4097 items, at most 4096"},
		"depth":  {"web: " + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "\n", "nested more than 24 deep"},
		"NUL":    {"web: \x00\n", "holds a NUL byte"},
		"errors": {"web: {sites: [" + strings.Repeat("{x: 1},", 1000) + "{}]}\n", "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(nowhere(Options{File: "f", Text: []byte(c.text)}))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%.300v", err)
			}
			if list := err.(Errors); len(list) > maxErrors {
				t.Errorf("%d errors", len(list))
			}
		})
	}
}

// TestLargeSite: 256 nodes are checked against each other.
func TestLargeSite(t *testing.T) {
	var b strings.Builder
	b.WriteString("site: a.example\nnodes:\n")
	for i := range 256 {
		fmt.Fprintf(&b, "  - {name: n%d, roles: [%s], address: 10.0.%d.%d}\n", i, map[bool]string{true: "lb", false: "web"}[i < 8], i/128, i%128+1)
	}
	b.WriteString("web: {sites: [{root: /srv}]}\n")
	c, err := Load(nowhere(Options{File: "f", Text: []byte(b.String())}))
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Resolve("n7")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(n.LB.Backends[0].Servers); got != 248 {
		t.Errorf("%d servers", got)
	}
}
