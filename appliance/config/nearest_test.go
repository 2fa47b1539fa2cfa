package config

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"roundrobin", "leastconn", "web", "db", "timeouts", "request_head", "read_timeout"}
	for word, want := range map[string]string{
		"round-robin": "roundrobin", "RoundRobin": "roundrobin", "wbe": "web", "d": "db", "timeout": "timeouts",
		"request-head": "request_head", "least_conn": "leastconn", "elephant": "", "": "", "xyz": "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"web", "wbe", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q is %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("%q to %q is %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
