package lb

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"stack/roles/internal/slowtest"
)

// slowTimes gives the balancer the default limits, and time-outs short enough to be seen.
func slowTimes(b *bench) {
	n := *b.node
	lb := *n.LB
	lb.Timeouts.RequestHead, lb.Timeouts.Body = slowtest.TimeOut, slowtest.TimeOut
	lb.Limits.BufferBytes, lb.Limits.ConnectionsPerSource, lb.Limits.Memory, lb.Limits.MinRate = 256<<10, 16384, 1<<30, 100
	n.LB = &lb
	b.reload(&n)
}

// Four thousand slow clients leave the others unharmed, and do not stay.
func TestSlowClientsHarmNobody(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/big" {
			w.Write(big)
			return
		}
		io.WriteString(w, "hi")
	})
	cfg, front := simple(t, at("a", addr))
	b := start(t, cfg)
	slowTimes(b)
	url := "http://" + front.String()
	for _, a := range slowtest.Attacks() {
		t.Run(a.Name, func(t *testing.T) {
			slowtest.Run(t, slowtest.Target{
				URL: url + "/big", Probe: url + "/", Want: "hi",
				Open:     func() int { return int(b.metric("stack_lb_frontend_connections")) },
				Accepted: func() uint64 { return uint64(b.metric("stack_lb_frontend_connections_total")) },
			}, a)
		})
	}
}
