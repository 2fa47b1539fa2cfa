package lb

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// letIn opens a connection and says whether a request on it is answered.
func letIn(t *testing.T, addr string) bool {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	b, err := bufio.NewReader(c).Peek(12)
	return err == nil && string(b) == "HTTP/1.1 200"
}

// The bounds of the file reach the frontends, over all addresses of each, also by a
// reload; refusals are counted by reason and logged with the key to change.
func TestBoundsOfConnections(t *testing.T) {
	a, b, c := freePort(t), freePort(t), freePort(t)
	web := at("a", serve(t, named("hi")))
	cfg := config.LB{Frontends: []config.Frontend{
		{Name: "small", Mode: "http", Bind: append(listen(a), listen(b)...), Backend: "web", Connections: 3},
		{Name: "large", Mode: "http", Bind: listen(c), Backend: "web"},
	}, Backends: []config.Backend{backend("web", web)}}
	r := start(t, cfg)
	for i, addr := range []string{a.String(), b.String(), a.String(), b.String(), a.String()} {
		if in := letIn(t, addr); in != (i < 3) {
			t.Errorf("connection %d of the small frontend let in: %v", i+1, in)
		}
	}
	for range 3 {
		if !letIn(t, c.String()) {
			t.Error("the other frontend refuses too")
		}
	}
	refused := func(frontend, reason string) float64 {
		return r.metric("stack_lb_frontend_connections_refused_total", "frontend", frontend, "reason", reason)
	}
	if n := refused("small", "frontend"); n != 2 {
		t.Errorf("%v refusals are counted", n)
	}
	eventually(t, "the refusal is logged", func() bool { return strings.Contains(r.logs.String(), "connections of the frontend") })

	n := *r.node
	lb := *n.LB
	lb.Limits.ConnectionsPerSource, lb.Limits.Memory = 7, 1<<30
	n.LB = &lb
	r.reload(&n)
	if !letIn(t, c.String()) {
		t.Error("the seventh connection was refused")
	}
	if letIn(t, c.String()) {
		t.Error("the eighth connection was let in")
	}
	if n := refused("large", "source"); n != 1 {
		t.Errorf("%v refusals are counted", n)
	}
	eventually(t, "the refusal is logged", func() bool { return strings.Contains(r.logs.String(), "lb.limits.connections_per_source") })
	if limit := r.metric("stack_lb_memory_limit_bytes"); limit != 1<<30 {
		t.Errorf("the bound of memory is shown as %v", limit)
	}
}
