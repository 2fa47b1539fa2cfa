package exchange

import (
	"testing"
)

// Streams of one connection share it: twenty downloads go on side by side.
func TestHTTP2StreamsShareTheirConnection(t *testing.T) {
	for name, p := range map[string]*Pass{"h1": passTo(t, endless(t)), "h2": pass2(t, endless2(t))} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, &Frontend{HTTP2: true, Limits: defaultLimits(), Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
			e := dial2(t, r.addr)
			const streams = 20
			got := map[uint32]*reply2{}
			for i := range uint32(streams) {
				e.ask(1+2*i, "GET", "/", true)
				got[1+2*i] = &reply2{}
			}
			least, most := 0, 0
			e.readInto(got, func() bool {
				least, most = 1<<30, 0
				for _, r := range got {
					least, most = min(least, len(r.body)), max(most, len(r.body))
				}
				return least >= 200_000
			})
			for id, r := range got {
				if r.over() {
					t.Fatalf("%d: reset %t, ended %t, gone %t, %v", id, r.reset, r.ended, r.gone, r.code)
				}
			}
			if least < 200_000 || most > 20*least {
				t.Errorf("one stream has got %d bytes, another %d", least, most)
			}
		})
	}
}
