package web

import "stack/roles/internal/exchange"

// editor is the exchange.Editor of proxied locations: it tells application servers about
// the client's certificate, and keeps clients from telling them.
type editor struct{ trusted trusted }

// Request implements exchange.Editor.
func (editor) Request(x *exchange.Exchange, _ *exchange.Server, h *exchange.Header) { h.Certificate(x) }

// Response implements exchange.Editor: answers pass as they are.
func (editor) Response(*exchange.Exchange, *exchange.Server, int, *exchange.Header) {}

// Drop implements exchange.Editor. The balancers may speak of certificates.
func (e editor) Drop(x *exchange.Exchange, response bool, name []byte) bool {
	if response || !exchange.SpeaksOfCertificate(name) {
		return false
	}
	_, asked := x.ClientCertificate()
	return asked || !e.trusted.contains(x.Client().Addr().Unmap())
}
