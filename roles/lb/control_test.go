package lb

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"stack/appliance/config"
	"stack/roles/internal/upstream"
)

func freePortNumber(p uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p)
}

func (b *bench) control(method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	b.role.Control().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestControl(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, named("a"))), at("b", serve(t, named("b"))))
	b := start(t, lb)
	url := "http://" + addr.String()
	four := func() (got string) {
		for range 4 {
			_, body := get(t, url)
			got += body
		}
		return got
	}
	for _, action := range []string{"drain", "maint"} {
		if code, body := b.control("POST", "/v1/lb/servers/web/a/"+action, ""); code != 200 || !strings.Contains(body, `"admin":"`+action+`"`) {
			t.Fatalf("%s: %d %s", action, code, body)
		}
		if got := four(); got != "bbbb" {
			t.Errorf("%s: went to %s", action, got)
		}
		if code, _ := b.control("POST", "/v1/lb/servers/web/a/ready", ""); code != 200 {
			t.Fatal(code)
		}
		if got := four(); strings.Count(got, "a") != 2 {
			t.Errorf("ready: went to %s", got)
		}
	}
	if code, body := b.control("POST", "/v1/lb/servers/web/a/weight", `{"weight": 3}`); code != 200 {
		t.Fatal(body)
	}
	if got := four(); strings.Count(got, "a") != 3 {
		t.Errorf("weight 3: went to %s", got)
	}
	code, body := b.control("GET", "/v1/lb/backends", "")
	var pools []upstream.PoolView
	if err := json.Unmarshal([]byte(body), &pools); err != nil || code != 200 || len(pools) != 1 || len(pools[0].Servers) != 2 || pools[0].Servers[0].Weight != 3 {
		t.Errorf("%d %v %s", code, err, body)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"POST", "/v1/lb/servers/nope/a/drain", "", 404, `there is no backend \"nope\"; there are web`},
		{"POST", "/v1/lb/servers/web/nope/drain", "", 404, `backend web has no server \"nope\"; it has a, b`},
		{"POST", "/v1/lb/servers/web/a/kill", "", 404, `a server cannot be set to \"kill\"; use ready, drain, maint or weight`},
		{"POST", "/v1/lb/servers/web/a/weight", `{"weight": 257}`, 400, `the weight must be a whole number from 0 to 256`},
		{"POST", "/v1/lb/servers/web/a/weight", `{}`, 400, `the weight must be`},
		{"POST", "/v1/lb/servers/web/a/weight", `{"weight": 1.5}`, 400, `the weight must be`},
		{"GET", "/v1/lb/servers/web/a/drain", "", http.StatusMethodNotAllowed, ""},
	} {
		if code, body := b.control(c.method, c.path, c.body); code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, code, body)
		}
	}
}

func TestStatus(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, named("a"))), config.Server{Name: "off", Address: "127.0.0.1:9", Weight: 0})
	lb.Backends = append(lb.Backends, backend("empty", config.Server{Name: "z", Address: "127.0.0.1:9", Weight: 0}))
	lb.Frontends[0].Backend = ""
	lb.Frontends[0].Routes = []config.Route{{Match: config.Match{Path: "/e"}, Backend: "empty"}, {Backend: "web"}}
	b := start(t, lb)
	get(t, "http://"+addr.String())
	eventually(t, "the connection has ended", func() bool { return b.metric("stack_lb_frontend_connections") == 0 })
	st := b.role.Status()
	if !st.Ready || st.Text != "3 of 3 servers up, 0 connections; no server for empty" || !slices.Equal(st.Impaired, []string{"backend empty"}) {
		t.Errorf("%+v", st)
	}
	d := st.Detail.(*Detail)
	if !d.Usable || len(d.Frontends) != 1 || d.Frontends[0].Requests != 1 || d.Frontends[0].Addresses[0] != addr.String() || len(d.Backends) != 2 {
		t.Errorf("%+v", d)
	}
	if err := b.role.Alive(); err != nil {
		t.Error(err)
	}
	if _, err := json.Marshal(st); err != nil {
		t.Error(err)
	}
}

func TestBeforeTheStart(t *testing.T) {
	r, reg := newRole(t, &lockedBuffer{})
	if st := r.Status(); st.Ready || st.Text != "starting" {
		t.Errorf("%+v", st)
	}
	if err := r.Alive(); err != nil {
		t.Error(err)
	}
	if m, err := reg.Gather(); err != nil || len(m) != 0 {
		t.Errorf("%v %v", m, err)
	}
	w := httptest.NewRecorder()
	r.Control().ServeHTTP(w, httptest.NewRequest("GET", "/v1/lb/backends", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Error(w.Code)
	}
}

func TestProbe(t *testing.T) {
	lb, _ := simple(t, at("a", "127.0.0.1:9"))
	if err := Probe(node(lb)); err != nil {
		t.Error(err)
	}
	lb.AccessLog = config.AccessLog{Enabled: true, Path: "/nonexistent/dir/log"}
	if err := Probe(node(lb)); err == nil || !strings.Contains(err.Error(), "lb: access_log.path: cannot open /nonexistent/dir/log") {
		t.Error(err)
	}
	lb.AccessLog = config.AccessLog{}
	lb.Frontends[0].TLS = &config.BindTLS{Certificates: []config.CertFile{{Cert: "/nonexistent/c", Key: "/nonexistent/k"}}}
	if err := Probe(node(lb)); err == nil || !strings.Contains(err.Error(), "lb: frontend http: tls: ") {
		t.Error(err)
	}
}
