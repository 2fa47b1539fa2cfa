package supervise

import (
	"net/http"
	"net/http/httputil"
	"testing"
)

// A command of a role takes as long as it takes: a backup of a large database, hours.
func TestCommandsOfARoleHaveNoTimeout(t *testing.T) {
	n := &Node{slots: []*slot{{spec: &Spec{Name: "db"}}}}
	transport := n.Role("db").(*httputil.ReverseProxy).Transport.(*http.Transport)
	if d := transport.ResponseHeaderTimeout; d != 0 {
		t.Errorf("a command of a role is given up after %v", d)
	}
}
