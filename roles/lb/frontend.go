package lb

import (
	"net/netip"
	"strings"
	"sync/atomic"

	"stack/roles/internal/accesslog"
	"stack/roles/internal/exchange"
)

// frontend is what stays of a frontend over reloads: its listening points and its
// counters. The role's mutex guards points and gone.
type frontend struct {
	name   string
	points map[netip.AddrPort]*exchange.Point
	gone   exchange.Counters // of points that were removed
	open   exchange.Tally    // over all points
	causes []causes          // per loop
	log    *accesslog.Log
}

// causes counts how the requests of one loop ended.
type causes struct {
	n [exchange.NumCauses]atomic.Uint64
	_ [64]byte
}

func newFrontend(name string, loops int, log *accesslog.Log) *frontend {
	return &frontend{name: name, points: make(map[netip.AddrPort]*exchange.Point), causes: make([]causes, loops), log: log}
}

// Log implements exchange.AccessLog. Called on the loop.
func (f *frontend) Log(r *exchange.Record) {
	if r.Cause != exchange.None {
		f.causes[r.Loop].n[r.Cause].Add(1)
	}
	f.log.Append(r.Loop, r)
}

// errors sums the causes over the loops.
func (f *frontend) errors(c exchange.Cause) (n uint64) {
	for i := range f.causes {
		n += f.causes[i].n[c].Load()
	}
	return n
}

// counters sums the frontend's points, present and past.
func (f *frontend) counters() exchange.Counters {
	sum := f.gone
	for _, p := range f.points {
		add(&sum, p.Counters())
	}
	return sum
}

// remember keeps the counters of a point that is removed.
func (f *frontend) remember(c exchange.Counters) {
	c.Open = 0
	add(&f.gone, c)
}

func add(sum *exchange.Counters, c exchange.Counters) {
	sum.Open += c.Open
	sum.Accepted += c.Accepted
	for i, n := range c.Refused {
		sum.Refused[i] += n
	}
	sum.Requests += c.Requests
	sum.BytesIn += c.BytesIn
	sum.BytesOut += c.BytesOut
	sum.Handshakes += c.Handshakes
	sum.HandshakesFailed += c.HandshakesFailed
	sum.HandshakesRefused += c.HandshakesRefused
	sum.Starved += c.Starved
	for i, n := range c.Status {
		sum.Status[i] += n
	}
	for i, n := range c.ProxyRefused {
		sum.ProxyRefused[i] += n
	}
}

// pointName names a listening point in the messages that pass a connection to the next
// generation; parsePointName is its inverse.
func pointName(frontend string, addr netip.AddrPort) string { return frontend + " " + addr.String() }

func parsePointName(s string) (frontend string, addr netip.AddrPort, ok bool) {
	frontend, text, ok := strings.Cut(s, " ")
	addr, err := netip.ParseAddrPort(text)
	return frontend, addr, ok && err == nil
}
