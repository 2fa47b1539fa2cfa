package lb

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"stack/roles/internal/exchange"
	"stack/roles/internal/http1"
)

const balancerField = "x-stack-balancer"

// editor is the exchange.Editor of every HTTP pool: what this balancer adds to
// forwarded requests beside the forwarding fields, which exchange writes.
type editor struct {
	node    string
	ids     []idSource     // one per loop
	trusted []netip.Prefix // balancers in front, who speak for their clients
}

// idSource makes request ids: unique, not secret.
type idSource struct {
	rng *rand.PCG
	hex [32]byte
	_   [24]byte
}

func newEditor(node string, loops int, trusted []netip.Prefix) *editor {
	e := &editor{node: node, ids: make([]idSource, loops), trusted: trusted}
	for i := range e.ids {
		var seed [16]byte
		crand.Read(seed[:]) // never fails (crypto/rand.Read)
		e.ids[i].rng = rand.NewPCG(binary.NativeEndian.Uint64(seed[:8]), binary.NativeEndian.Uint64(seed[8:]))
	}
	return e
}

// next returns 32 hexadecimal digits, valid until the next call.
func (s *idSource) next() []byte {
	const digits = "0123456789abcdef"
	for half := range 2 {
		v := s.rng.Uint64()
		for i := range 16 {
			s.hex[half*16+i] = digits[v&15]
			v >>= 4
		}
	}
	return s.hex[:]
}

// Request implements exchange.Editor: a request id where there is none, the name of this
// balancer, and what the client's certificate says.
func (e *editor) Request(x *exchange.Exchange, _ *exchange.Server, h *exchange.Header) {
	if id, ok := x.Req.Get("x-request-id"); !ok || len(id) == 0 {
		h.Value("X-Request-Id", e.ids[x.Worker().Index()].next())
	}
	h.Field("X-Stack-Balancer", e.node)
	h.Certificate(x)
}

// Response implements exchange.Editor: answers pass as they are.
func (e *editor) Response(*exchange.Exchange, *exchange.Server, int, *exchange.Header) {}

// Drop implements exchange.Editor: a client cannot say which balancer it came through or
// which certificate it showed, and an empty request id counts as none.
func (e *editor) Drop(x *exchange.Exchange, response bool, name []byte) bool {
	if response {
		return false
	}
	if exchange.SpeaksOfCertificate(name) {
		_, asked := x.ClientCertificate()
		return asked || !exchange.Within(e.trusted, x.Client().Addr())
	}
	switch len(name) {
	case len(balancerField):
		return http1.EqualFold(name, balancerField)
	case len("x-request-id"):
		if http1.EqualFold(name, "x-request-id") {
			id, _ := x.Req.Get("x-request-id")
			return len(id) == 0
		}
	}
	return false
}
