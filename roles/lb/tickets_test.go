package lb

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// A session begun at one balancer goes on at another that shares the site's secrets, and
// not at one that does not.
func TestSessionsGoOnAtTheOtherBalancer(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue("front.test", time.Now())
	origin := serve(t, named("origin"))
	balancer := func(secrets config.TLS) string {
		addr := freePort(t)
		startOn(t, func(n *config.Node) { n.TLS = secrets }, config.LB{
			Frontends: []config.Frontend{{Name: "https", Mode: "http", Bind: listen(addr), Backend: "web", TLS: &config.BindTLS{Certificates: []config.CertFile{{Cert: cert, Key: cert}}}}},
			Backends:  []config.Backend{backend("web", at("a", origin))}})
		return addr.String()
	}
	shared, own := withSecrets(t, node(config.LB{})).TLS, withSecrets(t, node(config.LB{})).TLS
	first, second, stranger := balancer(shared), balancer(shared), balancer(own)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		session := filepath.Join(t.TempDir(), "session")
		for _, step := range []struct {
			at, option, want string
		}{{first, "-sess_out", "New, TLSv1"}, {first, "-sess_in", "Reused, TLSv1"}, {second, "-sess_in", "Reused, TLSv1"}, {stranger, "-sess_in", "New, TLSv1"}} {
			got := sClient(t, step.at, version, "-CAfile", ca.file(), step.option, session)
			if !strings.Contains(got, step.want) || !strings.Contains(got, "origin") {
				t.Errorf("%s %s at %s: %s", version, step.option, step.at, got)
			}
		}
	}
}
