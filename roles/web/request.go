package web

import (
	"net/netip"
	"sync/atomic"
	"time"

	"stack/roles/internal/exchange"
	"stack/roles/internal/http1"
	"stack/roles/internal/loop"
	"stack/roles/web/fastcgi"
	"stack/roles/web/static"
)

// request is what the role keeps of a request from Serve to the log. It belongs to a
// loop and is used again; a worker must not see it.
type request struct {
	loop *loopState
	site *site

	// client is the visitor: the peer, or what a trusted proxy says. forwarded tells
	// which; its port is 0 then.
	client    netip.AddrPort
	forwarded bool
	https     bool
	quiet     bool // no line in the access log, no count

	path    []byte // storage of the normal path
	host    []byte // storage of the lower-case host
	at      static.At
	scratch scratch
	options fastcgi.Options
}

// loopState is what the role keeps for one event loop.
type loopState struct {
	index int
	cache *static.Cache
	seen  *generation               // the cache holds nothing that this one does not own
	loop  atomic.Pointer[loop.Loop] // known from the first request on
	free  []*request

	entries, bytes, files atomic.Int64 // of the cache, for metrics
}

func newLoopState(index int) *loopState {
	return &loopState{index: index, cache: static.NewCache()}
}

// expire drops what is old from the cache, on the loop. From any goroutine.
func (ls *loopState) expire() {
	if l := ls.loop.Load(); l != nil {
		l.Post(func() {
			ls.cache.Expire(time.Now())
			ls.report()
		})
	}
}

// report makes the size of the cache known to metrics.
func (ls *loopState) report() {
	entries, bytes, files := ls.cache.Len()
	ls.entries.Store(int64(entries))
	ls.bytes.Store(bytes)
	ls.files.Store(int64(files))
}

// maxFree bounds the requests kept for use again by one loop.
const maxFree = 1024

func (ls *loopState) take() *request {
	if n := len(ls.free); n > 0 {
		r := ls.free[n-1]
		ls.free = ls.free[:n-1]
		return r
	}
	return &request{loop: ls, path: make([]byte, 0, 256), host: make([]byte, 0, 64)}
}

func (ls *loopState) give(r *request) {
	if len(ls.free) == maxFree || cap(r.path) > 4096 || cap(r.scratch.try)+cap(r.scratch.index)+cap(r.scratch.jump) > 4096 {
		return
	}
	*r = request{loop: ls, path: r.path[:0], host: r.host[:0], scratch: r.scratch}
	ls.free = append(ls.free, r)
}

// originForm is the target as path and query, which is what scripts expect, also of
// an absolute target (RFC 9112 section 3.2.1).
func originForm(req *http1.Request) []byte {
	if t := req.Target(); len(t) > 0 && t[0] == '/' {
		return t
	}
	out := append([]byte(nil), req.Path()...)
	if req.HasQuery() {
		out = append(append(out, '?'), req.Query()...)
	}
	return out
}

// trusted are the peers whose X-Forwarded-* fields are believed.
type trusted []netip.Prefix

func (t trusted) contains(a netip.Addr) bool { return exchange.Within(t, a) }

// identify finds out who the visitor is and whether he came over TLS.
func (r *request) identify(x *exchange.Exchange, t trusted) {
	r.client = x.Client()
	r.https = x.TLSVersion() != 0
	if len(t) == 0 {
		return
	}
	peer := r.client.Addr().Unmap()
	if !t.contains(peer) {
		return
	}
	if proto, ok := x.Req.Find(http1.XForwardedProto); ok {
		r.https = http1.EqualFold(proto, "https")
	}
	if a := forwardedFor(&x.Req, t); a.IsValid() {
		r.client, r.forwarded = netip.AddrPortFrom(a, 0), true
	}
}

// forwardedFor walks X-Forwarded-For from the right, where the nearest proxy wrote,
// past the proxies that are trusted, to the first address that is not; what stands
// left of it anybody may have written. The zero Addr without a usable field.
func forwardedFor(req *http1.Request, t trusted) netip.Addr {
	var last netip.Addr
	for i := req.Len() - 1; i >= 0; i-- {
		id, _, value := req.At(i)
		if id != http1.XForwardedFor {
			continue
		}
		for end := len(value); end >= 0; {
			begin := end
			for begin > 0 && value[begin-1] != ',' {
				begin--
			}
			a, ok := parseHop(value[begin:end])
			if !ok {
				return last
			}
			last = a
			if !t.contains(a) {
				return last
			}
			end = begin - 1
		}
	}
	return last
}

// parseHop reads one element: an address, with or without port or brackets.
func parseHop(b []byte) (netip.Addr, bool) {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	if a, ok := parseIPv4(b); ok {
		return a, true
	}
	if len(b) == 0 || len(b) > 64 {
		return netip.Addr{}, false
	}
	s := string(b)
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		if a, err := netip.ParseAddr(s[1 : len(s)-1]); err == nil {
			return a.Unmap().WithZone(""), true
		}
	}
	return netip.Addr{}, false
}

// parseIPv4 reads a dotted quad without allocating: it is on every request's path
// behind a balancer.
func parseIPv4(b []byte) (netip.Addr, bool) {
	var out [4]byte
	part, digits, value := 0, 0, 0
	for i := 0; i <= len(b); i++ {
		if i == len(b) || b[i] == '.' {
			if digits == 0 || part > 3 {
				return netip.Addr{}, false
			}
			out[part] = byte(value)
			part, digits, value = part+1, 0, 0
			continue
		}
		c := b[i]
		if c < '0' || c > '9' || digits == 3 || digits > 0 && value == 0 {
			return netip.Addr{}, false
		}
		digits++
		if value = value*10 + int(c-'0'); value > 255 {
			return netip.Addr{}, false
		}
	}
	return netip.AddrFrom4(out), part == 4
}
