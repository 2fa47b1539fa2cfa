package web

import (
	"bytes"
	"context"

	"stack/roles/internal/exchange"
	"stack/roles/web/demo"
)

// maxForm bounds a form of the demo in bytes.
const maxForm = 16 << 10

// balancerField is the field by which a balancer of the site says its name.
const balancerField = "x-stack-balancer"

// demoApp puts the demo on the loops: its work runs in goroutines, bounded by the demo.
type demoApp struct{ *demo.App }

// Serve implements app.
func (d demoApp) Serve(x *exchange.Exchange, r *request) {
	v := demo.Visitor{}
	if r.client.IsValid() {
		v.Client = r.client.Addr().Unmap().String()
	}
	if name, ok := x.Req.Get(balancerField); ok && r.forwarded {
		v.Balancer = string(name)
	}
	method := string(x.Req.Method())
	path := x.Req.Path()
	switch {
	case string(path) == "/" && (method == "GET" || method == "HEAD"):
		d.off(x, v, func(ctx context.Context) demo.Answer { return d.Page(ctx, v, method == "GET") })
	case string(path) == "/visits" && method == "POST":
		x.ReadBody(&formReader{app: d, visitor: v})
	case string(path) == "/":
		d.refuse(x, allowed)
	case string(path) == "/visits":
		d.refuse(x, "POST")
	default:
		x.Error(404, exchange.None)
	}
}

func (d demoApp) refuse(x *exchange.Exchange, allow string) {
	contentType, body := builtinPage(405)
	h := x.Start(405)
	h.Field("Allow", allow)
	h.Field("Content-Type", contentType)
	x.End(body)
}

// off runs f in a goroutine and answers with what it gives. A client that leaves
// cancels f's context.
func (d demoApp) off(x *exchange.Exchange, v demo.Visitor, f func(context.Context) demo.Answer) {
	if !d.Enter() {
		give(x, d.Busy(v))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ticket := x.Suspend(&waiting{cancel: cancel})
	go func() {
		answer := f(ctx)
		d.Leave()
		cancel()
		ticket.Resume(func(x *exchange.Exchange) {
			if x != nil {
				give(x, answer)
			}
		})
	}()
}

func give(x *exchange.Exchange, a demo.Answer) {
	h := x.Start(a.Status)
	h.Raw("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n")
	if a.Location != "" {
		h.Field("Location", a.Location)
	} else {
		h.Field("Content-Type", "text/html; charset=utf-8")
		h.Field("Content-Security-Policy", demo.Policy)
	}
	x.End(a.Body)
}

// waiting is a request whose work runs elsewhere.
type waiting struct{ cancel context.CancelFunc }

func (w *waiting) Body(*exchange.Exchange, []byte, bool)       {}
func (w *waiting) Drained(*exchange.Exchange)                  {}
func (w *waiting) Gone(_ *exchange.Exchange, _ exchange.Cause) { w.cancel() }

// formReader takes a form in.
type formReader struct {
	app     demoApp
	visitor demo.Visitor
	form    bytes.Buffer
	done    bool
}

func (f *formReader) Body(x *exchange.Exchange, p []byte, last bool) {
	if f.done {
		return
	}
	if f.form.Len()+len(p) > maxForm {
		f.done = true
		x.Error(413, exchange.TooLarge)
		return
	}
	f.form.Write(p)
	if last {
		f.done = true
		f.app.off(x, f.visitor, func(ctx context.Context) demo.Answer { return f.app.Sign(ctx, f.visitor, f.form.Bytes()) })
	}
}

func (f *formReader) Drained(*exchange.Exchange)                  {}
func (f *formReader) Gone(_ *exchange.Exchange, _ exchange.Cause) {}
