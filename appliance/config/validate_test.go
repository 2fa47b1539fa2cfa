package config

import "testing"

func TestCovers(t *testing.T) {
	prefix := func(p string) Match { return Match{PathPrefix: p} }
	for _, c := range []struct {
		a, b Match
		want bool
	}{
		{Match{}, Match{Host: "x", Path: "/y", Methods: []string{"GET"}}, true},
		{Match{Host: "x"}, Match{}, false},
		{Match{Host: "*.x"}, Match{Host: "a.b.x"}, true},
		{Match{Host: "*.x"}, Match{Host: "*.b.x"}, true},
		{Match{Host: "*.b.x"}, Match{Host: "*.x"}, false},
		{Match{Host: "*.x"}, Match{Host: "x"}, false},
		{Match{Host: "*.x"}, Match{Host: "ax"}, false},
		{prefix("/"), Match{}, true},
		{prefix("/"), prefix("/a"), true},
		{prefix("/api"), prefix("/api/"), true},
		{prefix("/api/"), prefix("/api"), true},
		{prefix("/api"), prefix("/apix"), false},
		{prefix("/api/"), Match{Path: "/api"}, true},
		{prefix("/api/"), Match{Path: "/api/x"}, true},
		{prefix("/api/x"), prefix("/api"), false},
		{prefix("/api"), Match{}, false},
		{Match{Path: "/a"}, prefix("/a"), false},
		{Match{Methods: []string{"GET", "HEAD"}}, Match{Methods: []string{"GET"}}, true},
		{Match{Methods: []string{"GET"}}, Match{Methods: []string{"GET", "HEAD"}}, false},
		{Match{Methods: []string{"GET"}}, Match{}, false},
	} {
		if got := covers(c.a, c.b); got != c.want {
			t.Errorf("%+v covers %+v: %v", c.a, c.b, got)
		}
	}
}
