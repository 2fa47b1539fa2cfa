package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, in string
		good     bool
		again    string
		want     []string
	}{
		{"pass and skip", `{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:3: needs root\n"}
{"Action":"skip","Package":"p","Test":"A"}
{"Action":"pass","Package":"p","Test":"B"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}`, true, "", []string{"ok  \tp\t0.1s", "1 × needs root", "1 passed, 0 failed, 1 skipped"}},
		{"fail", `{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:3: got 1\n"}
{"Action":"fail","Package":"p","Test":"A/one"}
{"Action":"fail","Package":"p","Test":"A"}
{"Action":"pass","Package":"p","Test":"B"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}`, false, "p A\n", []string{"got 1", "1 passed, 3 failed"}},
		{"fail behind the tests", `{"Action":"fail","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}
{"Action":"pass","Package":"q","Test":"B"}
{"Action":"output","Package":"q","Output":"goroutines leak\n"}
{"Action":"fail","Package":"q"}`, false, "", []string{"goroutines leak"}},
		{"panic", `{"Action":"output","Package":"p","Test":"A","Output":"panic: test timed out after 1s\n"}
{"Action":"fail","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}`, false, "", []string{"timed out"}},
		{"data race", `{"Action":"output","Package":"p","Test":"A","Output":"WARNING: DATA RACE\n"}
{"Action":"fail","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}`, false, "", []string{"DATA RACE"}},
		{"build", `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: no\n"}
{"Action":"build-fail","ImportPath":"p"}`, false, "", []string{"x.go:1: no"}},
		{"nothing", "go: no such package", false, "", []string{"go: no such package", "0 passed"}},
	} {
		var out strings.Builder
		r := &report{out: &out, said: make(map[string]*strings.Builder), reasons: make(map[string]int)}
		if got := r.read(strings.NewReader(c.in)); got != c.good {
			t.Errorf("%s: good is %v", c.name, got)
		}
		if got := r.again(); got != c.again {
			t.Errorf("%s: to run again are %q, want %q", c.name, got, c.again)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, out.String())
			}
		}
	}
}
