package vip

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"stack/appliance/supervise"
)

// commandInProcess sends a request to a role's control handler and prints the answer.
func commandInProcess(role supervise.Role, method, rest string) {
	path, body, _ := strings.Cut(rest, " ")
	w := httptest.NewRecorder()
	role.Control().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	fmt.Fprintf(os.Stderr, "%s %s: %d %s\n", method, path, w.Code, w.Body)
}

func TestReleaseAndForce(t *testing.T) {
	n := newNetwork(t)
	const vip = "10.9.0.10"
	a, b := n.stack("a", nil), n.stack("b", nil)
	n.await(vip, "a", 20*time.Second)
	waitOutput(t, b, "virtual address backup")

	fmt.Fprintln(a.stdin, `POST /v1/net/vips/www/release {"for": "1h"}`)
	n.await(vip, "b", time.Second)
	waitOutput(t, a, `"state":"fault","reason":"released"`)
	fmt.Fprintln(a.stdin, "GET /v1/net/vips")
	waitOutput(t, a, `GET /v1/net/vips: 200 [{"name":"www"`)
	fmt.Fprintln(a.stdin, "POST /v1/net/vips/www/force")
	n.await(vip, "a", time.Second)
	waitOutput(t, a, "www/force: 200")

	for request, want := range map[string]string{
		`POST /v1/net/vips/wwww/force`:                          `404 {"error":"there is no group \"wwww\"; there are www"}`,
		`POST /v1/net/vips/www/drop`:                            `404 {"error":"a group cannot be set to \"drop\"; use release or force"}`,
		`POST /v1/net/vips/www/release {"for": "1ms"}`:          `400 {"error":"the time must be a duration from 1s to 24h0m0s`,
		`POST /v1/net/vips/www/release {"for": "1h", "more":1}`: `400 {"error":"the time must be`,
		`POST /v1/net/vips/www/release 1h`:                      `400 {"error":"the time must be`,
	} {
		before := len(a.out.String())
		fmt.Fprintln(a.stdin, request)
		for end := time.Now().Add(5 * time.Second); !strings.Contains(a.out.String()[before:], want); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %s, not %s", request, a.out.String()[before:], want)
			}
		}
	}
	if !n.holds("a", vip) {
		t.Error("a refused command moved the address")
	}
}

func TestChoose(t *testing.T) {
	one, two := []View{{Name: "www"}}, []View{{Name: "www"}, {Name: "db"}}
	for _, c := range []struct {
		views []View
		args  []string
		want  string
	}{
		{one, nil, "www"},
		{two, nil, "name a group; there are www, db"},
		{two, []string{"db"}, "db"},
		{two, []string{"dbs"}, `there is no group "dbs"; there are www, db`},
	} {
		got, err := Choose(c.views, c.args)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v of %v: %s, not %s", c.args, c.views, got, c.want)
		}
	}
}

func TestWriteTable(t *testing.T) {
	now := time.Unix(1000, 0)
	var b strings.Builder
	err := WriteTable(&b, []View{{Name: "www", State: "master", Reason: "no advert from a master", Priority: 254, VRID: 51, Interface: "eth0",
		Addresses: []string{"10.0.0.10", "fd00::10"}, Since: 955}}, now)
	want := `GROUP  STATE   SINCE  PRIORITY  VRID  INTERFACE  ADDRESSES           REASON
www    master  45s    254       51    eth0       10.0.0.10 fd00::10  no advert from a master
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}
