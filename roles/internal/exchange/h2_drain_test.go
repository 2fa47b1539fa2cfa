package exchange

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
)

// goAways reads to the end of the connection and returns the last numbers of the GOAWAY
// frames and what came on a stream.
func (e *end2) goAways(id uint32) (last []uint32, got *reply2) {
	e.t.Helper()
	got = &reply2{}
	for {
		switch f := e.next().(type) {
		case nil:
			return last, got
		case *h2.GoAwayFrame:
			last = append(last, f.LastStreamID)
		case *h2.PingFrame:
			if !f.IsAck() {
				e.fr.WritePing(true, f.Data)
			}
		case *h2.HeadersFrame:
			if f.StreamID == id {
				got.heads = append(got.heads, e.fields(f.HeaderBlockFragment()))
				got.ended = f.StreamEnded()
			}
		}
	}
}

// A drain is said in two steps: what the client sends before it has heard of it is served.
func TestHTTP2DrainInTwoSteps(t *testing.T) {
	release := make(chan func())
	r := rig2(t, HandlerFunc(func(x *Exchange) {
		ticket := x.Suspend(nil)
		answer := func() {
			ticket.Resume(func(x *Exchange) {
				if x != nil {
					x.Start(200)
					x.End(nil)
				}
			})
		}
		go func() { release <- answer }()
	}))
	e := dial2(t, r.addr)
	idle := dial2(t, r.addr)
	idle.ping()
	e.ask(1, "GET", "/", true)
	one := <-release
	drained := make(chan error, 1)
	go func() { drained <- r.set.Drain(context.Background(), nil) }()
	f := e.next()
	if g, ok := f.(*h2.GoAwayFrame); !ok || g.LastStreamID != 1<<31-1 || g.ErrCode != h2.ErrCodeNo {
		t.Fatalf("%v", f)
	}
	ping, ok := e.next().(*h2.PingFrame)
	if !ok {
		t.Fatal("no PING behind GOAWAY")
	}
	e.ask(3, "GET", "/", true) // was on its way
	three := <-release
	one()
	three()
	e.fr.WritePing(true, ping.Data)
	last, got := e.goAways(3)
	if len(last) != 1 || last[0] != 3 || got.status() != "200" {
		t.Errorf("%v %+v", last, got)
	}
	if last, _ := idle.goAways(1); len(last) < 2 || last[0] != 1<<31-1 || last[1] != 0 {
		t.Errorf("idle: %v", last)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// A client that never answers the PING, and goes on with requests, is told the last one
// after a while.
func TestHTTP2DrainWithoutPong(t *testing.T) {
	r := rig2(t, hello("x"))
	e := dial2(t, r.addr)
	e.ask(1, "GET", "/", true)
	e.reply(1)
	go r.point.Remove()
	refused := false
	for id := uint32(3); !refused; id += 2 {
		e.ask(id, "GET", "/", true)
		got := e.reply(id)
		refused = got.reset && got.code == h2.ErrCodeRefusedStream || got.gone
		if id > 100_000 {
			t.Fatal("requests are served without end")
		}
		time.Sleep(time.Millisecond)
	}
	poll(t, "the connection has ended", func() bool { return r.set.Open() == 0 })
}

// Clients that send without a pause lose nothing when what they talk to is drained, a
// frontend removed or a server forgotten; net/http opens other connections meanwhile.
func TestHTTP2DrainLosesNothing(t *testing.T) {
	addr := serve2(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	p := pass2(t, addr)
	h := HandlerFunc(func(x *Exchange) { x.Forward(p) })
	old := rig2(t, h)
	next := newRig(t, 2, &Frontend{Handler: HandlerFunc(func() func(x *Exchange) { q := pass2(t, addr); return func(x *Exchange) { x.Forward(q) } }()), HTTP2: true})
	var served, failed atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan bool)
	for range 4 {
		c := client2(t)
		var to atomic.Value
		to.Store(old.addr)
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					at := to.Load().(string)
					req, _ := http.NewRequest("GET", "http://"+at, nil)
					resp, err := c.Do(req)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					if err != nil {
						if at == old.addr && isDial(err) { // no new connections there: go elsewhere
							to.Store(next.addr)
							continue
						}
						failed.Add(1)
						t.Error(err)
						return
					}
					if resp.StatusCode != 200 {
						failed.Add(1)
						t.Error(resp.Status)
					}
					served.Add(1)
				}
			})
		}
	}
	poll(t, "requests are served", func() bool { return served.Load() > 500 })
	for _, s := range p.Picker.(*one).srvs {
		old.set.Forget(s) // a reload without this server: its links end with their requests
	}
	before := served.Load()
	poll(t, "requests go on", func() bool { return served.Load() > before+500 })
	if err := old.closeListener(); err != nil {
		t.Fatal(err)
	}
	if err := old.set.Drain(context.Background(), nil); err != nil {
		t.Error(err)
	}
	before = served.Load()
	poll(t, "requests go on elsewhere", func() bool { return served.Load() > before+500 || failed.Load() > 0 })
	close(stop)
	wg.Wait()
}

// A server that is forgotten before its SETTINGS have come still answers what waits for them.
func TestForgetBeforeSettings(t *testing.T) {
	met, forgotten := make(chan struct{}), make(chan struct{})
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		if _, err := io.ReadFull(br, make([]byte, len(h2.ClientPreface))); err != nil {
			return
		}
		e := newEnd2(t, c, br)
		close(met)
		<-forgotten
		e.fr.WriteSettings()
		id, _, _ := e.request()
		e.head(id, true, ":status", "204")
		e.request()
	})
	p := pass2(t, addr)
	r := forwardRig2(t, p)
	e := dial2(t, r.addr)
	e.ask(1, "GET", "/", true)
	<-met
	for _, s := range p.Picker.(*one).srvs {
		r.set.Forget(s)
	}
	close(forgotten)
	if got := e.reply(1).status(); got != "204" {
		t.Errorf("status %s, want 204", got)
	}
}
